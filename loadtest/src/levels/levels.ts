/**
 * The study `levels`: what a publication costs the two nodes that it crosses, and Redis between them, at each level,
 * compared with plain PUBLISH and SUBSCRIBE. Candidates take turns, so that a disturbance of the machine affects all of
 * them.
 */
import type { Level } from '@fanfare/kit/level';
import { startNode } from '@fanfare/local-cluster';
import { deployNodesOnRedis, deployRedis } from '../launch/node-deployment.js';
import type { Deployment } from '../load/deployment.js';
import type { LoadResult } from '../load/result.js';
import { runLoad } from '../load/run-load.js';
import { defaultWorkload } from '../load/workload.js';
import { type CandidateName, describeWorkload, type LevelsOptions, type Workload } from '../scenarios/levels.js';

/** Null: the generator processes are the publisher and the subscriber of Redis. */
const levelOf: Readonly<Record<CandidateName, Level | null>> = {
  plain: null,
  fast: 'fast',
  'fast-acked': 'fast',
  recoverable: 'recoverable',
  'recoverable-acked': 'recoverable',
  'durable-acked': 'durable',
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
  /**
   * Why the sample is invalid; null if all publications arrived once and in order, and were acknowledged if requested.
   */
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
  traffic: Workload,
  { publicationBytes, seconds }: LevelsOptions,
): Promise<Omit<LevelsSample, 'round' | 'candidate' | 'workload'>> {
  const level = levelOf[candidate];
  await using deployment = level === null ? await deployRedis() : await deploy(level, traffic.topics);
  let cpuNs = { publisher: 0, subscriber: 0, redis: 0 };
  const result = await runLoad({
    scenario: 'levels',
    label: candidate,
    server: candidate,
    workload: {
      ...defaultWorkload,
      ...traffic,
      ...{ subscriptions: { name: 'all' }, publisherServers: [0], subscriberServers: [1] },
      ...{ publicationBytes, seconds, warmUpSeconds: Math.min(warmUpSeconds, seconds) },
    },
    deployment,
    protocol: level === null ? 'redis' : candidate.endsWith('-acked') ? 'msgpack-acknowledged' : 'msgpack-batched',
    isTyped: false,
    // The first has the subscriber, the second the publisher.
    generators: 2,
    onUsage: (start, end, clockNs) => {
      const used = (of: 'cpuNsOfEach' | 'generatorCpuNs', index: number): number =>
        (end[of][index] ?? 0) - (start[of][index] ?? 0);
      // In a deployment, Redis follows the nodes. A replica is not counted.
      cpuNs =
        level === null
          ? {
              publisher: used('generatorCpuNs', 1) - (clockNs[1] ?? 0),
              subscriber: used('generatorCpuNs', 0),
              redis: used('cpuNsOfEach', 0),
            }
          : { publisher: used('cpuNsOfEach', 0), subscriber: used('cpuNsOfEach', 1), redis: used('cpuNsOfEach', 2) };
    },
  });
  const { published: publications, lateShare, slipP99Us } = result;
  return {
    publications,
    publisherNs: cpuNs.publisher / publications,
    subscriberNs: cpuNs.subscriber / publications,
    redisNs: cpuNs.redis / publications,
    lateShare,
    slipP99Us,
    complaint: problemOf(result),
  };
}

function deploy(level: Level, topics: number): Promise<Deployment> {
  const env = {
    FANFARE_TOPICS: JSON.stringify({ '>': { level } }),
    FANFARE_MAX_SUBSCRIPTIONS: String(topics),
  };
  return deployNodesOnRedis(2, (redisUrl) => startNode({ redisUrl, env }), level === 'durable');
}

/** Late publications do not make a sample invalid: the table has their share. */
function problemOf({ published, deliveries, lostInWarmUp, repeated, foreign, failures }: LoadResult): string | null {
  const [failure] = Object.keys(failures);
  if (failure !== undefined) return failure.replace(/\.$/, '');
  const wrong = repeated + foreign;
  if (deliveries !== published || wrong > 0)
    return `${deliveries} of ${published} came in order, and ${wrong} out of order or twice`;
  return lostInWarmUp > 0 ? `${lostInWarmUp} were lost before the measured time` : null;
}
