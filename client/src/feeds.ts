/** All topics that this client reads: who joins which feed, what is subscribed at the node, and what comes for whom. */
import type { Push } from '@fanfare/protocol';
import type { ErrorCode, FanfareError } from './errors.js';
import { Feed, type FeedSettings } from './feed.js';
import type { Answer } from './requests.js';
import type { SchemaTable } from './schemas.js';
import { type Listener, Reader } from './subscription.js';

export interface FeedsSettings extends FeedSettings {
  readonly schemas: SchemaTable | null;
  /** Takes errors that no reader listens to. */
  readonly report: (error: FanfareError) => void;
}

export class Feeds {
  readonly #settings: FeedsSettings;
  readonly #feeds = new Map<string, Feed>();
  /** The last unsubscribe of a topic that is unanswered: what comes before its answer was for readers that are gone. */
  readonly #unsubscribing = new Map<string, number>();
  /** Feeds whose unsubscribe is on its way already. */
  readonly #draining = new Set<Feed>();
  /** Readers that drain() has ended, and whose loops may hold publications still. */
  #drained: Reader[] = [];

  constructor(settings: FeedsSettings) {
    this.#settings = settings;
  }

  /** Throws `unknownTopic` where there are schemas and none matches. */
  read(topic: string, listener: Listener | null): Reader {
    let feed = this.#feeds.get(topic);
    if (feed === undefined) {
      const check = this.#settings.schemas?.checkOf(topic) ?? null;
      // The node carries commands out in order: whatever became of an unsubscribe, it lies behind us then.
      feed = new Feed(topic, check, this.#settings, () => this.#unsubscribing.delete(topic));
      this.#feeds.set(topic, feed);
    }
    const { maxBufferedPublications, report } = this.#settings;
    const onEnd = (reader: Reader): void => this.#leave(feed, reader);
    const reader = new Reader({ topic, listener, maxBufferedPublications, onEnd, report });
    feed.add(reader);
    feed.subscribe();
    return reader;
  }

  /** A new connection: the node knows nothing of us. */
  subscribeAll(): void {
    for (const feed of this.#feeds.values()) feed.subscribe();
  }

  interruptAll(): void {
    this.#unsubscribing.clear();
    for (const feed of [...this.#feeds.values()]) feed.interrupt();
  }

  endAll(code: ErrorCode, error: FanfareError): void {
    for (const feed of [...this.#feeds.values()]) feed.end(code, error);
  }

  discardAll(code: ErrorCode): void {
    for (const reader of [...this.#drained, ...this.#readers()]) reader.discard(code);
    this.#drained = [];
  }

  onPush(push: Push): void {
    if (this.#unsubscribing.has(push.topic)) return;
    const feed = this.#feeds.get(push.topic);
    if (push.type === 'gap') feed?.gap('node');
    else feed?.onPublications(push);
  }

  /** Unsubscribes from everything. Resolves once readers have read all that came before the node confirmed that. */
  async drain(): Promise<void> {
    const feeds = [...this.#feeds.values()];
    const readers = this.#readers();
    this.#drained = readers;
    for (const feed of feeds) this.#draining.add(feed);
    await Promise.all(
      feeds.map(async (feed) => {
        // No entry in #unsubscribing: what still comes is wanted.
        if (feed.state !== 'waiting') await new Promise((resolve) => this.#unsubscribe(feed.topic, resolve));
        await feed.checked();
        feed.end('draining', null);
      }),
    );
    await Promise.all(readers.map((reader) => reader.consumed()));
  }

  #readers(): Reader[] {
    return [...this.#feeds.values()].flatMap((feed) => [...feed.readers]);
  }

  #leave(feed: Feed, reader: Reader): void {
    feed.readers.delete(reader);
    if (feed.readers.size > 0) return;
    const { topic, state } = feed;
    feed.stop();
    this.#feeds.delete(topic);
    const isDone = this.#draining.delete(feed);
    if (isDone || state === 'waiting' || !this.#settings.isOpen()) return;
    const id = this.#unsubscribe(topic, () => {
      if (this.#unsubscribing.get(topic) === id) this.#unsubscribing.delete(topic);
    });
    this.#unsubscribing.set(topic, id);
  }

  #unsubscribe(topic: string, onAnswer: (answer: Answer) => void): number {
    const { requests, timeoutMs } = this.#settings;
    return requests.send((id) => ({ type: 'unsubscribe', id, topic }), timeoutMs, onAnswer);
  }
}
