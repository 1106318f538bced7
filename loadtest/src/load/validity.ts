/** When a figure is not one: each rule is a way in which load tests have fooled people. */
import type { LoadResult } from './result.js';

/** Share of a CPU above which a generator process may be what is measured. */
const mostGeneratorCpu = 0.85;
const mostSlipP99Us = 20_000;

export interface Evidence
  extends Pick<
    LoadResult,
    'published' | 'deliveries' | 'lost' | 'repeated' | 'foreign' | 'told' | 'generatorCpu' | 'slipP99Us' | 'failures'
  > {
  /** Publications that were to be sent. */
  readonly planned: number;
  /** Deliveries that each generator process has counted. */
  readonly deliveriesOfShards: readonly number[];
  /** Whether each of them has subscribers that get publications. */
  readonly isEachListening: boolean;
  /** Whether connections break because the scenario has it so. */
  readonly expectsFailures: boolean;
}

/** What speaks against the figures, in sentences; none: they are valid. */
export function findComplaints(evidence: Evidence): string[] {
  const { published, deliveries, lost, repeated, foreign, told, planned } = evidence;
  const { generatorCpu, slipP99Us, deliveriesOfShards, isEachListening, failures, expectsFailures } = evidence;
  const complaints: string[] = [];
  const complain = (isSo: boolean, complaint: string): void => {
    if (isSo) complaints.push(complaint);
  };
  const percent = (share: number): string => `${Math.round(share * 1_000) / 10} %`;
  complain(planned > 0 && published === 0, 'Nothing was published.');
  complain(published > 0 && deliveries === 0 && isEachListening, 'Nothing arrived.');
  complain(lost > 0 && told === 0, `${lost} deliveries were lost, and nobody was told.`);
  complain(lost > 0 && told > 0, `${lost} deliveries were lost; subscribers were told ${told} times.`);
  complain(repeated > 0, `${repeated} deliveries came twice or out of order: more arrived than was sent.`);
  complain(foreign > 0, `${foreign} deliveries were none of this load's.`);
  complain(
    generatorCpu > mostGeneratorCpu,
    `A generator process used ${percent(generatorCpu)} of a CPU: it may be what was measured. Use more of them (--generators) or less load.`,
  );
  complain(
    slipP99Us > mostSlipP99Us,
    `1 % of the publications left ${Math.round(slipP99Us / 1_000)} ms late or later: the schedule was not kept.`,
  );
  const isSilent = isEachListening && deliveries > 0 && deliveriesOfShards.some((count) => count === 0);
  complain(isSilent, 'A generator process got nothing, while others did.');
  const [first] = deliveriesOfShards;
  complain(
    lost > 0 && deliveriesOfShards.length > 1 && deliveriesOfShards.every((count) => count === first),
    'All generator processes stopped at the same count: a ceiling of the generator, not of the server.',
  );
  if (!expectsFailures) {
    for (const [failure, count] of Object.entries(failures)) complaints.push(`${count} times: ${failure}`);
  }
  return complaints;
}
