/** Typed clients that subscribe, and the log of each of their subscriptions. */
import { type Client, type ClientOptions, createClient, DataError } from '@fanfare/client';
import { within } from '@fanfare/kit/within';
import { subscriberOptions } from './client-options.js';
import { addFindings, noFindings } from './findings.js';
import { Latency } from './latency.js';
import type { VerifyTopic, VerifyTopics } from './numbered.js';
import type { LedgerEntries } from './publish-ledger.js';
import type { GroupReport, NumberOfStream, Patience, SubscriberGroup } from './subscriber-group.js';
import { SubscriberLog } from './subscriber-log.js';
import type { TopicOrder } from './topic-order.js';

/** The parts of a topic that subscribers need. */
export interface TopicPlan {
  readonly topic: VerifyTopic;
  readonly streams: readonly number[];
  readonly order: TopicOrder;
}

interface SubscribersOptions {
  readonly url: string;
  /** One client for each element: the topics that it subscribes to. */
  readonly topicsOfClients: readonly (readonly TopicPlan[])[];
  /** The last number that a stream has published so far. */
  readonly published: (stream: number) => number;
  /** For examples: `subscriber 12, verify.t3`. */
  readonly name?: string;
  /** Options in addition to those of all clients. */
  readonly clientOptions?: ClientOptions;
  /** Called whenever a client is connected and all its subscriptions are confirmed. */
  readonly onSubscribed?: (client: number) => void;
}

interface Awaited {
  readonly targets: NumberOfStream;
  readonly behind: Set<SubscriberLog>;
  onProgress(): void;
  onDone(): void;
}

/** The number of clients that connect at the same time; more would exceed the backlog of a node. */
const connectingAtOnce = 100;
const openTimeoutMs = 30_000;

export class Subscribers implements SubscriberGroup {
  readonly #clients: Client<VerifyTopics>[] = [];
  readonly #logs: SubscriberLog[] = [];
  readonly #logsOfStream = new Map<number, SubscriberLog[]>();
  readonly #latency = new Latency();
  readonly #closeCodes = new Map<number | null, number>();
  #reconnects = 0;
  #isClosing = false;
  /** The end of the run waits until no log is behind. */
  #awaited: Awaited | null = null;

  /** Resolves once all subscriptions are confirmed. */
  static async open(options: SubscribersOptions): Promise<Subscribers> {
    const subscribers = new Subscribers(options);
    const numbers = options.topicsOfClients.entries();
    const openers = Array.from({ length: connectingAtOnce }, async () => {
      for (const [number, topics] of numbers) await subscribers.#add(number, topics);
    });
    try {
      await within(openTimeoutMs, Promise.all(openers), 'The subscribers were not all subscribed');
    } catch (error) {
      await subscribers[Symbol.asyncDispose]();
      throw error;
    }
    return subscribers;
  }

  private constructor(private readonly options: SubscribersOptions) {}

  /** The number of closed connections by close code; null for closes without a code. */
  get closeCodes(): ReadonlyMap<number | null, number> {
    return this.#closeCodes;
  }

  faultBegins(): void {
    this.#latency.faultBegins();
  }

  faultEnds(): void {
    this.#latency.faultEnds();
  }

  reached(stream: number): number {
    let lowest = Number.POSITIVE_INFINITY;
    for (const log of this.#logsOfStream.get(stream) ?? []) lowest = Math.min(lowest, log.reached(stream));
    return lowest;
  }

  async catchUp(targets: NumberOfStream, { idleMs, maxMs }: Patience): Promise<boolean> {
    const behind = new Set(this.#logs.filter((log) => isBehind(log, targets)));
    if (behind.size === 0) return true;
    return await new Promise((resolve) => {
      const finish = (isDone: boolean): void => {
        clearTimeout(idle);
        clearTimeout(limit);
        this.#awaited = null;
        resolve(isDone);
      };
      const idle = setTimeout(() => finish(false), idleMs);
      const limit = setTimeout(() => finish(false), maxMs);
      this.#awaited = { targets, behind, onProgress: () => idle.refresh(), onDone: () => finish(true) };
    });
  }

  async judge(ledgers: ReadonlyMap<number, LedgerEntries>): Promise<GroupReport> {
    const findings = noFindings();
    const ledgerOf = (stream: number): LedgerEntries => {
      const ledger = ledgers.get(stream);
      if (ledger === undefined) throw new Error(`There is no ledger of stream ${stream}.`);
      return ledger;
    };
    for (const log of this.#logs) addFindings(findings, log.judge(ledgerOf));
    return { findings, latency: this.#latency.summary(), reconnects: this.#reconnects };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true;
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  async #add(number: number, topics: readonly TopicPlan[]): Promise<void> {
    if (this.#isClosing) return;
    const { url, clientOptions, onSubscribed } = this.options;
    const client = createClient<VerifyTopics>(url, { ...subscriberOptions, ...clientOptions });
    this.#clients.push(client);
    let isUp = false;
    client.on('state', (state) => {
      const wasUp = isUp;
      isUp = state.name === 'connected';
      if (!wasUp || state.name === 'connected' || this.#isClosing) return;
      this.#reconnects++;
      this.#closeCodes.set(state.closeCode, (this.#closeCodes.get(state.closeCode) ?? 0) + 1);
    });
    // Errors are ignored here: everything that matters is an event of a subscription.
    client.on('error', () => {});
    let confirmed = 0;
    const onConfirmed = (): void => {
      if (++confirmed % topics.length === 0) onSubscribed?.(number);
    };
    await Promise.all(topics.map((topic) => this.#subscribe(client, number, topic, onConfirmed)));
  }

  async #subscribe(
    client: Client<VerifyTopics>,
    number: number,
    { topic, streams, order }: TopicPlan,
    onConfirmed: () => void,
  ): Promise<void> {
    const { published, name = 'subscriber' } = this.options;
    const log = new SubscriberLog({ name: `${name} ${number}, ${topic},`, streams, published, order });
    this.#logs.push(log);
    for (const stream of streams) {
      const others = this.#logsOfStream.get(stream);
      if (others === undefined) this.#logsOfStream.set(stream, [log]);
      else others.push(log);
    }
    const subscription = client.subscribe(topic, ({ data, position }) => {
      const plannedUs = log.deliver(data, position);
      if (plannedUs !== null) this.#latency.record(plannedUs);
      this.#look(log);
    });
    subscription.on('subscribed', ({ position }) => {
      log.confirm(position);
      onConfirmed();
    });
    subscription.on('gap', ({ position }) => {
      log.report('gap', position);
      this.#look(log);
    });
    subscription.on('reset', ({ position }) => {
      log.report('reset', position);
      this.#look(log);
    });
    subscription.on('error', (error) => {
      if (error instanceof DataError) log.damage(error.message);
    });
    subscription.on('unsubscribed', ({ code }) => {
      if (!this.#isClosing) log.end(code);
    });
    await subscription.ready;
  }

  /** The end of the run no longer waits for this log. */
  #look(log: SubscriberLog): void {
    const awaited = this.#awaited;
    if (awaited === null || !awaited.behind.has(log)) return;
    awaited.onProgress();
    if (isBehind(log, awaited.targets)) return;
    awaited.behind.delete(log);
    if (awaited.behind.size === 0) awaited.onDone();
  }
}

function isBehind(log: SubscriberLog, targets: NumberOfStream): boolean {
  for (const stream of log.streams) {
    if (log.reached(stream) < (targets.get(stream) ?? 0)) return true;
  }
  return false;
}
