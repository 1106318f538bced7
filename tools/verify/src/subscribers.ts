/** Typed clients that subscribe, and the witness of each of their subscriptions. */
import { type Client, type ClientOptions, createClient, DataError } from '@fanfare/client';
import { within } from '@fanfare/kit/within';
import type { Audience, AudienceReport, NumberOfLane, Patience } from './audience.js';
import { subscriberOptions } from './client-options.js';
import { addFindings, noFindings } from './findings.js';
import { Latency } from './latency.js';
import type { LedgerEntries } from './ledger.js';
import type { VerifyTopic, VerifyTopics } from './numbered.js';
import type { TopicOrder } from './topic-order.js';
import { Witness } from './witness.js';

/** What subscribers have to know of a topic. */
export interface TopicPlan {
  readonly topic: VerifyTopic;
  readonly lanes: readonly number[];
  readonly order: TopicOrder;
}

export interface SubscribersOptions {
  readonly url: string;
  /** One client for each element: the topics that it subscribes to. */
  readonly topicsOfClients: readonly (readonly TopicPlan[])[];
  /** The last number that a lane has published so far. */
  readonly published: (lane: number) => number;
  /** For examples: `subscriber 12, verify.t3`. */
  readonly name?: string;
  /** Beyond those that all have. */
  readonly clientOptions?: ClientOptions;
  /** Called when a client is connected and all its subscriptions stand, the first time and again. */
  readonly onSubscribed?: (client: number) => void;
}

interface Awaited {
  readonly targets: NumberOfLane;
  readonly behind: Set<Witness>;
  onProgress(): void;
  onDone(): void;
}

/** Clients that connect at the same time; more would pass the backlog of a node. */
const connectingAtOnce = 100;
const openTimeoutMs = 30_000;

export class Subscribers implements Audience {
  readonly #options: SubscribersOptions;
  readonly #clients: Client<VerifyTopics>[] = [];
  readonly #witnesses: Witness[] = [];
  readonly #witnessesOfLane = new Map<number, Witness[]>();
  readonly #latency = new Latency();
  readonly #closeCodes = new Map<number | null, number>();
  #reconnects = 0;
  #isClosing = false;
  /** What the end of the run waits for: the witnesses that are behind, and whom to tell when there are none. */
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

  private constructor(options: SubscribersOptions) {
    this.#options = options;
  }

  /** How often connections ended, by close code; null where there was none. */
  get closeCodes(): ReadonlyMap<number | null, number> {
    return this.#closeCodes;
  }

  faultBegins(): void {
    this.#latency.faultBegins();
  }

  faultEnds(): void {
    this.#latency.faultEnds();
  }

  reached(lane: number): number {
    let lowest = Number.POSITIVE_INFINITY;
    for (const witness of this.#witnessesOfLane.get(lane) ?? []) lowest = Math.min(lowest, witness.reached(lane));
    return lowest;
  }

  async catchUp(targets: NumberOfLane, { idleMs, maxMs }: Patience): Promise<boolean> {
    const behind = new Set(this.#witnesses.filter((witness) => isBehind(witness, targets)));
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

  async judge(ledgers: ReadonlyMap<number, LedgerEntries>): Promise<AudienceReport> {
    const findings = noFindings();
    const ledgerOf = (lane: number): LedgerEntries => {
      const ledger = ledgers.get(lane);
      if (ledger === undefined) throw new Error(`There is no ledger of lane ${lane}.`);
      return ledger;
    };
    for (const witness of this.#witnesses) addFindings(findings, witness.judge(ledgerOf));
    return { findings, latency: this.#latency.summary(), reconnects: this.#reconnects };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true;
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  async #add(number: number, topics: readonly TopicPlan[]): Promise<void> {
    if (this.#isClosing) return;
    const { url, clientOptions, onSubscribed } = this.#options;
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
    // Whatever matters here is an event of a subscription.
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
    { topic, lanes, order }: TopicPlan,
    onConfirmed: () => void,
  ): Promise<void> {
    const { published, name = 'subscriber' } = this.#options;
    const witness = new Witness({ name: `${name} ${number}, ${topic},`, lanes, published, order });
    this.#witnesses.push(witness);
    for (const lane of lanes) {
      const others = this.#witnessesOfLane.get(lane);
      if (others === undefined) this.#witnessesOfLane.set(lane, [witness]);
      else others.push(witness);
    }
    const subscription = client.subscribe(topic, ({ data, position }) => {
      const plannedUs = witness.deliver(data, position);
      if (plannedUs !== null) this.#latency.record(plannedUs);
      this.#look(witness);
    });
    subscription.on('subscribed', ({ position }) => {
      witness.confirm(position);
      onConfirmed();
    });
    subscription.on('gap', ({ position }) => {
      witness.tell('gap', position);
      this.#look(witness);
    });
    subscription.on('reset', ({ position }) => {
      witness.tell('reset', position);
      this.#look(witness);
    });
    subscription.on('error', (error) => {
      if (error instanceof DataError) witness.damage(error.message);
    });
    subscription.on('unsubscribed', ({ code }) => {
      if (!this.#isClosing) witness.end(code);
    });
    await subscription.ready;
  }

  /** Where the end of the run waits for this witness, it need not any more. */
  #look(witness: Witness): void {
    const awaited = this.#awaited;
    if (awaited === null || !awaited.behind.has(witness)) return;
    awaited.onProgress();
    if (isBehind(witness, awaited.targets)) return;
    awaited.behind.delete(witness);
    if (awaited.behind.size === 0) awaited.onDone();
  }
}

function isBehind(witness: Witness, targets: NumberOfLane): boolean {
  for (const lane of witness.lanes) {
    if (witness.reached(lane) < (targets.get(lane) ?? 0)) return true;
  }
  return false;
}
