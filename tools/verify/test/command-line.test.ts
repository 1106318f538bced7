/** The command line of verify. The error for a mistake is one sentence. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { UsageError } from '@fanfare/kit/options';
import { expect, it } from 'vitest';
import { placements } from '../src/cluster/placement.js';
import { parseVerifyCommandLine } from '../src/command-line.js';
import { faults } from '../src/faults/index.js';

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));

function run(...args: readonly string[]) {
  return spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
}

it('verify has a default for everything except the fault', () => {
  expect(parseVerifyCommandLine(['--fault', 'none'])).toMatchObject({
    name: 'verify',
    jsonFile: null,
    faults: [{ name: 'none' }],
    options: {
      rate: 2_000,
      topics: 200,
      subscribers: 300,
      nodes: 3,
      redis: 'single',
      level: 'recoverable',
      seconds: 20,
    },
  });
});

it('verify accepts several faults, in the given order, or all', () => {
  const several = parseVerifyCommandLine(['--fault', 'kill-node,none']);
  expect(several).toMatchObject({ faults: [{ name: 'kill-node' }, { name: 'none' }] });
});

it.each(placements)('verify --fault all has all faults that are possible with --redis %s', (redis) => {
  const possible = faults.filter((fault) => fault.placements.includes(redis));
  expect(possible.length).toBeGreaterThan(10);
  expect(parseVerifyCommandLine(['--fault', 'all', '--redis', redis])).toMatchObject({
    faults: possible,
    options: { redis },
  });
});

it('each fault is possible with some placement, and each placement has the fault none', () => {
  for (const { placements: own } of faults) expect(own.length).toBeGreaterThan(0);
  expect(faults.find(({ name }) => name === 'none')?.placements).toEqual(placements);
});

it('verify has smaller defaults for a running cluster', () => {
  expect(parseVerifyCommandLine(['--url', 'ws://a/ws, wss://b/ws', '--token', 'x', '--seconds', '5'])).toMatchObject({
    name: 'verifyExisting',
    jsonFile: null,
    options: {
      urls: ['ws://a/ws', 'wss://b/ws'],
      token: 'x',
      rate: 200,
      topics: 40,
      subscribers: 40,
      level: 'recoverable',
      seconds: 5,
    },
  });
});

it('each fault has its own name', () => {
  expect(new Set(faults.map(({ name }) => name)).size).toBe(faults.length);
});

it.each([
  [[], 'Name a fault with --fault (--list shows them), or a running cluster with --url.'],
  [['--url', 'ws://a/ws', '--fault', 'none'], '--fault is for clusters that this command starts: omit it with --url.'],
  [['--url', 'ws://a/ws', '--nodes', '3'], '--nodes is for clusters that this command starts: omit it with --url.'],
  [
    ['--url', 'ws://a/ws', '--redis', 'shards'],
    '--redis is for clusters that this command starts: omit it with --url.',
  ],
  [['--url', 'ws://a/ws', '--clients', '3'], '--clients is for clusters that this command starts: omit it with --url.'],
  [['--url', 'ws://a/ws', '--append', 'x'], '--append is for clusters that this command starts: omit it with --url.'],
  [['--url', 'http://a/ws'], '--url must look like ws://127.0.0.1:8080/ws or wss://host/ws, not "http://a/ws".'],
  [['--url', 'ws://a/ws,'], '--url must look like ws://127.0.0.1:8080/ws or wss://host/ws, not "".'],
  [['--url', 'ws://a/ws, ws://a/ws'], '--url has the same URL twice.'],
  [['--url'], '--url needs a value.'],
  [['--fault', 'none', '--token', 'x'], '--token needs --url: nodes that this command starts need no token.'],
  [['--fault', 'slot-moved'], '--fault slot-moved needs --redis cluster, not single.'],
  [
    ['--fault', 'none,redis-stop', '--redis', 'cluster'],
    '--fault redis-stop needs --redis single or shards, not cluster.',
  ],
  [
    ['--fault', 'shard-hung', '--redis', 'sentinel-shards'],
    '--fault shard-hung needs --redis shards, not sentinel-shards.',
  ],
  [
    ['--fault', 'none', '--redis', 'pair'],
    '--redis does not accept "pair". Valid: single, sentinel, shards, sentinel-shards, cluster.',
  ],
  [['--fault', 'none', '--clients', '5'], '--clients is for faults that add clients: storm, stalled-subscriber.'],
  [
    ['--fault', 'none', '--transports', 'http'],
    '--transports needs one that subscribes: websocket, fallback, sse, long-poll.',
  ],
  [
    ['--url', 'ws://a/ws,ws://b/ws', '--transports', 'fallback'],
    '--transports fallback needs one --url: these clients do not take turns.',
  ],
  [['none'], 'Unexpected argument "none".'],
  [['--fault', 'none', '--level'], '--level needs a value: fast, recoverable, durable.'],
  [['--fault', 'none', '--rate', 'fast'], '--rate must be a number from 1 to 50000, not "fast".'],
  [['--fault', 'none', '--topics', '0'], '--topics must be a whole number from 1 to 10000, not "0".'],
  [['--fault', 'none', '--topics', '2', '--topics-each', '3'], '--topics-each must be at most 2 (--topics), not 3.'],
  [
    ['--fault', 'none', '--publishers-per-topic', '5'],
    '--publishers-per-topic must be a whole number from 1 to 4, not "5".',
  ],
  [['--fault', 'none', '--subscribers', '2.5'], '--subscribers must be a whole number from 1 to 3000, not "2.5".'],
  [['--fault', 'none', '--bytes=-1'], '--bytes must be a whole number from 0 to 16000 bytes, not "-1".'],
  [['--fault', 'none', '--nodes', '1'], '--nodes must be a whole number from 2 to 9, not "1".'],
  [['--fault', 'none', '--level', 'sure'], '--level does not accept "sure". Valid: fast, recoverable, durable.'],
  [
    ['--fault', 'none', '--level', 'fast,durable'],
    '--level does not accept "fast,durable". Valid: fast, recoverable, durable.',
  ],
  [['--fault', 'none', '--seconds', '1'], '--seconds must be a number from 2 to 3600 seconds, not "1".'],
  [['--fault', 'storm', '--clients', '0'], '--clients must be a whole number from 1 to 10000, not "0".'],
])('verify refuses %j', (args, sentence) => {
  expect(() => parseVerifyCommandLine(args)).toThrow(new UsageError(sentence));
});

it('verify suggests a fault or lists all faults if a name is unknown', () => {
  expect(() => parseVerifyCommandLine(['--fault', 'kil-node'])).toThrow('Did you mean kill-node?');
  expect(() => parseVerifyCommandLine(['--fault', 'flood'])).toThrow(
    /^--fault does not accept "flood". Valid: none, kill-node, /,
  );
});

it('verify exits with code 2 and one sentence if an option is invalid', () => {
  const { status, stderr, stdout } = run('--fault', 'none', '--rate', '-5');
  expect({ status, stderr, stdout }).toEqual({
    status: 2,
    stderr: '--rate must be a number from 1 to 50000, not "-5". See --help.\n',
    stdout: '',
  });
});

it('verify prints its help', () => {
  const [help, list] = [run('--help'), run('--list')];
  expect([help.status, list.status]).toEqual([0, 0]);
  expect(help.stdout).toContain('--fault <names>');
  const text = list.stdout.replace(/\s+/g, ' ');
  for (const { name, about } of faults) {
    expect(list.stdout).toContain(`  ${name} `);
    expect(text).toContain(about);
  }
  expect(text).toContain('for 4 s (SIGSTOP, SIGCONT). Only with --redis single, shards.');
});
