/** What is told of attacks: a table at the terminal, and the rows of the one in docs/security.md. */
import { markdownTable } from '../markdown-table.js';
import { median } from '../median.js';
import type { Attack } from './attack.js';
import type { Latency } from './regulars.js';
import type { Round, SiegeResult } from './siege.js';

const head = [
  'attack',
  'sent',
  'documented',
  'seen',
  'p50 before, during, after (ms)',
  'p99 (ms)',
  'lost, twice',
  'memory (MiB)',
  'loop lag p99, max (ms)',
  'verdict',
];

export function reportSieges(sieges: readonly (readonly [Attack, SiegeResult])[]): string {
  const rows = sieges.map(([attack, result]) => [
    `${attack.name}${settingsOf(attack)}`,
    String(result.sent),
    attack.answers.join(', '),
    Object.entries(result.outcomes)
      .map(([outcome, count]) => `${count} × ${outcome}`)
      .join(', '),
    course(result.rounds, 'p50Ms'),
    course(result.rounds, 'p99Ms'),
    `${result.regulars.lost}, ${result.regulars.repeated}`,
    (result.memoryBytes / 1_048_576).toFixed(0),
    (['lagP99Ms', 'lagMaxMs'] as const)
      .map((key) => median(result.rounds.map((round) => round[key])).toFixed(0))
      .join(', '),
    verdictOf(result),
  ]);
  return markdownTable(head, rows);
}

export function verdictOf({ faults, slowdown }: SiegeResult): string {
  const reasons = slowdown === null ? faults : [...faults, slowdown];
  return reasons.length === 0 ? 'good' : `BAD: ${reasons.join('; ')}`;
}

/** Attack and answer, for the docs. */
export function documentedRow(attack: Attack): readonly [attack: string, answer: string] {
  return [`${attack.about}${settingsOf(attack)} (\`${attack.name}\`)`, attack.answers.join(', ')];
}

/** Before, during and after the attack: medians of the rounds. */
export function course(rounds: readonly Round[], key: keyof Latency): string {
  return (['before', 'during', 'after'] as const)
    .map((part) => median(rounds.map((round) => round[part][key])).toFixed(2))
    .join(', ');
}

function settingsOf({ settings }: Attack): string {
  const set = Object.entries(settings).filter(([name]) => name !== 'FANFARE_TOPICS');
  return set.length === 0 ? '' : `; ${set.map(([name, value]) => `${name}=${value}`).join(', ')}`;
}
