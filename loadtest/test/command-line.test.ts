/** Wrong words are answered with one sentence. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { parseCommandLine, UsageError } from '../src/command-line/command-line.js';
import { commonOptions } from '../src/command-line/load-command-line.js';
import { candidateNames } from '../src/scenarios/levels.js';
import { scenarios } from '../src/scenarios/scenarios.js';
import { servers } from '../src/servers/servers.js';

const known = [...Object.keys(scenarios), 'plan', 'report', 'levels'].join(', ');
const flagsOfStorm = [...Object.keys(scenarios['storm']?.options ?? {}), ...Object.keys(commonOptions)]
  .map((name) => `--${name}`)
  .join(', ');

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));

it('takes workloads by name, and what is to be different about them', () => {
  expect(parseCommandLine(['levels'])).toMatchObject({
    name: 'levels',
    options: {
      candidates: candidateNames,
      workloads: [
        { topics: 1, burst: 1, perSecond: 5_000 },
        { topics: 200, burst: 20, perSecond: 20_000 },
      ],
      publicationBytes: 128,
    },
  });
  expect(parseCommandLine(['levels', '--workloads', 'many-topics', '--rate', '500', '--burst', '4'])).toMatchObject({
    options: { workloads: [{ topics: 200, burst: 4, perSecond: 500 }] },
  });
  expect(parseCommandLine(['levels', '--rate', '500', '--burst', '4', '--topics', '3'])).toMatchObject({
    options: { workloads: [{ topics: 3, burst: 4, perSecond: 500 }] },
  });
});

it.each([
  [
    ['fan-out', '--rate', '10,20,10', '--subscribers', '1,2'],
    [
      '1 subscribers, 128 B, rate 10',
      '1 subscribers, 128 B, rate 20',
      '2 subscribers, 128 B, rate 10',
      '2 subscribers, 128 B, rate 20',
    ],
  ],
  [
    ['idle', '--nodes', '1,2'],
    ['5000 idle subscribers, nodes 1', '5000 idle subscribers, nodes 2'],
  ],
  [
    ['slow', '--share', '0.1,0.5'],
    ['20 of 200 stop reading', '100 of 200 stop reading'],
  ],
  [['burst'], ['1 together', '8 together', '32 together', '128 together']],
])('makes a run for each combination of the values in %j', (args, labels) => {
  const request = parseCommandLine(args);
  const runs = request.name === 'load' ? request.runs : [];
  expect(runs.map(({ label }) => label)).toEqual(labels);
  expect(new Set(runs.map(({ workload, nodes }) => JSON.stringify([workload, nodes]))).size).toBe(labels.length);
});

it.each([
  [[], `Say what to measure: ${known}.`],
  [['fanin'], `There is no scenario "fanin", only ${known}; its name comes first.`],
  [['storm', 'now'], '"now" stands where an option was expected.'],
  [['storm', '--speed', '9'], `There is no option --speed here, only ${flagsOfStorm}.`],
  [['storm', '-r', '9'], `There is no option -r here, only ${flagsOfStorm}.`],
  [['storm', '--constructor', '9'], `There is no option --constructor here, only ${flagsOfStorm}.`],
  [['storm', '--rate'], '--rate needs a value.'],
  [['storm', '--rate', '--nodes', '2'], '--rate needs a value before --nodes.'],
  [['storm', '--rate', '-5'], '--rate must be a number from 0.1 to 10000, not "-5".'],
  [['storm', '--rate=-5'], '--rate must be a number from 0.1 to 10000, not "-5".'],
  [['storm', '--client=yes'], '--client stands alone: it takes no value.'],
  [['storm', '--servers'], `--servers needs a value: ${Object.keys(servers).join(', ')}.`],
  [['storm', '--url', 'ws://a', '--encoding'], '--encoding needs a value: msgpack, json.'],
  [['storm', '--share', '2'], '--share must be a number from 0 to 1, not "2".'],
  [['storm', '--subscribers', '10,few'], '--subscribers must be a number from 1 to 100000, not "few".'],
  [['storm', '--url', 'localhost'], '--url must be like ws://127.0.0.1:8080/ws or wss://…, not "localhost".'],
  [['storm', '--servers', 'pigeon'], `--servers does not know "pigeon", only ${Object.keys(servers).join(', ')}.`],
  [['storm', '--url', 'ws://a', '--encoding', 'xml'], '--encoding does not know "xml", only msgpack, json.'],
  [
    ['storm', '--encoding', 'json'],
    '--encoding goes with --url; here it follows from --servers (fanfare or fanfare-json, for example).',
  ],
  [
    ['storm', '--url', 'ws://a', '--nodes', '2'],
    '--nodes is about what is started here: it cannot stand beside --url.',
  ],
  [
    ['storm', '--url', 'ws://a', '--servers', 'raw'],
    '--servers is about what is started here: it cannot stand beside --url.',
  ],
  [['storm', '--token', 'x'], '--token goes with --url: what is started here asks for none.'],
  [['idle', '--find-max-rate'], '--find-max-rate cannot go with idle: nothing is published there.'],
  [['storm', '--max-p99-ms', '5'], '--max-p99-ms goes with --find-max-rate.'],
  [['storm', '--find-max-rate', '--max-p99-ms', '0'], '--max-p99-ms must be a number from 0.1 to 60000, not "0".'],
  [['plan'], 'Say which file holds the plan: npm run loadtest -- plan <file>.'],
  [['plan', '/nowhere'], 'The plan /nowhere cannot be read: no such file or directory.'],
  [
    ['many-to-many', '--topics-each', '20', '--topics', '100,10'],
    '--topics-each must be at most 10 (--topics), not 20.',
  ],
  [
    ['subscriptions', '--topics-each', '5,20', '--topics', '10'],
    '--topics-each must be at most 10 (--topics), not 20.',
  ],
  [['cross-node', '--interested', '2'], '--interested must be at most 1 (--nodes minus 1), not 2.'],
  [['storm', '--share', '0'], '--share must be at least 0.0002 (one of 5000, --subscribers), not 0.'],
  [['slow', '--share', '0.001'], '--share must be at least 0.005 (one of 200, --subscribers), not 0.001.'],
  [
    ['storm', '--subscribers', '5', '--generators', '6'],
    '--generators must be at most 5 for "5 of 5 connections break", so that each has a connection, not 6.',
  ],
  [
    ['absence', '--servers', 'fanfare,raw'],
    "raw cannot serve the typed client, which this needs and which speaks only Fanfare's protocol: leave it out.",
  ],
  [
    ['cross-node', '--servers', 'fanfare,mosquitto'],
    'mosquitto cannot be 2 nodes, for its processes know nothing of each other: leave it out.',
  ],
  [
    ['subscriptions', '--nodes', '1', '--servers', 'fanfare,raw'],
    'raw cannot end a subscription, as this load does: leave it out.',
  ],
  [['levels', 'now'], '"now" stands where an option was expected.'],
  [['levels', '--speed', '9'], /^There is no option --speed here, only --levels, --workloads, /],
  [['levels', '--levels'], `--levels needs a value: ${candidateNames.join(', ')}.`],
  [['levels', '--levels', '--rounds', '1'], `--levels needs a value before --rounds: ${candidateNames.join(', ')}.`],
  [['levels', '--workloads'], '--workloads needs a value: one-topic, many-topics.'],
  [['levels', '--rounds', 'few'], '--rounds must be a number from 1 to 1000, not "few".'],
  [['levels', '--rounds', '1.5'], '--rounds must be a whole number, not "1.5".'],
  [['levels', '--bytes', ''], '--bytes must be a number from 41 to 900, not "".'],
  [['levels', '--levels', 'slow'], `--levels does not know "slow", only ${candidateNames.join(', ')}.`],
  [['levels', '--workloads', 'none'], '--workloads does not know "none", only one-topic, many-topics.'],
  [['levels', '--rate', '0'], '--rate must be a number from 1 to 200000, not "0".'],
  [['levels', '--topics', '2.5'], '--topics must be a whole number, not "2.5".'],
  [['levels', '--burst', '65'], '--burst must be a number from 1 to 64, not "65".'],
])('refuses %j', (args, sentence) => {
  expect(() => parseCommandLine(args)).toThrow(typeof sentence === 'string' ? new UsageError(sentence) : sentence);
});

it('makes defaults fit what is given', () => {
  const workloadOf = (args: string[]) => {
    const request = parseCommandLine(args);
    return request.name === 'load' ? request.runs[0]?.workload : null;
  };
  expect(workloadOf(['subscriptions', '--topics', '10'])).toMatchObject({ subscriptions: { topics: 10 } });
  expect(workloadOf(['slow', '--subscribers', '10'])).toMatchObject({ disturbances: [{ share: 0.1 }] });
});

it('ends with code 2 and one sentence', () => {
  const { status, stderr, stdout } = spawnSync(process.execPath, [main, 'storm', '--rate', '-5'], {
    encoding: 'utf8',
  });
  expect({ status, stderr, stdout }).toEqual({
    status: 2,
    stderr: '--rate must be a number from 0.1 to 10000, not "-5". See --help.\n',
    stdout: '',
  });
});

it('explains itself', () => {
  const { status, stdout } = spawnSync(process.execPath, [main, '--help'], { encoding: 'utf8' });
  expect(status).toBe(0);
  for (const word of ['fan-out', 'plan <file>', '--servers', 'levels']) expect(stdout).toContain(word);
});
