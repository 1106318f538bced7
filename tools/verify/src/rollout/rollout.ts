/**
 * A Deployment under the checker's load: it starts, all pods are replaced, it grows by two pods and shrinks again. The
 * pods are processes that start and stop as the kubelet would start and stop pods of these manifests.
 */
import { fileURLToPath } from 'node:url';
import { Disposables } from '@fanfare/kit/disposables';
import { becomes, within } from '@fanfare/kit/within';
import { type Manifest, startRedis } from '@fanfare/local-cluster';
import { Checker, type CheckerOptions, type CheckerReport } from '../checker/checker.js';
import { pingIntervalMs } from '../checker/client-options.js';
import { reasonsAgainst } from '../checker/verdict.js';
import { Deployment } from './deployment.js';
import { type DeploymentSpec, readDeployment } from './deployment-spec.js';
import { type Sample, Samples } from './samples.js';
import { Service } from './service.js';

export interface RolloutOptions extends CheckerOptions {
  /** How long one second of the Deployment lasts in this run, in seconds. Below 1, all its times are shorter. */
  readonly timeScale: number;
  /** FANFARE_MAX_CONNECTIONS, instead of the value of the Deployment; null: that value. */
  readonly maxConnections: number | null;
}

interface TimelineEntry {
  /** Time since the start, in seconds of the Deployment. */
  readonly seconds: number;
  readonly sentence: string;
}

export interface RolloutResult extends CheckerReport {
  readonly isGood: boolean;
  /** The reasons for a bad verdict; empty if it is good. */
  readonly reasons: readonly string[];
  readonly timeline: readonly TimelineEntry[];
  readonly samples: readonly Sample[];
  /** Connections that a pod may have. */
  readonly budget: number;
  /** The largest number of connections of a pod. */
  readonly mostConnections: number;
  /**
   * The largest number of connections that all pods together opened within {@link spreadSeconds} while pods were
   * replaced.
   */
  readonly mostOpenedAtOnce: number;
  /** Connections opened after all had been subscribed. */
  readonly moved: number;
}

const main = fileURLToPath(new URL('../../../../broker/dist/main.js', import.meta.url));

/** How long a change of a pod takes to reach the load balancers of a cluster. */
const endpointsSeconds = 1;
const publishers = 4;
const grownBy = 2;
/**
 * Limits of a node's connections after rebalancing, relative to its share. Nodes keep up to a tenth too many
 * (broker/src/node/rebalance.ts), so the emptiest of five nodes may lack four tenths.
 */
const mostSettled = 1.25;
const leastSettled = 0.5;
/**
 * The clients of a pod must not reconnect all at once: at most `spreadShare` of all clients in this many seconds of the
 * Deployment.
 */
export const spreadSeconds = 3;
const spreadShare = 1 / 3;
/** How long rebalancing may take, in seconds of the Deployment. */
const rebalanceTimeoutSeconds = 120;
/** The shortest such limit, in seconds of this machine: nodes rebalance once a second at any time scale. */
const leastRebalanceTimeoutSeconds = 25;
/** In seconds of this machine. */
const startTimeoutSeconds = 60;
const stepTimeoutSeconds = 600;

export async function runRollout(
  manifests: readonly Manifest[],
  options: RolloutOptions,
  log: (line: string) => void,
): Promise<RolloutResult> {
  const { timeScale } = options;
  const spec = readDeployment(manifests);
  const clients = options.subscribers + publishers;
  const places = options.maxConnections === null ? Number.POSITIVE_INFINITY : spec.replicas * options.maxConnections;
  if (places < clients)
    throw new Error(
      `${spec.replicas} pods of ${options.maxConnections} connections have no room for ${clients} clients.`,
    );
  await using parts = new Disposables();
  const redis = parts.use(await startRedis());
  const service = parts.use(await Service.start(endpointsSeconds * 1_000 * timeScale));
  const timeline: TimelineEntry[] = [];
  const problems: string[] = [];
  const environment = environmentOf(spec, redis.url, options);
  const say = (sentence: string): void => {
    timeline.push({ seconds: samples.seconds, sentence });
    log(sentence);
  };
  const deployment = parts.use(
    new Deployment({
      spec,
      command: [process.execPath, main],
      environment,
      timeScale,
      onPodChange: (pod) => service.update(pod),
      say,
      reportProblem: (sentence) => problems.push(sentence),
    }),
  );
  const samples = parts.use(new Samples(() => deployment.pods, timeScale));
  const step = async (sentence: string, seconds: number, act: () => Promise<void>): Promise<void> => {
    say(sentence);
    await within(seconds * 1_000, act(), `${sentence}: not done`);
  };
  await step(`starting ${spec.replicas} pods`, startTimeoutSeconds, () => deployment.scale(spec.replicas));
  const checker = parts.use(await Checker.open(service.url, publishers, options));
  const settledAt = performance.now();
  checker.start();
  checker.faultBegins();
  await step(`replacing all pods under the load of ${clients} clients`, stepTimeoutSeconds, () =>
    deployment.replaceAll(),
  );
  const replacedAt = performance.now();
  await step(`all pods are replaced; adding ${grownBy} more`, stepTimeoutSeconds, () =>
    deployment.scale(spec.replicas + grownBy),
  );
  const isEven = (): boolean => {
    const counts = [...(samples.last?.connections.values() ?? [])];
    const share = clients / (spec.replicas + grownBy);
    return (
      counts.length === spec.replicas + grownBy &&
      counts.every((count) => count <= share * mostSettled && count >= share * leastSettled)
    );
  };
  say('connections move to the new pods');
  const patienceSeconds = Math.max(rebalanceTimeoutSeconds * timeScale, leastRebalanceTimeoutSeconds);
  if (await becomes(patienceSeconds * 1_000, isEven)) say('each pod has its share');
  else problems.push('the connections were not distributed among all pods');
  await step(`removing ${grownBy} pods`, stepTimeoutSeconds, () => deployment.scale(spec.replicas));
  checker.faultEnds();
  say('done; waiting for answers and deliveries');
  await checker.settle();
  const report = await checker.judge();
  const budget = Number(
    environment['FANFARE_MAX_CONNECTIONS'] ?? spec.environment('')['FANFARE_MAX_CONNECTIONS'] ?? 50_000,
  );
  const mostConnections = Math.max(...samples.all.flatMap(({ connections }) => [...connections.values()]));
  const refused = samples.last?.overCapacity ?? 0;
  if (mostConnections > budget) problems.push(`a pod had ${mostConnections} connections, its budget is ${budget}`);
  const replacing = service.connectedAt.filter((at) => at >= settledAt && at <= replacedAt);
  const mostOpenedAtOnce = mostWithin(replacing, spreadSeconds * 1_000 * timeScale);
  problems.push(...spreadProblems(mostOpenedAtOnce, clients));
  if (refused > 0) problems.push(`${refused} handshakes were refused because a pod was full`);
  const reasons = reasonsAgainst({ ...report, maxWaitMs: Number.POSITIVE_INFINITY, problems }, 'recoverable', 'none');
  return {
    ...report,
    isGood: reasons.length === 0,
    reasons,
    timeline,
    samples: samples.all,
    budget,
    mostConnections,
    mostOpenedAtOnce,
    moved: service.connectedAt.filter((at) => at >= settledAt).length,
  };
}

/**
 * Addresses of this machine, settings that the checker needs, and the times of the Deployment in the scale of the run.
 */
function environmentOf(spec: DeploymentSpec, redisUrl: string, options: RolloutOptions): Record<string, string> {
  const { timeScale, maxConnections } = options;
  const given = spec.environment(spec.name);
  const scaled = (name: string, fallback: number, factor: number): Record<string, string> => ({
    [name]: String(Math.round(Number(given[name] ?? fallback) * factor)),
  });
  return {
    FANFARE_HOST: '127.0.0.1',
    FANFARE_ADMIN_HOST: '127.0.0.1',
    FANFARE_REDIS_URL: redisUrl,
    FANFARE_REDIS_URL_FILE: '',
    FANFARE_REDIS_PASSWORD_FILE: '',
    FANFARE_REDIS_CA_FILE: '',
    FANFARE_TRUSTED_PROXIES: '',
    // The checker's clients send no token.
    FANFARE_AUTH: 'none',
    FANFARE_ORIGINS: '',
    FANFARE_PING_INTERVAL_MS: String(pingIntervalMs),
    FANFARE_TOPICS: JSON.stringify({ '>': { level: 'recoverable', historySize: Checker.historySize(options) } }),
    ...(maxConnections === null ? {} : { FANFARE_MAX_CONNECTIONS: String(maxConnections) }),
    // Without a time scale, the Deployment and the defaults of the node decide.
    ...(timeScale === 1
      ? {}
      : {
          ...scaled('FANFARE_DRAIN_WINDOW_MS', 20_000, timeScale),
          ...scaled('FANFARE_DRAIN_WAVE_INTERVAL_MS', 500, timeScale),
          ...scaled('FANFARE_DRAIN_TIMEOUT_MS', 5_000, timeScale),
          ...scaled('FANFARE_REBALANCE_RATE', 0, 1 / timeScale),
          ...scaled('FANFARE_REBALANCE_AFTER_MS', 30_000, timeScale),
        }),
  };
}

/** The problem if too many clients reconnected at once. */
export function spreadProblems(mostOpenedAtOnce: number, clients: number): string[] {
  if (mostOpenedAtOnce <= clients * spreadShare) return [];
  return [`${mostOpenedAtOnce} of ${clients} clients reconnected within ${spreadSeconds} s: a deploy must spread them`];
}

/** The largest number of these sorted moments in a window of time. */
export function mostWithin(moments: readonly number[], ms: number): number {
  let most = 0;
  let from = 0;
  for (const [index, moment] of moments.entries()) {
    while (moment - (moments[from] ?? moment) > ms) from++;
    most = Math.max(most, index - from + 1);
  }
  return most;
}
