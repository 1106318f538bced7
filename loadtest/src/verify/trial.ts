/** One fault, from the start of the cluster to the verdict. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Client, createClient } from '@fanfare/client';
import { Balancer } from '@fanfare/local-cluster';
import type { Audience, AudienceReport, Patience } from './audience.js';
import { publisherOptions, publishTimeoutMs } from './client-options.js';
import { ClusterUnderTest } from './cluster-under-test.js';
import type { Act, Fault, Stage } from './fault.js';
import { addFindings, type Findings, noFindings } from './findings.js';
import { Lane } from './lane.js';
import { type LatencyByPhase, phases } from './latency.js';
import { Load } from './load.js';
import type { VerifyTopic, VerifyTopics } from './numbered.js';
import { Parts } from './parts.js';
import { RepairClock, type RepairTimes } from './repair-clock.js';
import { Subscribers, type TopicPlan } from './subscribers.js';
import { TopicOrder } from './topic-order.js';
import { type Level, type Published, reasonsAgainst } from './verdict.js';
import { type Detection, Watch } from './watch.js';
import { becomes, within } from './within.js';

export interface TrialOptions {
  /** Publications a second, over all topics. */
  readonly rate: number;
  readonly topics: number;
  readonly lanesPerTopic: number;
  readonly subscribers: number;
  readonly topicsPerSubscriber: number;
  /** Length of the filler in each publication. */
  readonly bytes: number;
  readonly nodes: number;
  readonly level: Level;
  /** How long the load lasts, unless the fault needs longer. */
  readonly seconds: number;
  /** Clients that a fault adds; null: as many as it likes. */
  readonly clients: number | null;
}

export interface TrialResult {
  readonly fault: string;
  readonly isGood: boolean;
  /** Why it is bad; empty where it is good. */
  readonly reasons: readonly string[];
  readonly published: Published;
  /** What was due but not published, because too much had no answer yet. */
  readonly heldBack: number;
  /** Rejected publishes by the error's code. */
  readonly rejections: Readonly<Record<string, number>>;
  readonly findings: Findings;
  readonly reconnects: number;
  readonly faultMs: number;
  readonly repair: RepairTimes;
  readonly detection: Detection | null;
  readonly latency: LatencyByPhase;
  readonly notes: readonly string[];
}

/** How often publishers and subscribers are compared: a look at a lane costs about a microsecond. */
const lookIntervalMs = 20;
const lanesOfLook = 1_000;
const strikeTimeoutMs = 120_000;
const patience: Patience = { idleMs: 15_000, maxMs: 90_000 };

/** After everybody has everything: what comes now comes a second time, for example from a node that was asleep. */
const quietMs = 500;

const publishersPerNode = 2;

/** What a topic and a lane remember is bounded by how much is published to them in these times. */
const rememberedSeconds = 60;
const pendingSeconds = 40;

export async function runTrial(fault: Fault, options: TrialOptions, say: (line: string) => void): Promise<TrialResult> {
  await using trial = await Trial.set(fault, options, say);
  return await trial.run();
}

class Trial implements AsyncDisposable {
  readonly #fault: Fault;
  readonly #options: TrialOptions;
  readonly #say: (line: string) => void;
  readonly #parts = new Parts();
  readonly #cluster: ClusterUnderTest;
  readonly #balancer: Balancer;
  readonly #watch: Watch;
  readonly #publishers: readonly Client<VerifyTopics>[];
  readonly #lanes: Lane[] = [];
  readonly #loads: Load[] = [];
  readonly #audiences: { readonly name: string; readonly audience: Audience }[] = [];
  readonly #repair = new RepairClock();
  readonly #notes: string[] = [];
  readonly #complaints: string[] = [];
  #act: Act = { strike: async () => {} };

  /** Starts everything; the load comes with {@link run}. */
  static async set(fault: Fault, options: TrialOptions, say: (line: string) => void): Promise<Trial> {
    await using parts = new Parts();
    say(`starting Redis and ${options.nodes} nodes`);
    const cluster = parts.use(
      await ClusterUnderTest.start({
        nodes: options.nodes,
        level: options.level,
        historySize: Math.max(fault.historySize ?? 0, window(options.rate / options.topics, rememberedSeconds, 500)),
        // That of the nodes by default, but in a short run.
        drainWindowMs: Math.min(20_000, options.seconds * 1_000),
        redisArgs: fault.redisArgs ?? [],
        replica: fault.replica ?? (options.level === 'durable' ? 'direct' : null),
        proxy: fault.proxy ?? null,
      }),
    );
    const balancer = parts.use(await Balancer.start({ ports: cluster.clientPorts }));
    const watch = parts.use(new Watch(cluster));
    const publishers = Array.from({ length: options.nodes * publishersPerNode }, () => {
      const client = parts.use(createClient<VerifyTopics>(balancer.url, publisherOptions));
      client.on('error', () => {});
      return client;
    });
    await within(
      10_000,
      Promise.all(publishers.map((client) => client.connect())),
      'The publishers were not connected',
    );
    const trial = new Trial({ fault, options, say, parts: parts.move(), cluster, balancer, watch, publishers });
    try {
      await trial.#gather();
      return trial;
    } catch (error) {
      await trial[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(made: {
    readonly fault: Fault;
    readonly options: TrialOptions;
    readonly say: (line: string) => void;
    readonly parts: Parts;
    readonly cluster: ClusterUnderTest;
    readonly balancer: Balancer;
    readonly watch: Watch;
    readonly publishers: readonly Client<VerifyTopics>[];
  }) {
    this.#fault = made.fault;
    this.#options = made.options;
    this.#say = made.say;
    this.#cluster = made.cluster;
    this.#balancer = made.balancer;
    this.#watch = made.watch;
    this.#publishers = made.publishers;
    this.#parts.use(made.parts);
  }

  async run(): Promise<TrialResult> {
    const { seconds } = this.#options;
    const looking = setInterval(() => this.#look(), lookIntervalMs * Math.ceil(this.#lanes.length / lanesOfLook));
    try {
      const startedMs = performance.now();
      this.#loads[0]?.start();
      this.#say('load');
      await delay(Math.min(5_000, Math.max(1_000, seconds * 250)));
      const faultMs = await this.#strike();
      const restMs = Math.max(2_000, startedMs + seconds * 1_000 - performance.now());
      await delay(restMs);
      await this.#settle();
      return await this.#judge(faultMs);
    } finally {
      clearInterval(looking);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts[Symbol.asyncDispose]();
  }

  /** Lanes, subscribers, and whatever the fault needs. */
  async #gather(): Promise<void> {
    const { bytes, lanesPerTopic, rate, subscribers, topics, topicsPerSubscriber } = this.#options;
    const plans = Array.from({ length: topics }, (_, index): TopicPlan => {
      const perSecond = rate / topics;
      const order = new TopicOrder(window(perSecond, rememberedSeconds, 1_024));
      const topic: VerifyTopic = `verify.t${index}`;
      const lanes = Array.from({ length: lanesPerTopic }, () =>
        this.#addLane(topic, order, perSecond / lanesPerTopic, bytes),
      );
      return { topic, order, lanes: lanes.map(({ id }) => id) };
    });
    this.#loads.push(new Load({ lanes: [...this.#lanes], perSecond: rate }));
    this.#say(`${subscribers} subscribers`);
    const topicsOfClients = Array.from({ length: subscribers }, (_, client) =>
      Array.from(
        { length: topicsPerSubscriber },
        (_, index) => plans[(client * topicsPerSubscriber + index) % topics],
      ).filter((plan) => plan !== undefined),
    );
    const published = (lane: number): number => this.#published(lane);
    const audience = await Subscribers.open({ url: this.#balancer.url, topicsOfClients, published });
    this.#addAudience(audience, 'subscribers');
    const stage = this.#stage();
    const fault = this.#fault;
    this.#act = 'prepare' in fault ? await fault.prepare(stage) : { strike: () => fault.strike(stage) };
  }

  #stage(): Stage {
    const { clients, seconds } = this.#options;
    return {
      cluster: this.#cluster,
      balancer: this.#balancer,
      faultMs: Math.min(8_000, Math.max(1_000, seconds * 400)),
      clients,
      addTopic: (name, bytes, perSecond, burst) => {
        const topic: VerifyTopic = `verify.${name}`;
        const order = new TopicOrder(window(perSecond, rememberedSeconds, 1_024));
        const lane = this.#addLane(topic, order, perSecond, bytes);
        const load = new Load({ lanes: [lane], perSecond, ...(burst === undefined ? {} : { burst }) });
        this.#loads.push(load);
        return { topic, order, lanes: [lane.id], load };
      },
      use: (part) => this.#parts.use(part),
      addAudience: (audience, name) => this.#addAudience(audience, name),
      published: (lane) => this.#published(lane),
      note: (sentence) => this.#notes.push(sentence),
      complain: (sentence) => this.#complaints.push(sentence),
    };
  }

  #addLane(topic: VerifyTopic, order: TopicOrder, perSecond: number, bytes: number): Lane {
    const id = this.#lanes.length;
    const publisher = this.#publishers[id % this.#publishers.length];
    if (publisher === undefined) throw new Error('There is no publisher.');
    const maxPending = window(perSecond, pendingSeconds, 64);
    const lane = new Lane({ id, topic, publisher, order, filler: 'x'.repeat(bytes), maxPending });
    this.#lanes.push(lane);
    return lane;
  }

  #addAudience(audience: Audience, name: string): void {
    this.#parts.use(audience);
    this.#audiences.push({ audience, name });
  }

  #published(lane: number): number {
    return this.#lanes[lane]?.ledger.published ?? 0;
  }

  #reached(lane: number): number {
    return Math.min(...this.#audiences.map(({ audience }) => audience.reached(lane)));
  }

  #look(): void {
    const lanes = this.#lanes.map(({ id, ledger: { published, lastAcknowledged, settledUpTo } }) => {
      return { id, published, lastAcknowledged, settledUpTo };
    });
    this.#repair.look(performance.now(), lanes, (lane) => this.#reached(lane));
  }

  /** Makes the fault and undoes it; answers how long it lasted. */
  async #strike(): Promise<number> {
    const begunMs = performance.now();
    this.#say('the fault begins');
    if (this.#fault.isDetectable) this.#watch.start();
    for (const { audience } of this.#audiences) audience.faultBegins();
    try {
      await within(strikeTimeoutMs, this.#act.strike(), 'The fault was not over');
    } catch (error) {
      this.#complaints.push((error as Error).message);
    }
    for (const { audience } of this.#audiences) audience.faultEnds();
    const endedMs = performance.now();
    this.#repair.start(endedMs);
    this.#say('the fault is over');
    return endedMs - begunMs;
  }

  /** Until every publish has its answer and every subscriber all that was acknowledged, or for as long as that may take. */
  async #settle(): Promise<void> {
    await Promise.all(this.#loads.map((load) => load.stop()));
    this.#say('waiting for answers and deliveries');
    await becomes(publishTimeoutMs + 5_000, () => this.#lanes.every(({ ledger }) => ledger.pending === 0));
    const targets = new Map(this.#lanes.map(({ id, ledger }) => [id, ledger.lastAcknowledged]));
    const waits = await Promise.all(
      this.#audiences.map(async ({ audience, name }) => ({ name, isDone: await audience.catchUp(targets, patience) })),
    );
    for (const { name, isDone } of waits) if (!isDone) this.#notes.push(`${name}: not all had everything in the end.`);
    await delay(quietMs);
  }

  async #judge(faultMs: number): Promise<TrialResult> {
    const ledgers = new Map(this.#lanes.map(({ id, ledger }) => [id, ledger.entries()]));
    const findings = noFindings();
    const reports: AudienceReport[] = [];
    for (const { audience, name } of this.#audiences) {
      const report = await within(30_000, audience.judge(ledgers), `${name}: not judged`);
      addFindings(findings, report.findings);
      reports.push(report);
      if (reports.length > 1) this.#notes.push(`${name}: delivery latency ${describeLatency(report.latency)}.`);
    }
    const [main] = reports;
    if (main === undefined) throw new Error('There are no subscribers.');
    findings.disagreements += sum(this.#lanes, ({ disagreements }) => disagreements);
    const published: Published = {
      published: sum(this.#lanes, ({ ledger }) => ledger.published),
      acknowledged: sum(this.#lanes, ({ ledger }) => ledger.acknowledged),
      refused: sum(this.#lanes, ({ ledger }) => ledger.refused),
      unknown: sum(this.#lanes, ({ ledger }) => ledger.doubted + ledger.pending),
    };
    const evidence = { findings, published, complaints: this.#complaints };
    const reasons = reasonsAgainst(evidence, this.#options.level, this.#fault.resets);
    return {
      fault: this.#fault.name,
      isGood: reasons.length === 0,
      reasons,
      published,
      heldBack: sum(this.#lanes, ({ heldBack }) => heldBack),
      rejections: this.#rejections(),
      findings,
      reconnects: sum(reports, ({ reconnects }) => reconnects),
      faultMs,
      repair: this.#repair.times,
      detection: this.#watch.detection,
      latency: main.latency,
      notes: this.#notes,
    };
  }

  #rejections(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { rejections } of this.#lanes) {
      for (const [code, count] of rejections) counts[code] = (counts[code] ?? 0) + count;
    }
    return counts;
  }
}

function describeLatency(latency: LatencyByPhase): string {
  const words = phases.flatMap((phase) => {
    const { count, p50Ms, p99Ms, maxMs } = latency[phase];
    const figures = [p50Ms, p99Ms, maxMs].map((ms) => ms.toFixed(1)).join(' / ');
    return count === 0 ? [] : [`${phase} ${figures}`];
  });
  return `${words.join(', ')} ms (p50 / p99 / max)`;
}

/** How many publications come in that time, with a lower and an upper bound. */
function window(perSecond: number, seconds: number, least: number): number {
  return Math.min(65_536, Math.max(least, Math.ceil(perSecond * seconds)));
}

function sum<Item>(items: readonly Item[], count: (item: Item) => number): number {
  return items.reduce((total, item) => total + count(item), 0);
}
