/** Plans: their content, and one sentence for each mistake. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from '@fanfare/kit/options';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseLoad } from '../src/command-line/load-command-line.js';
import { scenarios } from '../src/scenarios/scenarios.js';

let folder: string;
let file: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fanfare-plan-'));
  file = join(folder, 'plan.yaml');
});
afterAll(() => rm(folder, { recursive: true }));

it.each([
  ['YAML', '- scenario: fan-out\n  subscribers: [10, 20]\n  rate: 5\n- scenario: storm\n'],
  ['JSON', '[{"scenario": "fan-out", "subscribers": "10,20", "rate": 5}, {"scenario": "storm"}]'],
])('a plan is a list of scenarios with their options, in %s', async (_, text) => {
  await writeFile(file, text);
  const request = parseLoad('plan', [file, '--rounds', '3']);
  expect(request).toMatchObject({
    settings: { rounds: 3 },
    runs: [
      { scenario: 'fan-out', label: '10 subscribers, 128 B', workload: { perSecond: 5 } },
      { scenario: 'fan-out', label: '20 subscribers, 128 B', workload: { perSecond: 5 } },
      { scenario: 'storm', label: '5000 of 5000 connections break', workload: { perSecond: 100 } },
    ],
  });
});

const mustBeList =
  'The plan FILE must be a list of scenarios, such as "- scenario: fan-out". Options of the whole plan, such as --url, belong on the command line.';

it.each([
  ['', [], mustBeList],
  ['{}', [], mustBeList],
  ['url: ws://a', [], mustBeList],
  [
    '- a: b: c',
    [],
    'Cannot read the plan FILE: Nested mappings are not allowed in compact mappings at line 1, column 6.',
  ],
  ['- fan-out', [], 'Run 1 of FILE: name the scenario, as in "scenario: fan-out".'],
  ['[{"rate": 5}]', [], 'Run 1 of FILE: name the scenario, as in "scenario: fan-out".'],
  [
    '- scenario: fan-out\n- scenario: pigeon',
    [],
    `Run 2 of FILE (pigeon): Unknown scenario "pigeon". Valid: ${Object.keys(scenarios).join(', ')}.`,
  ],
  [
    '- scenario: fan-out\n  speed: 9',
    [],
    'Run 1 of FILE (fan-out): Unknown option speed. Valid: subscribers, rate, bytes, seconds, nodes.',
  ],
  [
    '- scenario: fan-out\n  rate: many',
    [],
    'Run 1 of FILE (fan-out): rate must be a number from 0.1 to 100000, not "many".',
  ],
  [
    '- scenario: fan-out\n  rate: -5',
    [],
    'Run 1 of FILE (fan-out): rate must be a number from 0.1 to 100000, not "-5".',
  ],
  [
    '- scenario: fan-out\n  rate: {a: 1}',
    [],
    'Run 1 of FILE (fan-out): rate must be a number or a list of numbers, not {"a":1}.',
  ],
  [
    '- scenario: fan-out\n  rate:',
    [],
    'Run 1 of FILE (fan-out): rate must be a number or a list of numbers, not null.',
  ],
  [
    '- scenario: fan-out\n  rate: []',
    [],
    'Run 1 of FILE (fan-out): rate must be a number or a list of numbers, not [].',
  ],
  [
    '- scenario: fan-out\n  subscribers: [[1]]',
    [],
    'Run 1 of FILE (fan-out): subscribers must be a number or a list of numbers, not [[1]].',
  ],
  [
    '- scenario: fan-out\n  url: ws://a',
    [],
    'Run 1 of FILE (fan-out): url is for the whole plan: give it on the command line, as --url.',
  ],
  [
    '- scenario: fan-out\n  client: true',
    [],
    'Run 1 of FILE (fan-out): client is for the whole plan: give it on the command line, as --client.',
  ],
  [
    '- scenario: fan-out\n  nodes: 3',
    ['--url', 'ws://a'],
    'Run 1 of FILE (fan-out): nodes is for servers that this command starts: omit it with --url.',
  ],
  [
    '- scenario: many-to-many\n  topics: 5\n  topics-each: 6',
    [],
    'Run 1 of FILE (many-to-many): topics-each must be at most 5 (topics), not 6.',
  ],
  [
    '- scenario: fan-out\n  subscribers: 2',
    ['--generators', '3'],
    'Run 1 of FILE (fan-out): --generators must be at most 2 for "2 subscribers, 128 B", so that each has a connection, not 3.',
  ],
])('a plan %j with the options %j is an error', async (text, args, sentence) => {
  await writeFile(file, text);
  expect(() => parseLoad('plan', [file, ...args])).toThrow(new UsageError(sentence.replace('FILE', file)));
});
