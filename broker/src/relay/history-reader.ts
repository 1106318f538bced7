/** Reads histories in Redis. */
import { type Position, ReplyError, type Topic } from '@fanfare/protocol';
import { isOutOfMemory, type ScriptCall } from '../redis/redis.js';
import { lifeMs, type TopicPolicies } from '../topics/policy.js';
import type { Generation, GenerationSource } from './generation.js';
import { pageBackward, pageForward } from './history.js';
import type { Keys } from './keys.js';
import { parsePosition } from './position-id.js';
import type { HistoryPage, HistoryRequest } from './relay.js';
import { type CallingLink, callScript, scripts } from './scripts.js';
import { decodeEntry, type StreamEntry } from './stream-entry.js';
import { maxAnswerBytes } from './topic-cache.js';
import type { HistorySlice } from './topic-feed.js';

/** Maximum number of topics in one call that reads positions. */
const maxTopics = 256;

interface Inquiry {
  /** Each with its index in the answer. */
  readonly topics: Map<Topic, number>;
  readonly positions: Promise<readonly (Position | null)[]>;
}

export class HistoryReader {
  readonly #asked = new Set<Promise<unknown>>();
  /** The inquiry of this turn, which is not sent yet. */
  #inquiry: Inquiry | null = null;

  constructor(
    private readonly link: CallingLink,
    private readonly generations: GenerationSource,
    private readonly keys: Keys,
    private readonly topics: TopicPolicies,
    /** Whether a topic is about to move to another Redis: what is read here could begin or renew a history that is not copied. */
    readonly isFrozen: (topic: Topic) => boolean = () => false,
  ) {}

  /** Resolves when everything that was asked so far is answered. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#asked);
  }

  /**
   * Reads the topic's stream from offset `from` of `epoch`. Returns entries with `publications` publications, or fewer
   * if one answer cannot hold them. If the topic has no history, a new one begins.
   */
  read(topic: Topic, epoch: string, from: number, publications = Number.MAX_SAFE_INTEGER): Promise<HistorySlice> {
    return this.#read(topic, epoch, from, publications, false);
  }

  /**
   * Reads the stream backward in the same way, from offset `last` of `epoch`. `epoch` null: the topic's epoch. `last`
   * null: the newest publication.
   */
  async readBack(topic: Topic, epoch: string | null, last: number | null, publications: number): Promise<HistorySlice> {
    const answer = await this.#ask(scripts.readBack, [topic], ({ minEpoch }) => [
      minEpoch,
      epoch ?? '',
      last ?? '',
      publications,
      maxAnswerBytes,
    ]);
    if ((answer as unknown[]).length === 0) return this.read(topic, '', 1);
    const { position, entries } = sliceOf(answer);
    return { position, entries: entries.toReversed() };
  }

  /**
   * Gives the topic a new epoch if its epoch is `epoch`. Resolves with the first entry that was published under the new
   * epoch.
   */
  renew(topic: Topic, epoch: string): Promise<HistorySlice> {
    return this.#read(topic, epoch, 1, Number.MAX_SAFE_INTEGER, true);
  }

  async #read(
    topic: Topic,
    epoch: string,
    from: number,
    publications: number,
    isRenewed: boolean,
  ): Promise<HistorySlice> {
    const answer = await this.#ask(scripts.read, [topic], ({ name, minEpoch }) => [
      minEpoch,
      this.#lifeMs(topic),
      epoch,
      from,
      publications,
      maxAnswerBytes,
      name,
      isRenewed ? 1 : 0,
    ]);
    return sliceOf(answer);
  }

  /**
   * The position of a topic now, null if it has no history. One call reads all positions that callers need in one turn.
   */
  async position(topic: Topic): Promise<Position | null> {
    if (this.isFrozen(topic)) throw unavailable();
    this.#inquiry ??= this.#inquire();
    const { topics, positions } = this.#inquiry;
    const index = topics.get(topic) ?? topics.size;
    topics.set(topic, index);
    return (await positions)[index] ?? null;
  }

  #inquire(): Inquiry {
    const topics = new Map<Topic, number>();
    const turnEnds = new Promise((resolve) => setImmediate(resolve));
    const positions = turnEnds.then(() => {
      this.#inquiry = null;
      return this.positions([...topics.keys()]);
    });
    return { topics, positions };
  }

  /** The positions of topics, null if they have no history. Also extends the expiry of their histories. */
  async positions(topics: readonly Topic[]): Promise<(Position | null)[]> {
    const positions: (Position | null)[] = [];
    for (let at = 0; at < topics.length; at += maxTopics) {
      const piece = topics.slice(at, at + maxTopics);
      const answer = await this.#ask(scripts.positions, piece, ({ minEpoch }) => [
        minEpoch,
        ...piece.map((topic) => this.#lifeMs(topic)),
      ]);
      positions.push(...(answer as Buffer[]).map((id) => parsePosition(id.toString('latin1'))));
    }
    return positions;
  }

  async page(topic: Topic, request: HistoryRequest): Promise<HistoryPage> {
    const { since, direction, limit } = request;
    if (direction === 'forward') {
      const from = (since?.offset ?? 0) + 1;
      // Without `since`, the page begins with the oldest publication of the topic's epoch. That epoch must be read
      // first.
      const epoch = since?.epoch ?? (await this.read(topic, '', 1)).position.epoch;
      const { position, entries } = await this.read(topic, epoch, from, limit);
      return pageForward(position, entries, request);
    }
    const last = since === null ? null : Math.max(0, since.offset - 1);
    const { position, entries } = await this.readBack(topic, since?.epoch ?? null, last, limit);
    return pageBackward(position, entries, request);
  }

  #lifeMs(topic: Topic): number {
    return lifeMs(this.topics.of(topic));
  }

  async #ask(
    script: ScriptCall['script'],
    topics: readonly Topic[],
    argsFor: (generation: Generation) => ScriptCall['args'],
  ): Promise<unknown> {
    const { generation } = this.generations;
    if (generation === null || topics.some(this.isFrozen)) throw unavailable();
    const { generation: generationKey, newestEpoch } = this.keys;
    const keys = [generationKey, newestEpoch, ...topics.map((topic) => this.keys.topic(topic))];
    const asked = callScript(this.link, { script, keys, args: argsFor(generation) });
    this.#asked.add(asked);
    const answer = await asked;
    this.#asked.delete(asked);
    if (!(answer instanceof Error)) return answer;
    // The link has logged any other error.
    if (answer.message.startsWith('STALE')) this.generations.onStale();
    throw unavailable(answer);
  }
}

function unavailable(error: Error | null = null): ReplyError {
  // If Redis is out of memory, existing histories can be read, but no new history can begin.
  const why = error !== null && isOutOfMemory(error) ? 'is out of memory (maxmemory)' : 'does not respond';
  return new ReplyError('unavailable', `The history is unavailable: Redis ${why}. Retry.`);
}

function sliceOf(answer: unknown): HistorySlice {
  const [last, ...rows] = answer as [Buffer, ...[id: Buffer, fields: [Buffer, Buffer]][]];
  const position = parsePosition(last.toString('latin1'));
  if (position === null) throw new Error('Redis returned an invalid position.');
  const entries: StreamEntry[] = [];
  for (const [id, [, bytes]] of rows) {
    const at = parsePosition(id.toString('latin1'));
    // A copy: a feed keeps entries for a long time, and must not hold the whole reply in memory.
    const entry = at === null ? null : decodeEntry(at, Buffer.from(bytes));
    if (entry !== null) entries.push(entry);
  }
  return { position, entries };
}
