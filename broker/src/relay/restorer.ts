/**
 * Compares the streams in Redis with the memory of this node: the topics that it listens to, and its own publications.
 * Restores what Redis has lost, or gives the topic another epoch if nobody can. When each of this happens is decided in
 * recovery.ts.
 */
import type { Topic } from '@fanfare/protocol';
import type { ScriptCall } from '../redis/redis.js';
import { lifeMs, type TopicPolicies } from '../topics/policy.js';
import { groupIds, type IdGroup, idGroupArgs } from './id-group.js';
import type { Keys } from './keys.js';
import type { LoggedEntry, LoggedTopic, PublishLog } from './publish-log.js';
import type { RedisClock } from './redis-clock.js';
import { scripts } from './scripts.js';
import { decodeEntry, messageIdsOf, type StreamEntry } from './stream-entry.js';
import type { TopicStates } from './topic-state.js';

export interface RestorerSettings {
  readonly topics: TopicPolicies;
  readonly idempotencyWindowSeconds: number;
}

/** The connection, as this file needs it. */
interface RestorerLink {
  evaluate(calls: readonly ScriptCall[]): Promise<readonly unknown[]>;
}

/** Maximum number of entries in one call. */
const maxEntriesPerCall = 200;
/** Maximum number of calls in one pipeline. */
const maxCalls = 64;

/** All methods reject if Redis does not answer. `minEpoch`: lower epochs have ended. */
export class Restorer {
  constructor(
    private readonly settings: RestorerSettings,
    private readonly link: RestorerLink,
    private readonly keys: Keys,
    private readonly clock: RedisClock,
    private readonly states: TopicStates,
    private readonly publishLog: PublishLog,
  ) {}

  /** Whether this node remembers each topic that it has published to recently. */
  get remembersAll(): boolean {
    return this.publishLog.isComplete;
  }

  /** Restores the publications of the topics that this node listens to. Resolves with the number of restored topics. */
  restoreListened(minEpoch: string): Promise<number> {
    const calls = [...this.states.openFeeds()].flatMap(({ topic, position, begunAt, cache }) =>
      this.#restoreCalls(topic, position.epoch, begunAt, cache.entries.map(restorable), minEpoch),
    );
    return this.#restore(calls);
  }

  /**
   * Call it after {@link restoreListened}. Restores the positions of topics without publications in memory, and this
   * node's own publications after `since`, a time of the clock of Redis in ms. Resolves with the number of restored
   * topics.
   */
  restorePublished(since: number, minEpoch: string): Promise<number> {
    const empty = [...this.states.openFeeds()].filter(({ cache }) => cache.entries.length === 0);
    const positions = inPieces(empty, maxEntriesPerCall).map((topics) => {
      const args = topics.flatMap(({ topic, position: { epoch, offset }, begunAt }) => {
        return [epoch, begunAt ?? '', offset, this.#lifeMs(topic)];
      });
      return this.#callOf(scripts.restorePositions, topics, [minEpoch, ...args]);
    });
    // Redis has older entries. If Redis has no data, a missing node may have published after them, so they must stay
    // out.
    const maxAgeMs = this.clock.ageOf(since);
    const published = [...this.publishLog.topics(maxAgeMs)].flatMap(({ topic, epoch, entries }) =>
      this.#restoreCalls(topic, epoch, null, entries.flatMap(decoded).map(restorable), minEpoch),
    );
    return this.#restore([...positions, ...published]);
  }

  /** Gives another epoch to each topic if Redis still lacks publications of it. */
  async verify(minEpoch: string): Promise<void> {
    const listened = [...this.states.openFeeds()].map(({ topic, position }) => ({ topic, ...position }));
    const known = [...listened, ...this.publishLog.topics()];
    const calls = inPieces(known, maxEntriesPerCall).map((topics) => {
      const positions = topics.flatMap(({ epoch, offset }) => [epoch, offset]);
      return this.#callOf(scripts.verify, topics, [minEpoch, ...positions]);
    });
    await this.#evaluate(calls);
  }

  /**
   * Gives another epoch to each topic if Redis lacks publications of this node. Use it if a generation began without
   * this node, because then it is too late to restore them, or with what this node has `published` in another Redis.
   */
  async prove(minEpoch: string, published = this.provable()): Promise<void> {
    const calls: ScriptCall[] = [];
    for (const logged of published) {
      const { epoch, offset, entries, isThinned } = logged;
      for (const piece of inPieces(entries.flatMap(decoded).map(restorable), maxEntriesPerCall)) {
        const args = piece.flatMap(({ first, bytes, idGroups }) => {
          return [first, idGroups.length > 0 ? '' : bytes, ...idGroupArgs(idGroups)];
        });
        calls.push(this.#callWithIds(scripts.prove, logged.topic, [minEpoch, epoch, ...args]));
      }
      // The node cannot prove entries that it has forgotten.
      if (isThinned) calls.push(this.#callWithIds(scripts.prove, logged.topic, [minEpoch, epoch, offset, '', 0]));
    }
    await this.#evaluate(calls);
  }

  /** What can be proved of the publications of this node: Redis may have forgotten older messageIds. */
  provable(): Iterable<LoggedTopic> {
    return this.publishLog.topics(this.settings.idempotencyWindowSeconds * 1_000);
  }

  #restoreCalls(
    topic: Topic,
    epoch: string,
    begunAt: number | null,
    entries: readonly RestorableEntry[],
    minEpoch: string,
  ): ScriptCall[] {
    const windowMs = this.settings.idempotencyWindowSeconds * 1_000;
    const topicArgs = [minEpoch, this.#lifeMs(topic), windowMs, epoch, begunAt ?? ''];
    return inPieces(entries, maxEntriesPerCall).map((piece) => {
      const entryArgs = piece.flatMap(({ epoch, first, bytes, idGroups }) => {
        return [epoch, first, bytes, ...idGroupArgs(idGroups)];
      });
      return this.#callWithIds(scripts.restore, topic, [...topicArgs, ...entryArgs]);
    });
  }

  #callWithIds(script: ScriptCall['script'], topic: Topic, args: ScriptCall['args']): ScriptCall {
    const { generation, newestEpoch } = this.keys;
    return { script, keys: [generation, newestEpoch, ...this.keys.withIds(topic)], args };
  }

  #callOf(
    script: ScriptCall['script'],
    topics: readonly { readonly topic: Topic }[],
    args: ScriptCall['args'],
  ): ScriptCall {
    const { generation, newestEpoch } = this.keys;
    return { script, keys: [generation, newestEpoch, ...topics.map(({ topic }) => this.keys.topic(topic))], args };
  }

  #lifeMs(topic: Topic): number {
    return lifeMs(this.settings.topics.of(topic));
  }

  async #restore(calls: readonly ScriptCall[]): Promise<number> {
    const restored = (await this.#evaluate(calls)).map((answer) => Number(Array.isArray(answer) ? answer[1] : answer));
    return restored.reduce((sum, topics) => sum + topics, 0);
  }

  async #evaluate(calls: readonly ScriptCall[]): Promise<unknown[]> {
    const answers: unknown[] = [];
    for (const piece of inPieces(calls, maxCalls)) {
      const some = await this.link.evaluate(piece);
      const failed = some.find((answer) => answer instanceof Error);
      if (failed !== undefined) throw failed;
      answers.push(...some);
    }
    return answers;
  }
}

interface RestorableEntry {
  readonly epoch: string;
  readonly first: number;
  readonly bytes: Buffer;
  readonly idGroups: readonly IdGroup[];
}

function restorable(entry: StreamEntry): RestorableEntry {
  const { epoch, first, bytes } = entry;
  return { epoch, first, bytes, idGroups: groupIds(messageIdsOf(entry)) };
}

function decoded({ epoch, first, bytes }: LoggedEntry): readonly StreamEntry[] {
  const entry = decodeEntry({ epoch, offset: first }, bytes);
  return entry === null ? [] : [entry];
}

function inPieces<Item>(items: readonly Item[], size: number): (readonly Item[])[] {
  const pieces: (readonly Item[])[] = [];
  for (let at = 0; at < items.length; at += size) pieces.push(items.slice(at, at + size));
  return pieces;
}
