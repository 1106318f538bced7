/** Finds out whether a change has made Fanfare slower. Compares new ratios to other servers with recorded ratios. */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { markdownTable } from '@fanfare/kit/markdown-table';
import type { Show } from '../runs/load-command.js';
import { compare } from './compare.js';
import { ratios } from './compare-report.js';
import { type Estimate, estimate } from './statistics.js';

export const guardedRounds = 5;

/** A ratio may be worse than the recorded one by this share: two runs on a shared machine differ by about half of it. */
export const tolerance = 0.15;

/** Each is the number of deliveries that the server makes for one of the other, by CPU time. */
const guarded = [
  { name: 'fan-out', server: 'fanfare-fast', other: 'raw' },
  { name: 'fan-out', server: 'fanfare', other: 'raw' },
  { name: 'burst', server: 'fanfare-fast', other: 'raw-deferred' },
  { name: 'burst', server: 'fanfare', other: 'raw-deferred' },
  { name: 'point-to-point', server: 'fanfare-fast', other: 'raw' },
  { name: 'point-to-point', server: 'fanfare', other: 'raw' },
  { name: 'cross-node', server: 'fanfare-fast', other: 'ws-redis' },
  { name: 'cross-node', server: 'fanfare', other: 'ws-redis' },
] as const;

export interface GuardedRatio extends Estimate {
  readonly what: string;
}

const file = fileURLToPath(new URL('../../baseline.json', import.meta.url));

export async function measureGuard(rounds: number, show: Show): Promise<readonly GuardedRatio[]> {
  const { comparisons } = await compare(
    {
      cases: [...new Set(guarded.map(({ name }) => name))],
      servers: [...new Set(guarded.flatMap(({ server, other }) => [server, other]))],
      rounds,
      seconds: null,
      idleSubscribers: 0,
    },
    show,
  );
  return guarded.flatMap(({ name, server, other }) => {
    const results = comparisons.find((comparison) => comparison.name === name)?.results ?? [];
    return [...new Set(results.map(({ label }) => label))].flatMap((label) => {
      const found = estimate(
        ratios(
          results.filter((result) => result.label === label),
          server,
          other,
        ),
      );
      return found === null ? [] : [{ what: `${name}, ${label}: ${server} against ${other}`, ...found }];
    });
  });
}

export interface Judgement {
  readonly table: string;
  readonly isGood: boolean;
}

/** A ratio is worse only if even its upper bound is below the tolerated value: noise is not a regression. */
export function judge(measured: readonly GuardedRatio[], baseline: readonly GuardedRatio[]): Judgement {
  let isGood = true;
  const rows = baseline.map((recorded) => {
    const now = measured.find(({ what }) => what === recorded.what);
    const least = recorded.median * (1 - tolerance);
    const verdict = now === undefined ? 'NOT MEASURED' : now.high < least ? 'WORSE' : 'good';
    if (verdict !== 'good') isGood = false;
    return [recorded.what, text(recorded), now === undefined ? '' : text(now), least.toFixed(2), verdict];
  });
  return { table: markdownTable(['ratio', 'recorded', 'now', 'at least', 'verdict'], rows), isGood };
}

function text({ median, low, high }: Estimate): string {
  return `${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}

export async function readBaseline(): Promise<readonly GuardedRatio[]> {
  return JSON.parse(await readFile(file, 'utf8')) as GuardedRatio[];
}

export async function writeBaseline(measured: readonly GuardedRatio[]): Promise<void> {
  await writeFile(file, `${JSON.stringify(measured, null, 2)}\n`);
}
