/**
 * The control clients of nodes under attack: they publish at a steady rate, subscribe, and count lost, repeated and
 * late deliveries.
 */
import { type Client, createClient } from '@fanfare/client';
import { newHistogram, recordUs } from '@fanfare/kit/histogram';
import { becomes, within } from '@fanfare/kit/within';
import type { Histogram } from 'hdr-histogram-js';
import { tokenOf } from './keys.js';

interface Item {
  readonly n: number;
  /** Of `performance.now()`: publishers and subscribers are in one process. */
  readonly sentAtMs: number;
}

type Topics = { readonly [topic: `good.${number}`]: Item };

/** One publisher per subject. Each uses four fifths of the rate of its subject. */
const topics = [0, 1] as const;
const publishIntervalMs = 25;
const subscribers = 3;
const openTimeoutMs = 10_000;
const catchUpMs = 10_000;

export interface Latency {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly count: number;
}

export interface ControlReport {
  readonly published: number;
  readonly lost: number;
  readonly repeated: number;
  /** Connections that ended, though they did nothing wrong. */
  readonly reconnects: number;
  /** Publications that the node has refused. */
  readonly refused: number;
}

export class ControlClients implements AsyncDisposable {
  readonly #clients: Client<Topics>[] = [];
  readonly #published: number[] = topics.map(() => 0);
  /** The next number of each topic, for each subscriber. */
  readonly #next: number[][] = [];
  #window: Histogram = newHistogram();
  #timer: NodeJS.Timeout | undefined;
  #lost = 0;
  #repeated = 0;
  #reconnects = 0;
  #refused = 0;
  #isClosing = false;

  /** Resolves once all are subscribed and publishing. They are spread over the nodes with these URLs. */
  static async start(urls: readonly string[]): Promise<ControlClients> {
    const controlClients = new ControlClients();
    try {
      await within(openTimeoutMs, controlClients.#open(urls), 'The control clients were not all subscribed');
    } catch (error) {
      await controlClients[Symbol.asyncDispose]();
      throw error;
    }
    return controlClients;
  }

  /** The latency since the previous call. */
  takeLatency(): Latency {
    const histogram = this.#window;
    this.#window = newHistogram();
    return {
      p50Ms: histogram.getValueAtPercentile(50) / 1_000,
      p99Ms: histogram.getValueAtPercentile(99) / 1_000,
      count: histogram.totalCount,
    };
  }

  /** Stops publishing, waits for pending deliveries, and counts. */
  async finish(): Promise<ControlReport> {
    clearInterval(this.#timer);
    await becomes(catchUpMs, () => this.#missing() === 0);
    return {
      published: this.#published.reduce((sum, count) => sum + count, 0),
      lost: this.#lost + this.#missing(),
      repeated: this.#repeated,
      reconnects: this.#reconnects,
      refused: this.#refused,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true;
    clearInterval(this.#timer);
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  async #open(urls: readonly string[]): Promise<void> {
    for (let number = 0; number < subscribers; number++) {
      const client = this.#connect(urls, `subscriber-${number}`);
      const next = topics.map(() => 1);
      this.#next.push(next);
      await Promise.all(
        topics.map((topic) => client.subscribe(`good.${topic}`, ({ data }) => this.#take(next, topic, data)).ready),
      );
    }
    const publishers = topics.map((topic) => this.#connect(urls, `publisher-${topic}`));
    this.#timer = setInterval(() => {
      for (const [topic, publisher] of publishers.entries()) this.#publish(publisher, topic);
    }, publishIntervalMs);
  }

  #connect(urls: readonly string[], subject: string): Client<Topics> {
    const url = urls[this.#clients.length % urls.length] ?? '';
    const client = createClient<Topics>(url, { getToken: () => tokenOf(subject, { topics: ['good.*'] }) });
    this.#clients.push(client);
    let isUp = false;
    client.on('state', ({ name }) => {
      if (isUp && name !== 'connected' && !this.#isClosing) this.#reconnects++;
      isUp = name === 'connected';
    });
    // Whatever matters here is counted.
    client.on('error', () => {});
    return client;
  }

  #publish(publisher: Client<Topics>, topic: number): void {
    const n = (this.#published[topic] ?? 0) + 1;
    this.#published[topic] = n;
    publisher.publish(`good.${topic}`, { n, sentAtMs: performance.now() }).catch(() => this.#refused++);
  }

  #take(next: number[], topic: number, { n, sentAtMs }: Item): void {
    recordUs(this.#window, (performance.now() - sentAtMs) * 1_000);
    const expected = next[topic] ?? 1;
    if (n < expected) {
      this.#repeated++;
      return;
    }
    this.#lost += n - expected;
    next[topic] = n + 1;
  }

  #missing(): number {
    let missing = 0;
    for (const next of this.#next) {
      for (const topic of topics) missing += (this.#published[topic] ?? 0) + 1 - (next[topic] ?? 1);
    }
    return missing;
  }
}
