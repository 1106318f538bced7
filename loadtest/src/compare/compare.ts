/** Runs the cases. Servers take turns, so that a disturbance of the machine affects all of them. */
import type { LoadResult } from '../load/result.js';
import { carryOutRuns, type Show } from '../runs/load-command.js';
import { servers } from '../servers/servers.js';
import type { Case } from './case.js';
import { cases, everyone } from './cases.js';
import { httpSubscribers } from './http-cases.js';
import { type IdleSample, measureIdle } from './idle.js';

export interface CompareOptions {
  readonly cases: readonly string[];
  /** Only these; null: all that a case names. */
  readonly servers: readonly string[] | null;
  readonly rounds: number;
  /** Length of each measured time, instead of the case's; null: the case's. */
  readonly seconds: number | null;
  /** Subscribers for the memory figure; 0 leaves it out. */
  readonly idleSubscribers: number;
}

export interface Comparison {
  readonly name: string;
  readonly results: readonly (LoadResult & { readonly round: number })[];
}

export interface Compared {
  readonly comparisons: readonly Comparison[];
  readonly idle: readonly IdleSample[];
  /** Servers that could not be started, and why. */
  readonly missing: readonly string[];
}

export async function compare(options: CompareOptions, show: Show): Promise<Compared> {
  const present = new Map<string, boolean>();
  const missing: string[] = [];
  const wanted = new Set(options.cases.flatMap((name) => caseNamed(name).servers));
  for (const name of wanted) {
    const reason = servers[name] === undefined ? 'it is not known here' : await servers[name].missing();
    present.set(name, reason === null);
    if (reason === null) continue;
    missing.push(`${name}: ${reason}`);
    show.line(`Left out: ${name}: ${reason}`);
  }
  const isWanted = (name: string): boolean =>
    present.get(name) === true && (options.servers === null || options.servers.includes(name));
  const comparisons: Comparison[] = [];
  for (const name of options.cases) {
    const { runs, servers: all, measuresLatency: garbage = false } = caseNamed(name);
    const { seconds } = options;
    const lasting = runs.map((run) => (seconds === null ? run : { ...run, workload: { ...run.workload, seconds } }));
    const names = all.filter(isWanted);
    // A missing server was already reported.
    if (names.length === 0) continue;
    const results: Comparison['results'][number][] = [];
    for (let round = 1; round <= options.rounds; round++) {
      show.line(`${name}: round ${round} of ${options.rounds}`);
      const order = round % 2 === 1 ? names : names.toReversed();
      const clients = { encoding: 'msgpack', protocol: 'websocket', isTyped: false } as const;
      const settings = { servers: order, url: null, token: null, ...clients } as const;
      const quiet = { line: () => {}, moment: show.moment.bind(show) };
      const ofRound = await carryOutRuns(lasting, { ...settings, generators: 1, rounds: 1, garbage }, quiet);
      results.push(...ofRound.map((result) => ({ ...result, round })));
    }
    comparisons.push({ name, results });
  }
  const idle =
    options.idleSubscribers === 0
      ? []
      : await measureIdle(
          idleServers.filter((name) => options.servers?.includes(name) ?? true),
          options,
          show,
        );
  return { comparisons, idle, missing };
}

/** Nothing is published here, so raw-deferred would be the same as raw. */
const idleServers = [...everyone.filter((name) => name !== 'raw-deferred'), ...httpSubscribers];

export function caseNamed(name: string): Case {
  const found = cases[name];
  if (found === undefined) throw new Error(`There is no case ${name}.`);
  return found;
}
