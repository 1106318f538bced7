/** `npm run costs`: what single features cost a node. */
import { describeMachine } from '@fanfare/kit/machine';
import { markdownTable } from '@fanfare/kit/markdown-table';
import {
  describeNames,
  describeOptions,
  HelpRequest,
  integer,
  type OptionTable,
  parseOptions,
  runCommand,
  UsageError,
  type ValuesOf,
} from '@fanfare/kit/options';
import { exitWhenStopped } from '@fanfare/kit/stop-signal';
import { authCosts, authHead } from './auth-cost.js';
import { tracingCosts, tracingHead } from './tracing-cost.js';
import { transportCosts, transportHead } from './transport-cost.js';

interface Study {
  readonly about: string;
  readonly options: OptionTable;
  readonly head: readonly string[];
  measure(values: ValuesOf<OptionTable>): Promise<string[][]>;
}

function study<Table extends OptionTable>(declared: {
  readonly about: string;
  readonly options: Table;
  readonly head: readonly string[];
  measure(values: ValuesOf<Table>): Promise<string[][]>;
}): Study {
  // The values were read by the options of the study.
  return declared as unknown as Study;
}

const rounds = integer('turns of each variant', 5, 1, 1_000);

const studies: Readonly<Record<string, Study>> = {
  auth: study({
    about: 'Tokens: CPU for each handshake and publication, without authentication and with each kind of token.',
    options: {
      rounds,
      handshakes: integer('handshakes in each turn', 1_000, 1, 1_000_000),
      publications: integer('publications in each turn', 40_000, 100, 100_000_000),
    },
    head: authHead,
    measure: ({ rounds: turns, handshakes, publications }) => authCosts(turns, handshakes, publications),
  }),
  tracing: study({
    about: 'Tracing: CPU for each publication, without tracing and at two ratios.',
    options: {
      rounds,
      publications: integer('publications in each turn; a tenth of them at ratio 1', 300_000, 1_000, 100_000_000),
    },
    head: tracingHead,
    measure: ({ rounds: turns, publications }) => tracingCosts(turns, publications),
  }),
  transport: study({
    about: 'TLS and compression: memory for each connection, CPU for each handshake and delivery, bytes on the wire.',
    options: {
      connections: integer('subscribing connections', 1_000, 1, 15_000),
      bytes: integer('size of the data of a publication', 1_024, 1, 60_000, 'bytes'),
    },
    head: transportHead,
    measure: ({ connections, bytes }) => transportCosts(connections, bytes),
  }),
};

const help = `Measures what single features cost a node on this machine.

usage: npm run costs -- <study> [options]

studies:
${describeNames(Object.entries(studies).map(([name, { about }]) => [name, about]))}

npm run costs -- <study> --help shows the options of a study.
`;

await runCommand(async ([name, ...args]) => {
  if (name === '--help') throw new HelpRequest(help);
  const chosen = Object.hasOwn(studies, name ?? '') ? studies[name ?? ''] : undefined;
  if (chosen === undefined) throw new UsageError(`Name a study: ${Object.keys(studies).join(', ')}.`);
  const usage = `usage: npm run costs -- ${name} [options]`;
  const ownHelp = (): string => `${chosen.about}\n\n${usage}\n\n${describeOptions(chosen.options)}\n`;
  const parsed = parseOptions(args, chosen.options, ownHelp);
  void exitWhenStopped();
  const rows = await chosen.measure(parsed.values);
  const settings = Object.entries(parsed.values).map(([option, value]) => `${option} ${value}`);
  process.stdout.write(`${describeMachine()}; ${settings.join(', ')}.\n\n${markdownTable(chosen.head, rows)}\n`);
});
