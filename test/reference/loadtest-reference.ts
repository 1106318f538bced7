/** The generated page about load tests: servers, options, scenarios, columns, warnings and result files. */

import type { OptionTable } from '@fanfare/kit/options';
import { z } from 'zod';
import { commonOptions } from '../../loadtest/src/command-line/load-command-line.js';
import { resultParts } from '../../loadtest/src/load/result.js';
import { validityRules } from '../../loadtest/src/load/validity.js';
import { loadColumns } from '../../loadtest/src/report/load-table.js';
import { scenarios } from '../../loadtest/src/scenarios/scenarios.js';
import { servers } from '../../loadtest/src/servers/servers.js';
import { page, table } from './table.js';

export function loadtestPage(): string {
  return page('Load tests: reference', '[loadtest.md](../loadtest.md) explains how to run load tests.', [
    '## Servers',
    'The values of `--servers`:',
    table(
      ['server', 'meaning'],
      Object.entries(servers).map(([name, { about }]) => [`\`${name}\``, about]),
    ),
    '## Options of all scenarios',
    table(optionHead, optionRows(commonOptions)),
    '## Scenarios',
    'Each option takes several values, separated by commas. The load generator runs every combination.',
    ...Object.entries(scenarios).flatMap(([name, { about, options }]) => [
      `### ${name}`,
      about,
      table(optionHead, optionRows(options)),
    ]),
    '## Columns of the table',
    table(
      ['column', 'meaning'],
      loadColumns.map(({ title, about }) => [title, about]),
    ),
    '## Warnings that make a result invalid',
    table(
      ['warning', 'meaning', 'what to do'],
      validityRules.map(({ says, means, advice }) => [says, means, advice]),
    ),
    '## Result files',
    ...resultParts.flatMap(([title, schema]) => [
      `### ${title}`,
      table(['field', 'type', 'meaning'], fieldsOf(schema)),
    ]),
  ]);
}

const optionHead = ['option', 'meaning', 'valid', 'default'];

function optionRows(options: OptionTable): string[][] {
  return Object.entries(options).map(([name, { about, range, fallback }]) => [
    `\`--${name}\``,
    about,
    // The page lists the servers above.
    (range ?? '').length > 120 ? 'the names above, or all' : (range ?? ''),
    fallback === null ? '' : `\`${fallback}\``,
  ]);
}

function fieldsOf(schema: z.ZodObject): readonly (readonly string[])[] {
  return Object.entries(z.toJSONSchema(schema).properties ?? {}).map(([field, about]) => {
    if (typeof about === 'boolean') throw new Error(`The field ${field} has no type.`);
    const alternatives = about.anyOf ?? about.oneOf ?? [about];
    const types = alternatives.flatMap((each) => ('const' in each ? JSON.stringify(each.const) : (each.type ?? [])));
    return [`\`${field}\``, [...new Set(types)].join(' or '), about.description ?? ''];
  });
}
