/** Wrong words are answered with one sentence. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { parseAbuseCommandLine } from '../src/abuse/abuse-command-line.js';
import { attacks } from '../src/abuse/attacks/index.js';
import { slowdownOf } from '../src/abuse/siege.js';
import { UsageError } from '../src/flags.js';

const main = fileURLToPath(new URL('../dist/abuse/abuse-main.js', import.meta.url));

function run(...args: readonly string[]) {
  return spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
}

it('makes all attacks by default, or those that are named, in the order given', () => {
  expect(parseAbuseCommandLine([])).toMatchObject({ name: 'abuse', attacks, options: { seconds: 3, rounds: 3 } });
  expect(parseAbuseCommandLine(['--attack', 'no-pong,ping-flood'])).toMatchObject({
    attacks: [{ name: 'no-pong' }, { name: 'ping-flood' }],
  });
});

it('has another name for each attack', () => {
  expect(new Set(attacks.map(({ name }) => name)).size).toBe(attacks.length);
});

it.each([
  [['ping-flood'], '"ping-flood" stands where an option was expected.'],
  [['--seconds', '0'], '--seconds must be a number from 0.1 to 600, not "0".'],
  [['--rounds', '1.5'], '--rounds must be a whole number, not "1.5".'],
  [['--fault', 'x'], 'There is no option --fault here, only --attack, --seconds, --rounds, --json, --list, --help.'],
])('refuses %j', (args, sentence) => {
  expect(() => parseAbuseCommandLine(args)).toThrow(new UsageError(sentence));
});

it('ends with code 2 and one sentence', () => {
  const { status, stderr, stdout } = run('--rounds', '0');
  expect({ status, stderr, stdout }).toEqual({
    status: 2,
    stderr: '--rounds must be a number from 1 to 100, not "0". See --help.\n',
    stdout: '',
  });
});

it('explains itself', () => {
  const [help, list] = [run('--help'), run('--list')];
  expect([help.status, list.status]).toEqual([0, 0]);
  expect(help.stdout).toContain('--attack <names>');
  for (const { name, about } of attacks) {
    expect(list.stdout).toContain(`  ${name} `);
    expect(list.stdout).toContain(about);
  }
});

it.each([
  [[0.4, 1.3], null],
  [[6, 7.1], null],
  [[6, 7.3], 'p50 of good clients 6.00 ms before, 7.30 ms during'],
])('of a median that goes from %j', ([before, during], slowdown) => {
  const latency = (p50Ms = 0) => ({ p50Ms, p99Ms: p50Ms, count: 1 });
  const round = { before: latency(before), during: latency(during), after: latency(before), lagMaxMs: 0, lagP99Ms: 0 };
  expect(slowdownOf([round])).toBe(slowdown);
});
