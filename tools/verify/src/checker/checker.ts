/**
 * Publishes under load, records all deliveries, and then judges them for each subscriber. It does not depend on nodes.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Client, type ClientOptions, createClient } from '@fanfare/client';
import { Disposables } from '@fanfare/kit/disposables';
import type { Level } from '@fanfare/kit/level';
import { becomes, within } from '@fanfare/kit/within';
import { publisherOptions, publishTimeoutMs } from './client-options.js';
import { addFindings, type Findings, noFindings } from './findings.js';
import { type HttpPlace, httpPlace } from './http-exchange.js';
import { HttpPublisher } from './http-publisher.js';
import { type HttpKind, HttpSubscribers } from './http-subscribers.js';
import { type LatencyByPhase, phases } from './latency.js';
import { Load } from './load.js';
import type { VerifyTopic, VerifyTopics } from './numbered.js';
import { PublisherStream, type StreamPublisher } from './publisher-stream.js';
import { RepairClock, type RepairTimes } from './repair-clock.js';
import type { GroupReport, Patience, SubscriberGroup } from './subscriber-group.js';
import type { OnDelivered, TopicPlan } from './subscriber-logs.js';
import { Subscribers } from './subscribers.js';
import { TopicOrder } from './topic-order.js';
import { type UnaffectedReport, UnaffectedTopics } from './unaffected-topics.js';
import type { Published } from './verdict.js';

export interface CheckerOptions {
  /** Publications per second, over all topics. */
  readonly rate: number;
  readonly topics: number;
  readonly publishersPerTopic: number;
  readonly subscribers: number;
  readonly topicsPerSubscriber: number;
  /** Length of the filler in each publication. */
  readonly bytes: number;
  readonly level: Level;
  /** At least one of them subscribes. */
  readonly transports: readonly Transport[];
}

/**
 * How clients reach the nodes. `websocket`: the typed client, subscribers and publishers. `fallback`: the typed client
 * without a WebSocket, subscribers only. `sse` and `long-poll`: subscribers that know nothing of our client. `http`:
 * publishers, one request for each publication. Subscribers take turns, and so do publishers.
 */
export const transports = ['websocket', 'fallback', 'sse', 'long-poll', 'http'] as const;
export type Transport = (typeof transports)[number];

/** Topics and options of the clients. */
interface CheckerPlace {
  /** The first part of all topics. Default: `verify`. */
  readonly topicPrefix?: 'verify' | `verify.${string}`;
  /** Of publishers and subscribers. */
  readonly clientOptions?: ClientOptions;
  /** For clients over HTTP. Default: the URL of the others, without a token. */
  readonly http?: HttpPlace;
  /** A node sends at least a comment on an event stream in this time, in milliseconds. */
  readonly streamSilenceMs?: number;
}

/** The result of a run. */
export interface CheckerReport {
  readonly published: Published;
  /** Publications that were due but not sent, because too many had no reply yet. */
  readonly heldBack: number;
  /** Rejected publishes by the error's code. */
  readonly rejections: Readonly<Record<string, number>>;
  readonly findings: Findings;
  readonly reconnects: number;
  readonly repair: RepairTimes;
  readonly latency: LatencyByPhase;
  /** Null if no topics were expected to be unaffected. */
  readonly unaffected: UnaffectedReport | null;
  readonly notes: readonly string[];
}

/**
 * The interval between comparisons of publishers and subscribers. One comparison costs about a microsecond for each
 * stream.
 */
const lookIntervalMs = 20;
const streamsPerLook = 1_000;

/** For nodes with the settings of cluster-under-test.ts. */
const usualStreamSilenceMs = 5_000;

type Kind = 'client' | 'client-stream' | 'client-poll' | HttpKind;

const kindNames: Readonly<Record<Kind, string>> = {
  client: 'subscribers',
  'client-stream': 'typed clients on event streams',
  'client-poll': 'typed clients on long polls',
  'event-stream': 'event streams',
  'event-poll': 'long polls of events',
  'history-poll': 'long polls of histories',
};

/** The kinds of subscribers that take turns. */
function kindsOf({ transports: chosen, level }: CheckerOptions): readonly Kind[] {
  // Topics of level `fast` have no history.
  const polls: readonly HttpKind[] = level === 'fast' ? ['event-poll'] : ['event-poll', 'history-poll'];
  const kinds: Readonly<Record<Transport, readonly Kind[]>> = {
    ...{ websocket: ['client'], fallback: ['client-stream', 'client-poll'] },
    ...{ sse: ['event-stream'], 'long-poll': polls, http: [] },
  };
  return chosen.flatMap((transport) => kinds[transport]);
}

const patience: Patience = { idleMs: 15_000, maxMs: 90_000 };

/** Time after all deliveries, in which duplicates may arrive, for example from a node that was frozen. */
const quietMs = 500;

/** Only a broker that does not serve them takes so long, even on a busy machine. */
const servedDeadlineMs = 60_000;

/** Time for the outcomes of the last publications during an action. */
const lastWaitsMs = 1_000;

/** The memory of a topic and of a stream is bounded by the number of publications in these times. */
const rememberedSeconds = 60;
const pendingSeconds = 40;

const publishersOfNode = 2;

/**
 * The number of publishers: two per node, and one more. Nodes get connections in turn. Without the extra one, the
 * publisher of a topic and its first subscribers would use the same node. Most publications would then not cross nodes.
 */
export function publishersFor(nodes: number): number {
  return nodes * publishersOfNode + 1;
}

export class Checker implements AsyncDisposable {
  readonly #parts = new Disposables();
  readonly #streams: PublisherStream[] = [];
  readonly #loads: Load[] = [];
  readonly #groups: { readonly name: string; readonly group: SubscriberGroup }[] = [];
  readonly #repair = new RepairClock();
  #unaffected: UnaffectedTopics | null = null;
  readonly #waits = new Set<(sentMs: number) => void>();
  readonly #notes: string[] = [];
  #looking: NodeJS.Timeout | undefined;

  /** Connects all clients; {@link start} begins the load. */
  static async open(
    url: string,
    publishers: number,
    options: CheckerOptions,
    place: CheckerPlace = {},
  ): Promise<Checker> {
    await using parts = new Disposables();
    const clients = Array.from({ length: publishers }, () => {
      const client = parts.use(createClient<VerifyTopics>(url, { ...publisherOptions, ...place.clientOptions }));
      client.on('error', () => {});
      return client;
    });
    await within(60_000, Promise.all(clients.map((client) => client.connect())), 'The publishers were not connected');
    const { http = httpPlace([url], null) } = place;
    const checker = new Checker(publishersOf(clients, http, options), parts.move());
    try {
      await checker.#gather(url, options, place);
      return checker;
    } catch (error) {
      await checker[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Publications that each topic must keep, so that clients that return within a minute can recover. */
  static historySize({ rate, topics }: CheckerOptions): number {
    return window(rate / topics, rememberedSeconds, 500);
  }

  private constructor(
    /** Gives the publisher of a stream. */
    private readonly publisherOf: PublisherOf,
    parts: Disposables,
  ) {
    this.#parts.use(parts);
  }

  start(): void {
    this.#looking = setInterval(() => this.#look(), lookIntervalMs * Math.ceil(this.#streams.length / streamsPerLook));
    this.#loads[0]?.start();
  }

  faultBegins(): void {
    for (const { group } of this.#groups) group.faultBegins();
    this.#unaffected?.faultBegins();
  }

  faultEnds(): void {
    for (const { group } of this.#groups) group.faultEnds();
    this.#unaffected?.faultEnds();
    this.#repair.start(performance.now());
  }

  /**
   * Another topic with its own stream; `burst` publications are sent together (default: 1). Its load stops with the
   * others, but must be started separately.
   */
  addTopic(name: string, bytes: number, perSecond: number, burst?: number): TopicPlan & { readonly load: Load } {
    const topic: VerifyTopic = `verify.${name}`;
    const order = new TopicOrder(window(perSecond, rememberedSeconds, 1_024));
    // Many publications a second: more than a publisher that waits for each answer.
    const stream = this.#addStream(topic, order, perSecond, bytes, true);
    const load = new Load({ streams: [stream], perSecond, ...(burst === undefined ? {} : { burst }) });
    this.#loads.push(load);
    return { topic, order, streams: [stream.id], load };
  }

  /** Adds a group that is watched and judged like the others, and disposed of at the end. */
  addGroup(group: SubscriberGroup, name: string): void {
    this.#parts.use(group);
    this.#groups.push({ group, name });
  }

  /** The fault must not affect these topics. Call it before the load begins. */
  expectUnaffected(topics: ReadonlySet<VerifyTopic>): void {
    this.#unaffected = new UnaffectedTopics(topics);
  }

  /** As in FaultEnvironment. */
  async untilOthersServed(): Promise<void> {
    const unserved = this.#unaffected?.unserved ?? new Set();
    if (!(await becomes(servedDeadlineMs, () => unserved.size === 0)))
      throw new Error(`Topics that the fault must not affect were not served: ${[...unserved].join(', ')}.`);
  }

  /** As in FaultEnvironment. */
  async longestWait(action: () => Promise<void>): Promise<{ readonly tookMs: number; readonly waitMs: number }> {
    const beganMs = performance.now();
    let endedMs = Number.POSITIVE_INFINITY;
    let waitMs = 0;
    const settled = (sentMs: number): void => {
      if (sentMs >= beganMs && sentMs <= endedMs) waitMs = Math.max(waitMs, performance.now() - sentMs);
    };
    this.#waits.add(settled);
    try {
      await action();
      endedMs = performance.now();
      await delay(lastWaitsMs);
    } finally {
      this.#waits.delete(settled);
    }
    return { tookMs: Math.round(endedMs - beganMs), waitMs: Math.round(waitMs) };
  }

  publishedBy(stream: number): number {
    return this.#streams[stream]?.ledger.published ?? 0;
  }

  /** The outcomes so far; publications without a reply count as unknown. */
  get published(): Published {
    return {
      published: sum(this.#streams, ({ ledger }) => ledger.published),
      acknowledged: sum(this.#streams, ({ ledger }) => ledger.acknowledged),
      refused: sum(this.#streams, ({ ledger }) => ledger.refused),
      unknown: sum(this.#streams, ({ ledger }) => ledger.doubted) + this.pending,
    };
  }

  /** Publications without a reply yet. */
  get pending(): number {
    return sum(this.#streams, ({ ledger }) => ledger.pending);
  }

  /** Adds a sentence to the report. */
  note(sentence: string): void {
    this.#notes.push(sentence);
  }

  /**
   * Stops the load. Waits until each publish has its reply and each subscriber has all acknowledged publications, or
   * until a timeout.
   */
  async settle(): Promise<void> {
    await Promise.all(this.#loads.map((load) => load.stop()));
    await becomes(publishTimeoutMs + 5_000, () => this.#streams.every(({ ledger }) => ledger.pending === 0));
    const targets = new Map(this.#streams.map(({ id, ledger }) => [id, ledger.lastAcknowledged]));
    const waits = await Promise.all(
      this.#groups.map(async ({ group, name }) => ({ name, isDone: await group.catchUp(targets, patience) })),
    );
    for (const { name, isDone } of waits) if (!isDone) this.#notes.push(`${name}: not all were complete at the end.`);
    await delay(quietMs);
    clearInterval(this.#looking);
  }

  async judge(): Promise<CheckerReport> {
    const ledgers = new Map(this.#streams.map(({ id, ledger }) => [id, ledger.entries()]));
    const findings = noFindings();
    const reports: GroupReport[] = [];
    for (const { group, name } of this.#groups) {
      const report = await within(30_000, group.judge(ledgers), `${name}: not judged`);
      addFindings(findings, report.findings);
      reports.push(report);
      if (reports.length > 1) this.#notes.push(`${name}: delivery latency ${describeLatency(report.latency)}.`);
    }
    const [main] = reports;
    if (main === undefined) throw new Error('There are no subscribers.');
    findings.disagreements += sum(this.#streams, ({ disagreements }) => disagreements);
    return {
      published: this.published,
      heldBack: sum(this.#streams, ({ heldBack }) => heldBack),
      rejections: this.#rejections(),
      findings,
      reconnects: sum(reports, ({ reconnects }) => reconnects),
      repair: this.#repair.times,
      latency: main.latency,
      unaffected: this.#unaffected?.report ?? null,
      notes: this.#notes,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#looking);
    await this.#parts[Symbol.asyncDispose]();
  }

  /** Streams and subscribers. */
  async #gather(url: string, options: CheckerOptions, place: CheckerPlace): Promise<void> {
    const { topicPrefix = 'verify', clientOptions = {}, http = httpPlace([url], null) } = place;
    const { streamSilenceMs: silenceMs = usualStreamSilenceMs } = place;
    const { bytes, publishersPerTopic, rate, subscribers, topics, topicsPerSubscriber } = options;
    const plans = Array.from({ length: topics }, (_, index): TopicPlan => {
      const perSecond = rate / topics;
      const order = new TopicOrder(window(perSecond, rememberedSeconds, 1_024));
      const topic: VerifyTopic = `${topicPrefix}.t${index}`;
      const streams = Array.from({ length: publishersPerTopic }, () =>
        this.#addStream(topic, order, perSecond / publishersPerTopic, bytes),
      );
      return { topic, order, streams: streams.map(({ id }) => id) };
    });
    this.#loads.push(new Load({ streams: [...this.#streams], perSecond: rate }));
    const topicsOfClients = Array.from({ length: subscribers }, (_, client) =>
      Array.from(
        { length: topicsPerSubscriber },
        (_, index) => plans[(client * topicsPerSubscriber + index) % topics],
      ).filter((plan) => plan !== undefined),
    );
    const published = (stream: number): number => this.publishedBy(stream);
    const onDelivered: OnDelivered = (topic, plannedUs) => this.#unaffected?.delivered(topic, plannedUs);
    const kinds = kindsOf(options);
    for (const [turn, kind] of kinds.entries()) {
      const own = topicsOfClients.filter((_, client) => client % kinds.length === turn);
      if (own.length === 0) continue;
      const name = kindNames[kind];
      const common = { topicsOfClients: own, published, onDelivered };
      const open = async (): Promise<SubscriberGroup> => {
        switch (kind) {
          case 'client':
            return await Subscribers.open({ ...common, url, clientOptions });
          case 'client-stream':
            return await Subscribers.open({ ...common, url, clientOptions, name, transport: 'serverSentEvents' });
          case 'client-poll':
            return await Subscribers.open({ ...common, url, clientOptions, name, transport: 'longPolling' });
          default:
            return await HttpSubscribers.open({ ...common, kind, place: http, name, silenceMs });
        }
      };
      this.addGroup(await open(), name);
    }
  }

  #addStream(
    topic: VerifyTopic,
    order: TopicOrder,
    perSecond: number,
    bytes: number,
    isTyped = false,
  ): PublisherStream {
    const id = this.#streams.length;
    const publisher = this.publisherOf(id, isTyped);
    const dispose = publisher[Symbol.asyncDispose]?.bind(publisher);
    if (dispose !== undefined) this.#parts.use({ [Symbol.asyncDispose]: dispose });
    const maxPending = window(perSecond, pendingSeconds, 64);
    const stream = new PublisherStream({
      ...{ id, topic, publisher, order, maxPending },
      filler: 'x'.repeat(bytes),
      onSettled: (settledTopic, outcome, sentMs) => {
        this.#unaffected?.settled(settledTopic, outcome, sentMs);
        for (const settled of this.#waits) settled(sentMs);
      },
    });
    this.#streams.push(stream);
    return stream;
  }

  #reached(stream: number): number {
    return Math.min(...this.#groups.map(({ group }) => group.reached(stream)));
  }

  #look(): void {
    const streams = this.#streams.map(({ id, ledger: { published, lastAcknowledged, settledUpTo } }) => {
      return { id, published, lastAcknowledged, settledUpTo };
    });
    this.#repair.look(performance.now(), streams, (stream) => this.#reached(stream));
  }

  #rejections(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { rejections } of this.#streams) {
      for (const [code, count] of rejections) counts[code] = (counts[code] ?? 0) + count;
    }
    return counts;
  }
}

/** `isTyped`: by the typed client in any case. */
type PublisherOf = (stream: number, isTyped: boolean) => StreamPublisher & Partial<AsyncDisposable>;

/** Streams take turns, in runs as long as the kinds of subscribers: each kind gets publications of both. */
function publishersOf(clients: readonly Client<VerifyTopics>[], http: HttpPlace, options: CheckerOptions): PublisherOf {
  const { transports: chosen, level } = options;
  const hasHttp = chosen.includes('http');
  const hasTyped = chosen.includes('websocket') || !hasHttp;
  const run = kindsOf(options).length;
  return (stream, isTyped) => {
    const isTurn = !hasTyped || Math.floor(stream / run) % 2 === 1;
    if (hasHttp && isTurn && !isTyped) return new HttpPublisher(http, level);
    const client = clients[stream % clients.length];
    if (client === undefined) throw new Error('There is no publisher.');
    return { publish: (topic, data) => client.publish(topic, data) };
  };
}

function describeLatency(latency: LatencyByPhase): string {
  const words = phases.flatMap((phase) => {
    const { count, p50Ms, p99Ms, maxMs } = latency[phase];
    const figures = [p50Ms, p99Ms, maxMs].map((ms) => ms.toFixed(1)).join(' / ');
    return count === 0 ? [] : [`${phase} ${figures}`];
  });
  return `${words.join(', ')} ms (p50 / p99 / max)`;
}

/** The number of publications in that time, with a lower and an upper bound. */
function window(perSecond: number, seconds: number, least: number): number {
  return Math.min(65_536, Math.max(least, Math.ceil(perSecond * seconds)));
}

function sum<Item>(items: readonly Item[], count: (item: Item) => number): number {
  return items.reduce((total, item) => total + count(item), 0);
}
