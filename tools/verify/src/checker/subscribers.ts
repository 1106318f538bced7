/** Typed clients that subscribe, and the log of each of their subscriptions. */
import { type Client, type ClientOptions, createClient, DataError } from '@fanfare/client';
import { createClient as createFallbackClient, type Transport } from '@fanfare/client/fallback';
import { within } from '@fanfare/kit/within';
import { fallbackOptions, subscriberOptions } from './client-options.js';
import type { VerifyTopics } from './numbered.js';
import type { LedgerEntries } from './publish-ledger.js';
import type { GroupReport, NumberOfStream, Patience, SubscriberGroup } from './subscriber-group.js';
import { type OnDelivered, SubscriberLogs, type TopicPlan } from './subscriber-logs.js';

interface SubscribersOptions {
  readonly url: string;
  /** One client for each element: the topics that it subscribes to. */
  readonly topicsOfClients: readonly (readonly TopicPlan[])[];
  /** The last number that a stream has published so far. */
  readonly published: (stream: number) => number;
  /** Called for each publication that arrives for the first time. */
  readonly onDelivered?: OnDelivered;
  /** For examples: `subscriber 12, verify.t3`. */
  readonly name?: string;
  /** Options in addition to those of all clients. */
  readonly clientOptions?: ClientOptions;
  /** The only transport of the clients. Default: WebSocket, by the client without a fallback. */
  readonly transport?: Exclude<Transport, 'webSocket'>;
  /** Called whenever a client is connected and all its subscriptions are confirmed. */
  readonly onSubscribed?: (client: number) => void;
}

/** The number of clients that connect at the same time; more would exceed the backlog of a node. */
const connectingAtOnce = 100;
const openTimeoutMs = 30_000;

export class Subscribers implements SubscriberGroup {
  readonly #clients: Client<VerifyTopics>[] = [];
  readonly #logs: SubscriberLogs;
  readonly #closeCodes = new Map<number | null, number>();
  #reconnects = 0;
  #isClosing = false;

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

  private constructor(private readonly options: SubscribersOptions) {
    this.#logs = new SubscriberLogs(options.published, options.onDelivered);
  }

  /** The number of closed connections by close code; null for closes without a code. */
  get closeCodes(): ReadonlyMap<number | null, number> {
    return this.#closeCodes;
  }

  faultBegins(): void {
    this.#logs.latency.faultBegins();
  }

  faultEnds(): void {
    this.#logs.latency.faultEnds();
  }

  reached(stream: number): number {
    return this.#logs.reached(stream);
  }

  catchUp(targets: NumberOfStream, patience: Patience): Promise<boolean> {
    return this.#logs.catchUp(targets, patience);
  }

  async judge(ledgers: ReadonlyMap<number, LedgerEntries>): Promise<GroupReport> {
    return { ...this.#logs.judge(ledgers), reconnects: this.#reconnects };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true;
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  async #add(number: number, topics: readonly TopicPlan[]): Promise<void> {
    if (this.#isClosing) return;
    const { onSubscribed } = this.options;
    const client = this.#create();
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

  #create(): Client<VerifyTopics> {
    const { url, clientOptions, transport } = this.options;
    if (transport === undefined) return createClient<VerifyTopics>(url, { ...subscriberOptions, ...clientOptions });
    const { getToken } = clientOptions ?? {};
    const token = getToken === undefined ? {} : { getToken };
    return createFallbackClient<VerifyTopics>(url, { ...fallbackOptions, ...token, transports: [transport] });
  }

  async #subscribe(
    client: Client<VerifyTopics>,
    number: number,
    plan: TopicPlan,
    onConfirmed: () => void,
  ): Promise<void> {
    const view = this.#logs.add(`${this.options.name ?? 'subscriber'} ${number}`, plan);
    const subscription = client.subscribe(plan.topic, ({ data, position }) => view.deliver(data, position));
    subscription.on('subscribed', ({ position }) => {
      view.confirm(position);
      onConfirmed();
    });
    for (const event of ['gap', 'reset'] as const) {
      subscription.on(event, ({ position }) => view.report(event, position));
    }
    subscription.on('error', (error) => {
      if (error instanceof DataError) view.damage(error.message);
    });
    subscription.on('unsubscribed', ({ code }) => {
      if (!this.#isClosing) view.end(code);
    });
    await subscription.ready;
  }
}
