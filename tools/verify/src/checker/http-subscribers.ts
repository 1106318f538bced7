/** Subscribers over HTTP, as a group of one kind. */
import { within } from '@fanfare/kit/within';
import { EventStreamClient } from './event-stream-client.js';
import { HistoryPollClient } from './history-poll-client.js';
import type { HttpPlace } from './http-exchange.js';
import type { LedgerEntries } from './publish-ledger.js';
import type { GroupReport, NumberOfStream, Patience, SubscriberGroup } from './subscriber-group.js';
import { type OnDelivered, SubscriberLogs, type TopicPlan } from './subscriber-logs.js';

/** `event-poll`: long polls of `/v1/events`. `history-poll`: long polls of the history of each topic. */
export type HttpKind = 'event-stream' | 'event-poll' | 'history-poll';

interface HttpSubscribersOptions {
  readonly kind: HttpKind;
  readonly place: HttpPlace;
  /** A node sends at least a comment on an event stream in this time, in milliseconds. */
  readonly silenceMs: number;
  /** One subscriber for each element: its topics. */
  readonly topicsOfClients: readonly (readonly TopicPlan[])[];
  /** The last number that a stream has published so far. */
  readonly published: (stream: number) => number;
  /** Called for each publication that arrives for the first time. */
  readonly onDelivered?: OnDelivered;
  /** For examples: `event stream 12, verify.t3`. */
  readonly name: string;
}

/** Short, so that a run has many seams between two polls. */
const waitSeconds = 5;
const openTimeoutMs = 30_000;

/** A node has refused a subscriber for good. */
export class Refused extends Error {
  override readonly name = 'Refused';
}

interface RunningClient {
  run(): Promise<string | null>;
  close(): void;
}

export class HttpSubscribers implements SubscriberGroup {
  readonly #logs: SubscriberLogs;
  readonly #clients: RunningClient[] = [];
  #reconnects = 0;

  /** Resolves once all are subscribed. */
  static async open(options: HttpSubscribersOptions): Promise<HttpSubscribers> {
    const subscribers = new HttpSubscribers(options);
    const { topicsOfClients, name } = options;
    const ready = topicsOfClients.map((topics, number) => subscribers.#add(number, topics));
    try {
      await within(openTimeoutMs, Promise.all(ready), `${name}: not all were subscribed`);
    } catch (error) {
      await subscribers[Symbol.asyncDispose]();
      throw error;
    }
    return subscribers;
  }

  private constructor(private readonly options: HttpSubscribersOptions) {
    this.#logs = new SubscriberLogs(options.published, options.onDelivered);
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
    for (const client of this.#clients) client.close();
  }

  /** Resolves once it is subscribed to all its topics. */
  async #add(number: number, plans: readonly TopicPlan[]): Promise<void> {
    const { kind, place, silenceMs, name } = this.options;
    const topics = plans.map((plan) => ({ topic: plan.topic, view: this.#logs.add(`${name} ${number}`, plan) }));
    const onEnd = (): void => void this.#reconnects++;
    if (kind === 'history-poll') {
      const subscribed = topics.map(({ topic, view }) =>
        this.#start((onSubscribed) => {
          return new HistoryPollClient({ place, topic, view, waitSeconds, onSubscribed, onBroken: onEnd });
        }),
      );
      await Promise.all(subscribed);
      return;
    }
    const wait = kind === 'event-poll' ? waitSeconds : null;
    await this.#start((onSubscribed) => {
      return new EventStreamClient({ place, topics, waitSeconds: wait, silenceMs, onSubscribed, onEnd });
    });
  }

  #start(make: (onSubscribed: () => void) => RunningClient): Promise<void> {
    return new Promise((resolve, reject) => {
      const client = make(resolve);
      this.#clients.push(client);
      // Once it is subscribed, the log has the reason.
      client.run().then((reason) => reject(new Refused(`${this.options.name}: ${reason}`)), reject);
    });
  }
}
