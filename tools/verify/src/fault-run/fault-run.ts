/** One fault, from the start of the cluster to the verdict. */
import { setTimeout as delay } from 'node:timers/promises';
import { Disposables } from '@fanfare/kit/disposables';
import { within } from '@fanfare/kit/within';
import { Balancer } from '@fanfare/local-cluster';
import { Checker, type CheckerOptions, type CheckerReport, publishersFor } from '../checker/checker.js';
import { reasonsAgainst } from '../checker/verdict.js';
import { startClusterUnderTest } from '../cluster/cluster-under-test.js';
import { type Placement, placementNames } from '../cluster/placement.js';
import { type Detection, Watch } from '../cluster/watch.js';
import type { Act, Fault, FaultEnvironment } from '../faults/fault.js';

export interface FaultRunOptions extends CheckerOptions {
  readonly nodes: number;
  /** How Redis is set up. The fault must be possible with it. */
  readonly redis: Placement;
  /** How long the load lasts, unless the fault needs longer. */
  readonly seconds: number;
  /** Clients that a fault adds; null: the fault decides. */
  readonly clients: number | null;
  /** As in the evidence of a verdict. */
  readonly maxWaitMs: number | null;
}

export interface FaultRunResult extends CheckerReport {
  readonly fault: string;
  readonly isGood: boolean;
  /** Why it is bad; empty if it is good. */
  readonly reasons: readonly string[];
  readonly faultMs: number;
  readonly detection: Detection | null;
}

const strikeTimeoutMs = 120_000;

export async function runFault(
  fault: Fault,
  options: FaultRunOptions,
  say: (line: string) => void,
): Promise<FaultRunResult> {
  const { clients, level, maxWaitMs, redis: placement, seconds } = options;
  await using parts = new Disposables();
  say(`starting ${placementNames[placement]} and ${options.nodes} nodes`);
  const cluster = parts.use(
    await startClusterUnderTest({
      nodes: options.nodes,
      level,
      placement,
      historySize: Math.max(fault.historySize ?? 0, Checker.historySize(options)),
      // The default of the nodes, or less in a short run.
      drainWindowMs: Math.min(20_000, seconds * 1_000),
      redisArgs: fault.redisArgs ?? [],
      replica: fault.replica ?? null,
      proxy: fault.proxy ?? null,
      clockAheadSeconds: fault.clockAheadSeconds ?? null,
    }),
  );
  const balancer = parts.use(await Balancer.start({ ports: cluster.clientPorts }));
  const watch = parts.use(new Watch(cluster));
  say(`${options.subscribers} subscribers`);
  const checker = parts.use(await Checker.open(balancer.url, publishersFor(options.nodes), options));
  const problems: string[] = [];
  const act = await prepare(fault, {
    cluster,
    balancer,
    faultMs: Math.min(8_000, Math.max(1_000, seconds * 400)),
    clients,
    addTopic: (name, bytes, perSecond, burst) => checker.addTopic(name, bytes, perSecond, burst),
    use: (part) => parts.use(part),
    addGroup: (group, name) => checker.addGroup(group, name),
    published: (stream) => checker.publishedBy(stream),
    expectUnaffected: (topics) => checker.expectUnaffected(topics),
    untilOthersServed: () => checker.untilOthersServed(),
    longestWait: (action) => checker.longestWait(action),
    maxWaitMs,
    note: (sentence) => checker.note(sentence),
    reportProblem: (sentence) => problems.push(sentence),
  });
  const startedMs = performance.now();
  checker.start();
  say('load');
  await delay(Math.min(5_000, Math.max(1_000, seconds * 250)));
  const begunMs = performance.now();
  say('the fault begins');
  if (fault.isDetectable) watch.start();
  checker.faultBegins();
  try {
    await within(strikeTimeoutMs, act.strike(), 'The fault was not over');
  } catch (error) {
    problems.push((error as Error).message);
  }
  checker.faultEnds();
  say('the fault is over');
  const faultMs = performance.now() - begunMs;
  await delay(Math.max(2_000, startedMs + seconds * 1_000 - performance.now()));
  say('waiting for answers and deliveries');
  await checker.settle();
  const report = await checker.judge();
  const reasons = reasonsAgainst({ ...report, maxWaitMs, problems }, level, fault.resets);
  const { detection } = watch;
  return { ...report, fault: fault.name, isGood: reasons.length === 0, reasons, faultMs, detection };
}

async function prepare(fault: Fault, environment: FaultEnvironment): Promise<Act> {
  return 'prepare' in fault ? await fault.prepare(environment) : { strike: () => fault.strike(environment) };
}
