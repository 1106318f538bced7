/** All subscribed topics of this client: their feeds, their connections, and the routing of messages to them. */
import type { TopicPush, Unsubscribed } from '@fanfare/protocol';
import type { Beginning } from './catch-up.js';
import type { Connection } from './connection.js';
import { type ErrorCode, type FanfareError, ReplyError } from './errors.js';
import { Feed, type FeedSettings } from './feed.js';
import type { Answer } from './requests.js';
import type { SchemaTable } from './schemas.js';
import { type Listener, Reader } from './subscription.js';

interface FeedsSettings extends FeedSettings {
  readonly schemas: SchemaTable | null;
  /** Gets errors that have no listener. */
  readonly report: (error: FanfareError) => void;
}

/** A move of all feeds from one connection to another. */
interface Move {
  readonly from: Connection;
  readonly to: Connection;
  readonly onMoved: () => void;
}

export class Feeds {
  readonly #settings: FeedsSettings;
  readonly #feeds = new Map<string, Feed>();
  /** The last unanswered unsubscribe of a topic. Pushes before its answer are for readers that have ended. */
  readonly #unsubscribing = new Map<Connection, Map<string, number>>();
  /** Readers that drain() has ended. Their loops may still hold publications. */
  #drained: Reader[] = [];
  #move: Move | null = null;

  constructor(settings: FeedsSettings) {
    this.#settings = settings;
  }

  /** Throws `unknownTopic` if there are schemas and none matches. */
  read(topic: string, listener: Listener | null, beginning: Beginning | null): Reader {
    let feed = this.#feeds.get(topic);
    if (feed === undefined) {
      const check = this.#settings.schemas?.checkOf(topic) ?? null;
      feed = new Feed(topic, check, this.#settings, {
        // The node executes commands in order, so any earlier unsubscribe is done.
        onSubscribed: (connection) => this.#unsubscribing.get(connection)?.delete(topic),
        onAnswered: () => this.#notifyIfMoved(),
      });
      this.#feeds.set(topic, feed);
    }
    const { maxBufferedPublications, report } = this.#settings;
    const onEnd = (reader: Reader): void => this.#leave(feed, reader);
    const isContinued = beginning !== null && 'since' in beginning;
    const reader = new Reader({ topic, listener, isContinued, maxBufferedPublications, onEnd, report });
    feed.add(reader, beginning);
    feed.subscribe();
    return reader;
  }

  /** Call it for a new connection: its node has no subscriptions of this client yet. */
  subscribeAll(): void {
    for (const feed of this.#feeds.values()) feed.subscribe();
  }

  /** Calls back when `from` can be closed without loss. Does not call back if one of the two is lost first. */
  move(from: Connection, to: Connection, onMoved: () => void): void {
    this.#move = { from, to, onMoved };
    this.#notifyIfMoved();
  }

  /**
   * Call it for a lost connection. Topics that were subscribed only there are subscribed on the other connection, if
   * there is one.
   */
  lost(connection: Connection): void {
    this.#unsubscribing.delete(connection);
    if (this.#move?.from === connection || this.#move?.to === connection) this.#move = null;
    for (const feed of [...this.#feeds.values()]) feed.lost(connection);
    this.subscribeAll();
  }

  endAll(code: ErrorCode, error: FanfareError): void {
    this.#forget();
    for (const feed of [...this.#feeds.values()]) feed.end(code, error);
  }

  discardAll(code: ErrorCode): void {
    this.#forget();
    for (const reader of [...this.#drained, ...this.#readers()]) reader.discard(code);
    this.#drained = [];
  }

  onPush(push: TopicPush, connection: Connection): void {
    if (this.#unsubscribing.get(connection)?.has(push.topic)) return;
    this.#feeds.get(push.topic)?.onPush(push);
  }

  /** The node ended the subscription without an unsubscribe. */
  onEnded({ topic, code, message }: Unsubscribed, connection: Connection): void {
    if (code === null || this.#unsubscribing.get(connection)?.has(topic)) return;
    this.#feeds.get(topic)?.onEnded(new ReplyError(code, message ?? '', false), connection);
  }

  /** Unsubscribes from everything. Resolves when readers have read everything that arrived before the confirmation. */
  async drain(): Promise<void> {
    const feeds = [...this.#feeds.values()];
    const readers = this.#readers();
    this.#drained = readers;
    await Promise.all(
      feeds.map(async (feed) => {
        // No entry in #unsubscribing, because later pushes are still delivered.
        const answers = feed
          .drain()
          .filter((connection) => !this.#settings.requests.withdraw(connection, feed.topic))
          .map((connection) => new Promise((resolve) => this.#unsubscribe(feed.topic, connection, resolve)));
        await Promise.all(answers);
        await feed.settled();
        feed.end('draining', null);
      }),
    );
    await Promise.all(readers.map((reader) => reader.consumed()));
  }

  #readers(): Reader[] {
    return [...this.#feeds.values()].flatMap((feed) => [...feed.readers]);
  }

  #leave(feed: Feed, reader: Reader): void {
    feed.remove(reader);
    if (feed.readers.size > 0) return;
    const { topic, connections } = feed;
    feed.stop();
    this.#feeds.delete(topic);
    for (const connection of connections) {
      if (!connection.isOpen || this.#settings.requests.withdraw(connection, topic)) continue;
      const unsubscribing = this.#unsubscribing.get(connection) ?? new Map<string, number>();
      this.#unsubscribing.set(connection, unsubscribing);
      const id = this.#unsubscribe(topic, connection, () => {
        if (unsubscribing.get(topic) === id) unsubscribing.delete(topic);
      });
      unsubscribing.set(topic, id);
    }
    this.#notifyIfMoved();
  }

  #unsubscribe(topic: string, connection: Connection, onAnswer: (answer: Answer) => void): number {
    const { requests, timeoutMs } = this.#settings;
    return requests.ask(connection, (id) => ({ type: 'unsubscribe', id, topic }), timeoutMs, onAnswer);
  }

  #notifyIfMoved(): void {
    if (this.#move === null) return;
    const { from, to, onMoved } = this.#move;
    for (const feed of this.#feeds.values()) if (feed.needs(from, to)) return;
    this.#move = null;
    onMoved();
  }

  #forget(): void {
    this.#move = null;
    this.#unsubscribing.clear();
  }
}
