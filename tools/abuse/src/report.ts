/** Reports on attacks: the table of the terminal, and the table of docs/security.md. */
import { markdownTable } from '@fanfare/kit/markdown-table';
import { median } from '@fanfare/kit/median';
import type { Attack } from './attack.js';
import { type AttackRunResult, type Course, courseOf } from './attack-run.js';

/** An attack and its result. */
export type AttackRun = readonly [Attack, AttackRunResult];

const head = [
  'attack',
  'nodes',
  'sent',
  'documented answers',
  'answers',
  'p50 before, during, after (ms)',
  'p99 (ms)',
  'p99, times before',
  'lost, twice',
  'memory (MiB)',
  'loop lag p99, max (ms)',
  'verdict',
];

export function reportAttackRuns(attackRuns: readonly AttackRun[]): string {
  const rows = attackRuns.map(([attack, result]) => {
    const p99 = courseOf(result.rounds, 'p99Ms');
    return [
      `${attack.name}${settingsOf(attack)}`,
      String(result.nodes),
      String(result.sent),
      attack.answers.join(', '),
      Object.entries(result.outcomes)
        .map(([outcome, count]) => `${count} × ${outcome}`)
        .join(', '),
      shown(courseOf(result.rounds, 'p50Ms')),
      shown(p99),
      (p99.during / p99.before).toFixed(2),
      `${result.controlClients.lost}, ${result.controlClients.repeated}`,
      mebibytes(result),
      (['lagP99Ms', 'lagMaxMs'] as const)
        .map((key) => median(result.rounds.map((round) => round[key])).toFixed(0))
        .join(', '),
      verdictOf(result),
    ];
  });
  return markdownTable(head, rows);
}

export function verdictOf({ faults, slowdown }: AttackRunResult): string {
  const reasons = slowdown === null ? faults : [...faults, slowdown];
  return reasons.length === 0 ? 'good' : `BAD: ${reasons.join('; ')}`;
}

/** The cluster sizes in the docs: one node in memory, and three nodes with a Redis. */
const documentedNodes = [1, 3] as const;

/** The table of the docs. */
export function documentAttackRuns(attackRuns: readonly AttackRun[]): string {
  const columns = ['attack', 'answer', ...documentedNodes.map((nodes) => (nodes === 1 ? '1 node' : `${nodes} nodes`))];
  const rows = [...new Set(attackRuns.map(([attack]) => attack))].map((attack) => [
    ...documentedRow(attack),
    ...documentedNodes.map((nodes) => {
      const attackRun = attackRuns.find(([{ name }, result]) => name === attack.name && result.nodes === nodes);
      return attackRun === undefined ? '–' : documented(attackRun[1]);
    }),
  ]);
  return [columns, columns.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** Attack and answer, for the docs. */
export function documentedRow(attack: Attack): readonly [attack: string, answer: string] {
  return [`${attack.about}${settingsOf(attack)} (\`${attack.name}\`)`, attack.answers.join(', ')];
}

/**
 * p50 without and with the attack; p99 without and with it, in milliseconds; how many times as long that is; memory.
 */
function documented(result: AttackRunResult): string {
  const [p50, p99] = (['p50Ms', 'p99Ms'] as const).map((key) => courseOf(result.rounds, key)) as [Course, Course];
  const pairs = [p50, p99].map(({ before, during }) => `${before.toFixed(2)}, ${during.toFixed(2)}`).join('; ');
  return `${pairs}; ${(p99.during / p99.before).toFixed(2)}; ${mebibytes(result)} MiB`;
}

function mebibytes({ memoryBytes }: AttackRunResult): string {
  return (memoryBytes / 1_048_576).toFixed(0);
}

/** Before, during and after the attack. */
function shown({ before, during, after }: Course): string {
  return [before, during, after].map((ms) => ms.toFixed(2)).join(', ');
}

function settingsOf({ settings }: Attack): string {
  const set = Object.entries(settings).filter(([name]) => name !== 'FANFARE_TOPICS');
  return set.length === 0 ? '' : `; ${set.map(([name, value]) => `${name}=${value}`).join(', ')}`;
}
