/** Wrong words are answered with one sentence. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { parseCommandLine, UsageError } from '../src/command-line.js';
import { candidateNames } from '../src/levels/levels.js';
import { servers } from '../src/servers/servers.js';

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
  [[], 'Say what to measure: the name of a scenario.'],
  [['fanin'], 'There is no scenario "fanin". The name of the scenario comes first.'],
  [['storm', 'now'], '"now" stands where an option was expected.'],
  [['storm', '--speed', '9'], "Unknown option '--speed'."],
  [['storm', '--share', '2'], '--share must be a number from 0 to 1, not "2".'],
  [['storm', '--subscribers', '10,few'], '--subscribers must be a number from 1 to 100000, not "few".'],
  [['storm', '--url', 'localhost'], '--url must be like ws://127.0.0.1:8080/ws or wss://…, not "localhost".'],
  [['storm', '--servers', 'pigeon'], `--servers does not know "pigeon", only ${Object.keys(servers).join(', ')}.`],
  [['storm', '--url', 'ws://a', '--encoding', 'xml'], '--encoding must be msgpack or json, not "xml".'],
  [
    ['storm', '--encoding', 'json'],
    '--encoding goes with --url; here it follows from --servers (fanfare or fanfare-json, for example).',
  ],
  [
    ['storm', '--url', 'ws://a', '--nodes', '2'],
    '--nodes is about nodes that are started here: it cannot stand beside --url.',
  ],
  [['storm', '--token', 'x'], '--token goes with --url: what is started here asks for none.'],
  [
    ['storm', '--url', 'ws://a', '--token', 'x', '--client'],
    '--token cannot go with --client yet: the typed client has no token to send.',
  ],
  [['idle', '--find-max-rate'], '--find-max-rate cannot go with idle: nothing is published there.'],
  [['storm', '--max-p99-ms', '5'], '--max-p99-ms goes with --find-max-rate.'],
  [['storm', '--find-max-rate', '--max-p99-ms', '0'], '--max-p99-ms must be a number from 0.1 to 60000, not "0".'],
  [['plan'], 'Say which file holds the plan: npm run loadtest -- plan <file>.'],
  [['plan', '/nowhere'], "The plan /nowhere cannot be read: ENOENT: no such file or directory, open '/nowhere'"],
  [['levels', 'now'], '"now" stands where an option was expected.'],
  [['levels', '--speed', '9'], "Unknown option '--speed'."],
  [['levels', '--rounds', 'few'], '--rounds must be a number from 1 to 1000, not "few".'],
  [['levels', '--rounds', '1.5'], '--rounds must be a whole number, not "1.5".'],
  [['levels', '--bytes', ''], '--bytes must be a number from 41 to 900, not "".'],
  [['levels', '--levels', 'slow'], `--levels does not know "slow", only ${candidateNames.join(', ')}.`],
  [['levels', '--workloads', 'none'], '--workloads does not know "none", only one-topic, many-topics.'],
  [['levels', '--rate', '0'], '--rate must be a number from 1 to 200000, not "0".'],
  [['levels', '--topics', '2.5'], '--topics must be a whole number, not "2.5".'],
  [['levels', '--burst', '65'], '--burst must be a number from 1 to 64, not "65".'],
])('refuses %j', (args, sentence) => {
  expect(() => parseCommandLine(args)).toThrow(new UsageError(sentence));
});

it('ends with code 2 and one sentence', () => {
  const { status, stderr, stdout } = spawnSync(process.execPath, [main, 'levels', '--speed', '9'], {
    encoding: 'utf8',
  });
  expect({ status, stderr, stdout }).toEqual({
    status: 2,
    stderr: "Unknown option '--speed'. See --help.\n",
    stdout: '',
  });
});

it('explains itself', () => {
  const { status, stdout } = spawnSync(process.execPath, [main, '--help'], { encoding: 'utf8' });
  expect(status).toBe(0);
  for (const word of ['fan-out', 'plan <file>', '--servers', 'levels']) expect(stdout).toContain(word);
});
