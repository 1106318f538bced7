/** The command line of abuse, whose error for a mistake is one sentence, and its reports. */
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { readCpuList } from '@fanfare/kit/cpus';
import { UsageError } from '@fanfare/kit/options';
import { expect, it } from 'vitest';
import type { Attack } from '../src/attack.js';
import { type AttackRunResult, type Round, slowdownOf } from '../src/attack-run.js';
import { attacks } from '../src/attacks/index.js';
import { parseAbuseCommandLine } from '../src/command-line.js';
import type { Latency } from '../src/control-clients.js';
import { documentAttackRuns, documentedRow, reportAttackRuns } from '../src/report.js';

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));

function run(...args: readonly string[]) {
  return spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
}

it('abuse runs all attacks by default, or the given attacks in the given order', () => {
  const defaults = { attacks, nodes: [1, 3], options: { seconds: 3, rounds: 3 }, isForDocs: false };
  expect(parseAbuseCommandLine([])).toMatchObject({ ...defaults });
  expect(parseAbuseCommandLine(['--attack', 'no-pong,ping-flood'])).toMatchObject({
    attacks: [{ name: 'no-pong' }, { name: 'ping-flood' }],
  });
});

it('abuse runs once for each distinct number of nodes', () => {
  expect(parseAbuseCommandLine(['--nodes', '2,1,2'])).toMatchObject({ nodes: [2, 1] });
});

it('each attack has its own name', () => {
  expect(new Set(attacks.map(({ name }) => name)).size).toBe(attacks.length);
});

it.each([
  [['ping-flood'], 'Unexpected argument "ping-flood".'],
  [['--seconds', '0'], '--seconds must be a number from 0.1 to 600 seconds, not "0".'],
  [['--rounds', '1.5'], '--rounds must be a whole number from 1 to 100, not "1.5".'],
  [['--nodes', '1,ten'], '--nodes must be a whole number from 1 to 9, not "ten".'],
  [['--fault', 'x'], 'Unknown option --fault.'],
])('abuse refuses %j', (args, sentence) => {
  expect(() => parseAbuseCommandLine(args)).toThrow(new UsageError(sentence));
});

it('abuse exits with code 2 and one sentence if an option is invalid', () => {
  const { status, stderr, stdout } = run('--rounds', '0');
  expect({ status, stderr, stdout }).toEqual({
    status: 2,
    stderr: '--rounds must be a whole number from 1 to 100, not "0". See --help.\n',
    stdout: '',
  });
});

it('abuse prints its help and its attacks', () => {
  const [help, list] = [run('--help'), run('--list')];
  expect([help.status, list.status]).toEqual([0, 0]);
  expect(help.stdout).toContain('--attack <names>');
  for (const { name, about } of attacks) {
    expect(list.stdout).toContain(`  ${name} `);
    expect(list.stdout.replace(/\s+/g, ' ')).toContain(about);
  }
});

const latency = (p50Ms: number, p99Ms: number) => ({ p50Ms, p99Ms, count: 1 });

/** A round of control clients that had 1 ms and 4 ms before the attack. */
function roundOf(during: Latency): Round {
  return { before: latency(1, 4), during, after: latency(1, 4), lagMaxMs: 0, lagP99Ms: 0 };
}

it.each([
  [latency(1.9, 6), true, null],
  [latency(2.1, 6), true, 'p50 of control clients 1.00 ms before, 2.10 ms during'],
  [latency(1, 6.1), true, 'p99 of control clients 4.00 ms before, 6.10 ms during'],
  [latency(1, 6.1), false, null],
])(
  'control clients whose latencies become %j (99th percentile checked: %s) are slower only beyond the limit',
  (during, isTailJudged, slowdown) => {
    expect(slowdownOf([roundOf(during)], isTailJudged)).toBe(slowdown);
  },
);

it('the report has the 99th percentile during an attack as a multiple of that before it', () => {
  const [attack] = attacks as [Attack];
  const result: AttackRunResult = {
    ...{
      attack: attack.name,
      nodes: 3,
      sent: 7,
      outcomes: { 'cut off': 2 },
      memoryBytes: 2 * 1_048_576,
      slowdown: null,
    },
    rounds: [4, 7, 6].map((p99Ms) => roundOf(latency(2, p99Ms))),
    probes: { asked: 8, unanswered: 0 },
    controlClients: { published: 1, lost: 0, repeated: 0, reconnects: 0, refused: 0 },
    faults: ['a probe failed'],
  };
  const cells = reportAttackRuns([[attack, result]])
    .split('\n')
    .at(-1)
    ?.split(/ *\| */);
  expect(cells?.slice(2, -1)).toEqual([
    ...['3', '7', attack.answers.join(', '), '2 × cut off', '1.00, 2.00, 1.00', '4.00, 6.00, 4.00', '1.50'],
    ...['0, 0', '2', '0, 0', 'BAD: a probe failed'],
  ]);
  expect(
    documentAttackRuns([[attack, result]])
      .split('\n')
      .at(-1),
  ).toBe(`| ${documentedRow(attack).join(' | ')} | – | 1.00, 2.00; 4.00, 6.00; 1.50; 2 MiB |`);
});

it.each([
  ['0', [0]],
  ['0-2,5,8-9', [0, 1, 2, 5, 8, 9]],
  ['', []],
])('the CPU list %j is read correctly', (list, cpus) => {
  expect(readCpuList(list)).toEqual(cpus);
});

const hasTaskset = spawnSync('taskset', ['-p', String(process.pid)]).status === 0;

it.skipIf(!hasTaskset || availableParallelism() < 2)('the last CPU is reserved for the attackers', () => {
  const cpusModule = JSON.stringify(new URL('../../kit/dist/cpus.js', import.meta.url));
  const script = `
    import { readFileSync } from 'node:fs';
    import { spawn } from 'node:child_process';
    import { readCpuList, reserveCpu, setCpus } from ${cpusModule};
    const cpusOf = (pid) => readCpuList(/^Cpus_allowed_list:\\s*(.*)$/m.exec(readFileSync('/proc/' + pid + '/status', 'latin1'))[1]);
    const before = cpusOf('self');
    const reserved = reserveCpu();
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    setCpus(child.pid, [reserved]);
    console.log(JSON.stringify({ before, reserved, own: cpusOf('self'), child: cpusOf(child.pid) }));
    child.kill();
  `;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
  const { before, reserved, own, child } = JSON.parse(stdout);
  expect({ reserved, own, child }).toEqual({ reserved: before.at(-1), own: before.slice(0, -1), child: [reserved] });
});
