/**
 * Searches for the maximum sustainable rate: it raises the rate until a run does not hold it. Each step is a separate
 * run on a fresh deployment.
 */

import { median } from '@fanfare/kit/median';
import type { LoadResult, RateSearch } from '../load/result.js';
import { mostGeneratorCpu, mostSlipP99Us } from '../load/validity.js';
import { count, milliseconds } from '../report/load-table.js';
import type { Run } from '../scenarios/scenario.js';
import { carryOutRun, findPresent, type LoadSettings, type Show } from './load-command.js';

/** A search ends when the lowest failed rate is at most this many times the highest rate that held. */
const precision = 1.05;
/** The search tries no lower rate. */
const leastPerSecond = 1;
/** Share of a CPU above which a node is full. */
const fullCpu = 0.9;

interface Bracket<Step> {
  /** The step with the highest rate that held (null: no rate held), and the step with the lowest rate that failed. */
  readonly held: Step | null;
  readonly failed: Step;
}

/**
 * Doubles a rate that holds and halves a rate that fails, until it knows one of each. Then it bisects the range between
 * them.
 */
export async function findHighest<Step>(
  first: number,
  attempt: (perSecond: number) => Promise<{ readonly step: Step; readonly holds: boolean }>,
): Promise<Bracket<Step>> {
  type Tried = { readonly at: number; readonly step: Step };
  let held = null as Tried | null;
  let failed = null as Tried | null;
  for (let at = first; ; ) {
    const { step, holds } = await attempt(at);
    if (holds) held = { at, step };
    else failed = { at, step };
    if (failed === null) at *= 2;
    else if (held === null && at / 2 < leastPerSecond) return { held: null, failed: failed.step };
    else if (held === null) at /= 2;
    else if (failed.at <= held.at * precision) return { held: held.step, failed: failed.step };
    // Rates differ by factors, so the middle is the geometric one; three digits are enough to read.
    else at = Number(Math.sqrt(held.at * failed.at).toPrecision(3));
  }
}

/**
 * Each run on each server. A rate that does not hold is tried again, `rounds` times: other load may have disturbed the
 * machine. The results so far are in `results` and `searches`.
 */
export async function searchRates(
  runs: readonly Run[],
  maxP99Ms: number,
  settings: LoadSettings,
  show: Show,
  results: LoadResult[],
  searches: RateSearch[],
): Promise<void> {
  const names = await findPresent(settings, show);
  for (const run of runs) {
    for (const name of names) {
      const bracket = await findHighest(run.workload.perSecond, async (perSecond) => {
        const label = `${run.label}, ${rateText(perSecond)}/s`;
        const faster = { ...run, label, workload: { ...run.workload, perSecond } };
        for (let round = 1; ; round++) {
          const step = await carryOutRun(faster, name, settings, show);
          results.push(step);
          const failure = failureOf(step, maxP99Ms);
          show.line(`${label}: ${name}: ${failure ?? `held, p99 ${milliseconds(step.latency.p99)} ms`}`);
          if (failure === null || round > settings.rounds) return { step, holds: failure === null };
        }
      });
      searches.push(conclude(run, bracket, maxP99Ms));
    }
  }
}

/** The reason why a rate did not hold; null if it held. */
function failureOf({ complaints, latency }: LoadResult, maxP99Ms: number): string | null {
  const [complaint] = complaints;
  if (complaint !== undefined) return complaint.replace(/\.$/, '');
  return latency.p99 > maxP99Ms * 1_000 ? `p99 was ${milliseconds(latency.p99)} ms, more than ${maxP99Ms}` : null;
}

/** The result of a search, and whether the server or the generator is its limit. */
export function conclude(
  { label, nodes }: Pick<Run, 'label' | 'nodes'>,
  { held, failed }: Bracket<LoadResult>,
  maxP99Ms: number,
): RateSearch {
  const { scenario, server, generatorCpu, slipP99Us, serverCpuUs, redisCpuUs } = failed;
  // A late generator looks like a slow server: then the result says nothing about the server.
  const isGenerator = generatorCpu > mostGeneratorCpu || slipP99Us > mostSlipP99Us;
  // From the half seconds of the load, because the time after the last publication does not count.
  const serverCpu = medianOf(failed, 'serverCpu');
  const redisCpu = medianOf(failed, 'redisCpu');
  const isFull = serverCpu >= fullCpu * nodes;
  const found =
    held === null
      ? 'no rate held'
      : `${isGenerator ? 'at least ' : ''}${rateOf(held)} held, with ${count(held.deliveries / held.workload.seconds)} deliveries a second and a p99 of ${milliseconds(held.latency.p99)} ms`;
  const busy = `its busiest process used ${percent(generatorCpu)} of a CPU`;
  const cause = !isGenerator
    ? `${isFull ? 'The server is full' : 'The limit is not the generator'}; of the generator, ${busy.replace('its', 'the')}.`
    : `The limit is the generator, not the server: ${busy}${generatorCpu > mostGeneratorCpu ? '' : ' and still fell behind. Something else on this machine slowed it down'}.`;
  const usage =
    serverCpuUs === null || failed.moments.length === 0
      ? ''
      : ` ${nodes === 1 ? 'The server' : `${nodes} nodes together`} used ${percent(serverCpu)} of a CPU${redisCpuUs === null ? '' : `, Redis ${percent(redisCpu)}`}.`;
  return {
    scenario,
    label,
    server,
    highestPerSecond: held?.workload.perSecond ?? null,
    limitedBy: isGenerator ? 'generator' : 'server',
    says: `${scenario}, ${label}, ${server}: ${found}. At ${rateOf(failed)}: ${failureOf(failed, maxP99Ms)}. ${cause}${usage}`,
  };
}

/** The median over the run; 0 if it is unknown. */
function medianOf({ moments }: LoadResult, what: 'serverCpu' | 'redisCpu'): number {
  const seen = moments.flatMap((moment) => moment[what] ?? []);
  return seen.length === 0 ? 0 : median(seen);
}

function rateOf({ workload }: LoadResult): string {
  return `${rateText(workload.perSecond)} publications a second`;
}

function rateText(perSecond: number): string {
  return perSecond.toLocaleString('en-US', { maximumSignificantDigits: 6 });
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
