/** All subscribed topics of this client: their feeds, their connections, and the routing of messages to them. */
import type { TopicPush, Unsubscribed } from '@fanfare/protocol';
import type { Beginning } from './catch-up.js';
import type { Connection } from './connection.js';
import { type FanfareError, ReplyError } from './errors.js';
import { Feed, type FeedSettings } from './feed.js';
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
      feed = new Feed(topic, check, this.#settings, () => this.#notifyIfMoved());
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
    if (this.#move?.from === connection || this.#move?.to === connection) this.#move = null;
    for (const feed of [...this.#feeds.values()]) feed.lost(connection);
    this.subscribeAll();
  }

  endAll(error: FanfareError): void {
    this.#move = null;
    for (const feed of [...this.#feeds.values()]) feed.end(error);
  }

  discardAll(): void {
    this.#move = null;
    for (const reader of [...this.#drained, ...this.#readers()]) reader.discard('closed');
    this.#drained = [];
  }

  onPush(push: TopicPush, connection: Connection): void {
    this.#feedOf(push.topic, connection)?.onPush(push);
  }

  /** The node ended the subscription without an unsubscribe. */
  onEnded({ topic, code, message }: Unsubscribed, connection: Connection): void {
    if (code === null) return;
    this.#feedOf(topic, connection)?.onEnded(new ReplyError(code, message ?? '', false), connection);
  }

  /** Unsubscribes from everything. Resolves when readers have read everything that arrived before the confirmation. */
  async drain(): Promise<void> {
    const { requests } = this.#settings;
    const readers = this.#readers();
    this.#drained = readers;
    await Promise.all(
      [...this.#feeds.values()].map(async (feed) => {
        const leave = (connection: Connection): Promise<void> =>
          new Promise((resolve) => requests.leave(connection, feed.topic, resolve));
        await Promise.all(feed.drain().map(leave));
        await feed.settled.met();
        feed.end('draining');
      }),
    );
    await Promise.all(readers.map((reader) => reader.consumed.met()));
  }

  /** Pushes before the answer to an unsubscribe are for readers that have ended, unless the client drains. */
  #feedOf(topic: string, connection: Connection): Feed | undefined {
    const feed = this.#feeds.get(topic);
    return this.#settings.requests.isLeaving(connection, topic) && feed?.isDraining !== true ? undefined : feed;
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
      if (connection.isOpen) this.#settings.requests.leave(connection, topic, () => {});
    }
    this.#notifyIfMoved();
  }

  #notifyIfMoved(): void {
    if (this.#move === null) return;
    const { from, to, onMoved } = this.#move;
    for (const feed of this.#feeds.values()) if (feed.needs(from, to)) return;
    this.#move = null;
    onMoved();
  }
}
