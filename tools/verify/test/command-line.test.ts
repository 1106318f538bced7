/** Wrong words are answered with one sentence. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { UsageError } from '@fanfare/kit/flags';
import { expect, it } from 'vitest';
import { faults } from '../src/faults/index.js';
import { parseVerifyCommandLine } from '../src/verify-command-line.js';

const main = fileURLToPath(new URL('../dist/verify-main.js', import.meta.url));

function run(...args: readonly string[]) {
  return spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
}

it('has a default for everything but the fault', () => {
  expect(parseVerifyCommandLine(['--fault', 'none'])).toMatchObject({
    name: 'verify',
    jsonFile: null,
    faults: [{ name: 'none' }],
    options: { rate: 2_000, topics: 200, subscribers: 300, nodes: 3, level: 'recoverable', seconds: 20, clients: null },
  });
});

it('takes several faults, in the order given, or all', () => {
  const several = parseVerifyCommandLine(['--fault', 'kill-node,none']);
  expect(several).toMatchObject({ faults: [{ name: 'kill-node' }, { name: 'none' }] });
  expect(parseVerifyCommandLine(['--fault', 'all'])).toMatchObject({ faults });
});

it('has modest defaults for a cluster that runs already', () => {
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

it('has another name for each fault', () => {
  expect(new Set(faults.map(({ name }) => name)).size).toBe(faults.length);
});

it.each([
  [
    [],
    'Say what breaks with --fault, or name a cluster that runs already with --url; --list says which faults there are.',
  ],
  [
    ['--url', 'ws://a/ws', '--fault', 'none'],
    '--fault starts a cluster and breaks it; with --url make the fault by hand, and leave --fault out.',
  ],
  [
    ['--url', 'ws://a/ws', '--nodes', '3'],
    '--nodes is about what is started here: it goes with --fault, not with --url.',
  ],
  [
    ['--url', 'ws://a/ws', '--clients', '3'],
    '--clients is about what is started here: it goes with --fault, not with --url.',
  ],
  [['--url', 'http://a/ws'], '--url must be like ws://127.0.0.1:8080/ws or wss://…, not "http://a/ws".'],
  [['--url', 'ws://a/ws,'], '--url must be like ws://127.0.0.1:8080/ws or wss://…, not "".'],
  [['--url', 'ws://a/ws, ws://a/ws'], '--url has the same URL twice.'],
  [['--url'], '--url needs a value.'],
  [['--fault', 'none', '--token', 'x'], '--token goes with --url: what is started here asks for none.'],
  [['--fault', 'none', '--clients', '5'], '--clients is for faults that add clients: storm, stalled-subscriber.'],
  [['--list', '--rate', '5'], '--list shows the faults and does nothing else: leave the other options out.'],
  [['none'], '"none" stands where an option was expected.'],
  [['--fault', 'none', '--level'], '--level needs a value: fast, recoverable, durable.'],
  [['--fault', 'none', '--rate', 'fast'], '--rate must be a number from 1 to 50000, not "fast".'],
  [['--fault', 'none', '--topics', '0'], '--topics must be a number from 1 to 10000, not "0".'],
  [['--fault', 'none', '--topics', '2', '--topics-each', '3'], '--topics-each must be a number from 1 to 2, not "3".'],
  [['--fault', 'none', '--lanes-per-topic', '5'], '--lanes-per-topic must be a number from 1 to 4, not "5".'],
  [['--fault', 'none', '--subscribers', '2.5'], '--subscribers must be a whole number, not "2.5".'],
  [['--fault', 'none', '--bytes=-1'], '--bytes must be a number from 0 to 16000, not "-1".'],
  [['--fault', 'none', '--nodes', '1'], '--nodes must be a number from 2 to 9, not "1".'],
  [['--fault', 'none', '--level', 'sure'], '--level does not know "sure", only fast, recoverable, durable.'],
  [
    ['--fault', 'none', '--level', 'fast,durable'],
    '--level does not know "fast,durable", only fast, recoverable, durable.',
  ],
  [['--fault', 'none', '--seconds', '1'], '--seconds must be a number from 2 to 3600, not "1".'],
  [['--fault', 'storm', '--clients', '0'], '--clients must be a number from 1 to 10000, not "0".'],
])('refuses %j', (args, sentence) => {
  expect(() => parseVerifyCommandLine(args)).toThrow(new UsageError(sentence));
});

it('names the faults that there are where it does not know one', () => {
  expect(() => parseVerifyCommandLine(['--fault', 'flood'])).toThrow(
    /^--fault does not know "flood", only none, kill-node, /,
  );
});

it('ends with code 2 and one sentence', () => {
  const { status, stderr, stdout } = run('--fault', 'none', '--rate', '-5');
  expect({ status, stderr, stdout }).toEqual({
    status: 2,
    stderr: '--rate must be a number from 1 to 50000, not "-5". See --help.\n',
    stdout: '',
  });
});

it('explains itself', () => {
  const [help, list] = [run('--help'), run('--list')];
  expect([help.status, list.status]).toEqual([0, 0]);
  expect(help.stdout).toContain('--fault <names>');
  for (const { name, about } of faults) {
    expect(list.stdout).toContain(`  ${name} `);
    expect(list.stdout).toContain(about);
  }
});
