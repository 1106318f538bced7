/** The command line of the load generator. The error for a mistake is one sentence. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { UsageError } from '@fanfare/kit/options';
import { expect, it } from 'vitest';
import { parseCommandLine } from '../src/command-line/command-line.js';
import { candidateNames } from '../src/scenarios/levels.js';
import { scenarios } from '../src/scenarios/scenarios.js';
import { servers } from '../src/servers/servers.js';

const known = [...Object.keys(scenarios), 'plan', 'report', 'levels'].join(', ');
const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));

it('the command line accepts scenarios by name, with options that change them', () => {
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
])('the load generator makes a run for each combination of the values in %j', (args, labels) => {
  const request = parseCommandLine(args);
  const runs = request.name === 'load' ? request.runs : [];
  expect(runs.map(({ label }) => label)).toEqual(labels);
  expect(new Set(runs.map(({ workload, nodes }) => JSON.stringify([workload, nodes]))).size).toBe(labels.length);
});

it.each([
  [[], `Name a scenario or a command: ${known}.`],
  [['fanin'], 'Unknown scenario "fanin". Did you mean fan-in?'],
  [['pigeon'], `Unknown scenario "pigeon". The first word must be one of ${known}.`],
  [['storm', 'now'], 'Unexpected argument "now".'],
  [['storm', '--speed', '9'], 'Unknown option --speed.'],
  [['storm', '-r', '9'], 'Unknown option -r.'],
  [['storm', '--constructor', '9'], 'Unknown option --constructor.'],
  [['storm', '--subscriber', '9'], 'Unknown option --subscriber. Did you mean --subscribers?'],
  [['storm', '--rate'], '--rate needs a value: 0.1 to 10000.'],
  [['storm', '--rate', '--nodes', '2'], '--rate needs a value: 0.1 to 10000.'],
  [['storm', '--rate', '-5'], '--rate must be a number from 0.1 to 10000, not "-5".'],
  [['storm', '--rate=-5'], '--rate must be a number from 0.1 to 10000, not "-5".'],
  [['storm', '--client=yes'], '--client takes no value.'],
  [['storm', '--servers'], '--servers needs a value.'],
  [['storm', '--url', 'ws://a', '--encoding'], '--encoding needs a value: msgpack, json.'],
  [['storm', '--share', '2'], '--share must be a number from 0 to 1, not "2".'],
  [['storm', '--subscribers', '10,few'], '--subscribers must be a whole number from 1 to 100000, not "few".'],
  [['storm', '--url', 'localhost'], '--url must look like ws://127.0.0.1:8080/ws or wss://host/ws, not "localhost".'],
  [['storm', '--servers', 'pigeon'], `--servers does not accept "pigeon". Valid: ${Object.keys(servers).join(', ')}.`],
  [['storm', '--url', 'ws://a', '--encoding', 'xml'], '--encoding does not accept "xml". Valid: msgpack, json.'],
  [
    ['fan-out', '--protocol', 'pigeon'],
    /^--protocol does not accept "pigeon"\. Valid: websocket, sse, long-poll, http/,
  ],
  [['fan-out', '--protocol', 'sse', '--client'], '--client uses the WebSocket: omit --protocol.'],
  [
    ['fan-out', '--protocol', 'sse', '--url', 'ws://a', '--encoding', 'json'],
    '--encoding is for WebSockets: omit it with --protocol.',
  ],
  [['absence', '--protocol', 'sse'], 'absence needs clients that recover, which use the WebSocket: omit --protocol.'],
  [['subscriptions', '--protocol', 'sse'], '--protocol sse cannot end a subscription, as subscriptions does: omit it.'],
  [['fan-out', '--protocol', 'http', '--servers', 'nchan'], 'nchan cannot serve --protocol http: omit it.'],
  [['fan-out', '--servers', 'fastify'], 'fastify cannot deliver to subscribers, as this load needs: omit it.'],
  [
    ['storm', '--encoding', 'json'],
    '--encoding needs --url. Without it, choose by --servers, for example fanfare-json.',
  ],
  [
    ['storm', '--url', 'ws://a', '--nodes', '2'],
    '--nodes is for servers that this command starts: omit it with --url.',
  ],
  [
    ['storm', '--url', 'ws://a', '--servers', 'raw'],
    '--servers is for servers that this command starts: omit it with --url.',
  ],
  [
    ['fan-out', '--url', 'ws://127.0.0.1:1/ws', '--garbage'],
    '--garbage is for servers that this command starts: omit it with --url.',
  ],
  [['storm', '--token', 'x'], '--token needs --url: servers that this command starts need no token.'],
  [['idle', '--find-max-rate'], '--find-max-rate does not work with idle, which publishes nothing.'],
  [['storm', '--max-p99-ms', '5'], '--max-p99-ms needs --find-max-rate.'],
  [['storm', '--find-max-rate', '--max-p99-ms', '0'], '--max-p99-ms must be a number from 0.1 to 60000 ms, not "0".'],
  [['plan'], 'Name the file of the plan: npm run loadtest -- plan <file>.'],
  [['plan', '/nowhere'], 'Cannot read the plan /nowhere: no such file or directory.'],
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
    "raw cannot serve the typed client, which this needs and which speaks only Fanfare's protocol: omit it.",
  ],
  [
    ['cross-node', '--servers', 'fanfare,mosquitto'],
    'mosquitto cannot be 2 nodes, because its processes do not connect to each other: omit it.',
  ],
  [
    ['subscriptions', '--nodes', '1', '--servers', 'fanfare,raw'],
    'raw cannot end a subscription, as this load does: omit it.',
  ],
  [['levels', 'now'], 'Unexpected argument "now".'],
  [['levels', '--speed', '9'], 'Unknown option --speed.'],
  [['levels', '--levels'], `--levels needs a value: ${candidateNames.join(', ')}, all.`],
  [['levels', '--workloads'], '--workloads needs a value: one-topic, many-topics, all.'],
  [['levels', '--rounds', 'few'], '--rounds must be a whole number from 1 to 1000, not "few".'],
  [['levels', '--rounds', '1.5'], '--rounds must be a whole number from 1 to 1000, not "1.5".'],
  [['levels', '--bytes', ''], '--bytes must be a whole number from 41 to 900 bytes, not "".'],
  [['levels', '--levels', 'slow'], `--levels does not accept "slow". Valid: ${candidateNames.join(', ')}.`],
  [['levels', '--workloads', 'none'], '--workloads does not accept "none". Valid: one-topic, many-topics.'],
  [['levels', '--rate', '0'], '--rate must be a number from 1 to 200000, not "0".'],
  [['levels', '--topics', '2.5'], '--topics must be a whole number from 1 to 10000, not "2.5".'],
  [['levels', '--burst', '65'], '--burst must be a whole number from 1 to 64, not "65".'],
])('the load generator refuses %j', (args, sentence) => {
  expect(() => parseCommandLine(args)).toThrow(typeof sentence === 'string' ? new UsageError(sentence) : sentence);
});

it('defaults are adjusted to the options that are given', () => {
  const workloadOf = (args: string[]) => {
    const request = parseCommandLine(args);
    return request.name === 'load' ? request.runs[0]?.workload : null;
  };
  expect(workloadOf(['subscriptions', '--topics', '10'])).toMatchObject({ subscriptions: { topics: 10 } });
  expect(workloadOf(['slow', '--subscribers', '10'])).toMatchObject({ disturbances: [{ share: 0.1 }] });
});

it('the load generator exits with code 2 and one sentence if an option is invalid', () => {
  const { status, stderr, stdout } = spawnSync(process.execPath, [main, 'storm', '--rate', '-5'], {
    encoding: 'utf8',
  });
  expect({ status, stderr, stdout }).toEqual({
    status: 2,
    stderr: '--rate must be a number from 0.1 to 10000, not "-5". See --help.\n',
    stdout: '',
  });
});

it('the load generator prints its help', () => {
  const { status, stdout } = spawnSync(process.execPath, [main, '--help'], { encoding: 'utf8' });
  expect(status).toBe(0);
  for (const word of ['fan-out', 'plan <file>', '--servers', 'levels']) expect(stdout).toContain(word);
});
