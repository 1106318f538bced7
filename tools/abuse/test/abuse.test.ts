/**
 * Runs each attack briefly against real nodes: it gains nothing, gets the documented answers, and control clients lose
 * nothing.
 */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { Attack } from '../src/attack.js';
import { runAttack } from '../src/attack-run.js';
import { attacks } from '../src/attacks/index.js';
import { documentedRow } from '../src/report.js';

const timeoutMs = 180_000;

/** Attacks that need several nodes, and attacks on limits that apply to all nodes together. */
const ofSeveral = ['subject-flood', 'publish-flood', 'revocation-flood'];

const ofOne = attacks.filter(({ leastNodes }) => leastNodes === 1);
const onThree = attacks.filter(({ name, leastNodes }) => leastNodes > 1 || ofSeveral.includes(name));

async function expectNoFault(attack: Attack, nodes: number): Promise<void> {
  const result = await runAttack(attack, { seconds: 0.3, rounds: 1, nodes, attackerCpu: null });
  expect(result.faults, JSON.stringify(result.outcomes)).toEqual([]);
  expect(result.nodes).toBe(nodes);
  expect(result.controlClients.published).toBeGreaterThan(0);
}

it.concurrent.each(named(ofOne))('%s', (_, attack) => expectNoFault(attack, 1), timeoutMs);

// One after the other: each has its own three nodes and Redis.
it.each(named(onThree))('%s, on three nodes', (_, attack) => expectNoFault(attack, 3), timeoutMs);

function named(some: readonly Attack[]): (readonly [name: string, attack: Attack])[] {
  return some.map((attack) => [attack.name, attack] as const);
}

it('every attack is in docs/security.md with its answer', () => {
  const page = readFileSync(new URL('../../../docs/security.md', import.meta.url), 'utf8');
  const [section = ''] = (page.split('## Attack tests\n')[1] ?? '').split('\n## ');
  const rows = [...section.matchAll(/^\| (.+?) \| (.+?) \| /gm)].map(([, attack, answer]) => [attack, answer]).slice(1);
  expect(rows).toEqual(attacks.map(documentedRow));
});
