/**
 * The scenario `levels`: what a publication costs at each level, compared with plain PUBLISH and SUBSCRIBE. It measures two nodes, and
 * Redis between them. Candidates take turns, so that a disturbance of the machine affects all of them.
 */
import { type CandidateName, describeWorkload, type LevelsOptions, type Workload } from '../scenarios/levels.js';
import { NodesPath, type NodesPathOptions } from './nodes-path.js';
import type { Schedule } from './pace.js';
import { PlainPath } from './plain-path.js';
import type { PublishPath, Traffic } from './publish-path.js';

const candidates: Readonly<Record<CandidateName, Omit<NodesPathOptions, 'traffic'> | null>> = {
  plain: null,
  fast: { level: 'fast', isAcknowledged: false },
  'fast-acked': { level: 'fast', isAcknowledged: true },
  recoverable: { level: 'recoverable', isAcknowledged: false },
  'recoverable-acked': { level: 'recoverable', isAcknowledged: true },
  'durable-acked': { level: 'durable', isAcknowledged: true },
};

export interface LevelsSample {
  readonly round: number;
  readonly candidate: CandidateName;
  readonly workload: Workload;
  readonly publications: number;
  /** CPU time for each publication, in nanoseconds: of the publishing node, or of the plain publisher. */
  readonly publisherNs: number;
  readonly subscriberNs: number;
  readonly redisNs: number;
  /** Share of bursts that were sent so late that the next one was due. */
  readonly lateShare: number;
  /** How late the latest 1 % of bursts were sent. */
  readonly slipP99Us: number;
  /** Why the sample is invalid; null if all publications arrived once and in order, and were acknowledged if requested. */
  readonly complaint: string | null;
}

/** Before each window, so that compilers have seen the traffic. */
const warmUpSeconds = 1;

export async function measureLevels(options: LevelsOptions, log: (line: string) => void): Promise<LevelsSample[]> {
  const samples: LevelsSample[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    for (const workload of options.workloads) {
      // Each round has the reverse order of the previous one.
      const order = round % 2 === 1 ? options.candidates : options.candidates.toReversed();
      for (const candidate of order) {
        log(`round ${round} of ${options.rounds}: ${candidate}, ${describeWorkload(workload)}`);
        samples.push({ round, candidate, workload, ...(await measure(candidate, workload, options)) });
      }
    }
  }
  return samples;
}

async function measure(
  candidate: CandidateName,
  { topics, burst, perSecond }: Workload,
  { publicationBytes, seconds }: LevelsOptions,
): Promise<Omit<LevelsSample, 'round' | 'candidate' | 'workload'>> {
  await using path = await open(candidate, { topics, burst, publicationBytes });
  const burstsPerSecond = perSecond / burst;
  const during = (length: number): Schedule => {
    return { bursts: Math.max(1, Math.round(length * burstsPerSecond)), burstsPerSecond };
  };
  const schedule = during(seconds);
  await path.publish(during(Math.min(warmUpSeconds, seconds)));
  const earlyComplaint = await path.settle();
  const clockNs = await path.measureClock(schedule);
  const before = await path.readCpu();
  const { lateShare, slipP99Us } = await path.publish(schedule);
  const complaint = earlyComplaint ?? (await path.settle());
  const after = await path.readCpu();
  const publications = schedule.bursts * burst;
  return {
    publications,
    publisherNs: (after.publisher - before.publisher - clockNs) / publications,
    subscriberNs: (after.subscriber - before.subscriber) / publications,
    redisNs: (after.redis - before.redis) / publications,
    lateShare,
    slipP99Us,
    complaint,
  };
}

function open(candidate: CandidateName, traffic: Traffic): Promise<PublishPath> {
  const options = candidates[candidate];
  return options === null ? PlainPath.open(traffic) : NodesPath.open({ ...options, traffic });
}
