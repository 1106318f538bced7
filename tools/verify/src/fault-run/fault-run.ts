/** One fault, from the start of the cluster to the verdict. */
import { setTimeout as delay } from 'node:timers/promises';
import { Disposables } from '@fanfare/kit/disposables';
import type { Level } from '@fanfare/kit/level';
import { within } from '@fanfare/kit/within';
import { Balancer } from '@fanfare/local-cluster';
import { Checker, type CheckerOptions, type CheckerReport, publishersFor } from '../checker/checker.js';
import { reasonsAgainst } from '../checker/verdict.js';
import { ClusterUnderTest } from '../cluster/cluster-under-test.js';
import { type Detection, Watch } from '../cluster/watch.js';
import type { Act, Fault, FaultEnvironment } from '../faults/fault.js';

export interface FaultRunOptions extends CheckerOptions {
  readonly nodes: number;
  readonly level: Level;
  /** How long the load lasts, unless the fault needs longer. */
  readonly seconds: number;
  /** Clients that a fault adds; null: the fault decides. */
  readonly clients: number | null;
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
  await using faultRun = await FaultRun.set(fault, options, say);
  return await faultRun.run();
}

class FaultRun implements AsyncDisposable {
  readonly #fault: Fault;
  readonly #options: FaultRunOptions;
  readonly #say: (line: string) => void;
  readonly #parts = new Disposables();
  readonly #cluster: ClusterUnderTest;
  readonly #balancer: Balancer;
  readonly #watch: Watch;
  readonly #checker: Checker;
  readonly #problems: string[] = [];

  /** Starts everything except the load, which {@link run} starts. */
  static async set(fault: Fault, options: FaultRunOptions, say: (line: string) => void): Promise<FaultRun> {
    await using parts = new Disposables();
    say(`starting Redis and ${options.nodes} nodes`);
    const cluster = parts.use(
      await ClusterUnderTest.start({
        nodes: options.nodes,
        level: options.level,
        historySize: Math.max(fault.historySize ?? 0, Checker.historySize(options)),
        // The default of the nodes, or less in a short run.
        drainWindowMs: Math.min(20_000, options.seconds * 1_000),
        redisArgs: fault.redisArgs ?? [],
        replica: fault.replica ?? (options.level === 'durable' ? 'direct' : null),
        proxy: fault.proxy ?? null,
        clockAheadSeconds: fault.clockAheadSeconds ?? null,
      }),
    );
    const balancer = parts.use(await Balancer.start({ ports: cluster.clientPorts }));
    const watch = parts.use(new Watch(cluster));
    say(`${options.subscribers} subscribers`);
    const checker = parts.use(await Checker.open(balancer.url, publishersFor(options.nodes), options));
    return new FaultRun({ fault, options, say, parts: parts.move(), cluster, balancer, watch, checker });
  }

  private constructor(made: {
    readonly fault: Fault;
    readonly options: FaultRunOptions;
    readonly say: (line: string) => void;
    readonly parts: Disposables;
    readonly cluster: ClusterUnderTest;
    readonly balancer: Balancer;
    readonly watch: Watch;
    readonly checker: Checker;
  }) {
    this.#fault = made.fault;
    this.#options = made.options;
    this.#say = made.say;
    this.#cluster = made.cluster;
    this.#balancer = made.balancer;
    this.#watch = made.watch;
    this.#checker = made.checker;
    this.#parts.use(made.parts);
  }

  async run(): Promise<FaultRunResult> {
    const { seconds } = this.#options;
    const act = await this.#prepare();
    const startedMs = performance.now();
    this.#checker.start();
    this.#say('load');
    await delay(Math.min(5_000, Math.max(1_000, seconds * 250)));
    const faultMs = await this.#strike(act);
    const restMs = Math.max(2_000, startedMs + seconds * 1_000 - performance.now());
    await delay(restMs);
    this.#say('waiting for answers and deliveries');
    await this.#checker.settle();
    return await this.#judge(faultMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts[Symbol.asyncDispose]();
  }

  async #prepare(): Promise<Act> {
    const fault = this.#fault;
    const environment = this.#environment();
    return 'prepare' in fault ? await fault.prepare(environment) : { strike: () => fault.strike(environment) };
  }

  #environment(): FaultEnvironment {
    const { clients, seconds } = this.#options;
    const checker = this.#checker;
    return {
      cluster: this.#cluster,
      balancer: this.#balancer,
      faultMs: Math.min(8_000, Math.max(1_000, seconds * 400)),
      clients,
      addTopic: (name, bytes, perSecond, burst) => checker.addTopic(name, bytes, perSecond, burst),
      use: (part) => this.#parts.use(part),
      addGroup: (group, name) => checker.addGroup(group, name),
      published: (stream) => checker.publishedBy(stream),
      note: (sentence) => checker.note(sentence),
      reportProblem: (sentence) => this.#problems.push(sentence),
    };
  }

  /** Causes the fault and undoes it. Returns how long it lasted. */
  async #strike(act: Act): Promise<number> {
    const begunMs = performance.now();
    this.#say('the fault begins');
    if (this.#fault.isDetectable) this.#watch.start();
    this.#checker.faultBegins();
    try {
      await within(strikeTimeoutMs, act.strike(), 'The fault was not over');
    } catch (error) {
      this.#problems.push((error as Error).message);
    }
    this.#checker.faultEnds();
    this.#say('the fault is over');
    return performance.now() - begunMs;
  }

  async #judge(faultMs: number): Promise<FaultRunResult> {
    const report = await this.#checker.judge();
    const evidence = { ...report, problems: this.#problems };
    const reasons = reasonsAgainst(evidence, this.#options.level, this.#fault.resets);
    return {
      ...report,
      fault: this.#fault.name,
      isGood: reasons.length === 0,
      reasons,
      faultMs,
      detection: this.#watch.detection,
    };
  }
}
