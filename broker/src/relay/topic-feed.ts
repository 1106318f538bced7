/**
 * One topic with history, for all subscribers of this node: delivers its publications in order, each once, and reads
 * from the stream what it missed. Subscribers do not see a hole that was filled.
 *
 * A {@link Sequencer} keeps the offsets. Every publication is in the topic's stream before it is on the channel
 * (lua/publish.lua), so one read brings whatever is missing.
 */
import { type Position, ReplyError, Sequencer, type Topic } from '@fanfare/protocol';
import type { Delivery } from './relay.js';
import { copyOf, fromHole, runOf, type StreamEntry, upToHole } from './stream-entry.js';
import { type CacheBudget, TopicCache } from './topic-cache.js';

/** A part of a topic's stream. */
export interface HistorySlice {
  /** The position of the newest publication of the topic. */
  readonly position: Position;
  /**
   * In order; there may be more. If the topic has the requested epoch, they start at the wanted offset; the first one
   * may begin before it. If the topic has another epoch, they start with the first entry of that epoch.
   */
  readonly entries: readonly StreamEntry[];
}

export interface FeedCounters {
  /** Publications that arrived twice and were dropped. */
  publicationsRepeated: number;
  /** How often publications were missing and were read from the history. */
  repairs: number;
  publicationsRepaired: number;
  gapsNotified: number;
  resetsNotified: number;
}

export interface FeedContext {
  readonly delivery: Delivery;
  readonly counters: FeedCounters;
  readonly budget: CacheBudget;
  /** Reads the topic's stream from offset `from` of `epoch`. Rejects with ReplyError if Redis does not answer. */
  read(topic: Topic, epoch: string, from: number): Promise<HistorySlice>;
  /**
   * Reads the newest entries up to offset `last`, in order, as many as one answer can hold. Returns none if the topic
   * has another epoch. Rejects with ReplyError if Redis does not answer.
   */
  readBack(topic: Topic, epoch: string, last: number): Promise<HistorySlice>;
  /**
   * Gives the topic another epoch if it has this one. Resolves with the first entry that was published under the new
   * one. Rejects with ReplyError if Redis does not answer.
   */
  renew(topic: Topic, epoch: string): Promise<HistorySlice>;
  /** The feed is in doubt: see {@link TopicFeed.doubt}. */
  onDoubt(feed: TopicFeed): void;
  /** Publications were missing, and the feed has dealt with it. */
  onRepaired(topic: Topic, repair: Repair): void;
}

export interface Repair {
  readonly publications: number;
  readonly outcome: 'repaired' | 'gap' | 'reset';
}

/** The maximum number of entries that are held during a read. The read returns those that are dropped. */
const maxHeldEntries = 256;

/**
 * The number of reads after which the feed gives up a hole that Redis cannot fill, although Redis has later entries.
 */
const maxReads = 20;

/**
 * Whether publications may be missing without a hole that a later publication would show. `tail`: messages may be lost
 * with the connection to Redis. `proof`: Redis may even hold other publications under the same offsets.
 */
export type Doubt = 'none' | 'tail' | 'proof';

const nowhere: Delivery = { deliver: () => false, notifyGap: () => undefined, notifyReset: () => undefined };

export class TopicFeed {
  readonly cache: TopicCache;
  #delivery: Delivery;
  readonly #sequencer: Sequencer<StreamEntry>;
  /** Offset after which the epoch began; null if it had begun before the first read. */
  #begunAt: number | null = null;
  /** The entry that is being delivered, if it comes from a read. */
  #missed: StreamEntry | null = null;
  /** Holds all entries that arrive during the read, because they may belong to another history. */
  #catchingUp: Promise<void> | null = null;
  #backfilling: Promise<void> | null = null;
  #doubt: Doubt = 'none';
  #failure: ReplyError | null = null;

  /** `maxPublications`: the maximum number that it keeps in memory. */
  constructor(
    readonly topic: Topic,
    maxPublications: number,
    private context: FeedContext,
  ) {
    this.#delivery = context.delivery;
    this.#sequencer = new Sequencer(
      maxHeldEntries,
      () => 1,
      (entry, from) => this.#deliver(entry, from),
      (entry) => {
        this.context.counters.publicationsRepeated += entry.run.count;
      },
    );
    this.cache = new TopicCache(context.budget, maxPublications);
  }

  /** Whether the stream has been read once. */
  get isOpen(): boolean {
    return this.#sequencer.epoch !== '';
  }

  /** The position of the last publication that was delivered here. */
  get position(): Position {
    const { epoch, head: offset } = this.#sequencer;
    return { epoch, offset };
  }

  get begunAt(): number | null {
    return this.#begunAt;
  }

  /** The epoch of {@link position}. */
  get epoch(): string {
    return this.#sequencer.epoch;
  }

  /** A message on the topic's channel. The bytes of the entry are valid during the call. */
  receive(entry: StreamEntry): void {
    if (this.#catchingUp === null && this.#sequencer.canDeliver(entry)) this.#sequencer.take(entry);
    else this.#sequencer.hold(copyOf(entry));
    if (this.#hasHole && this.#catchingUp === null) void this.catchUp();
  }

  /** Another node repeats the position of the topic, a moment after it published. */
  onBeacon({ epoch, offset }: Position): void {
    if (epoch === this.#sequencer.epoch && offset <= this.#sequencer.head) return;
    if (this.#catchingUp === null) void this.catchUp();
  }

  /** Reads missing publications, and delivers them. Never rejects: if Redis does not answer, the doubt remains. */
  catchUp(): Promise<void> {
    this.#catchingUp ??= this.#catchUp();
    return this.#catchingUp;
  }

  /**
   * Resolves when the publications after `offset` are in memory, if they fit one answer and the history reaches that
   * far. Calls at the same time wait for the same read.
   */
  async reachBack(offset: number): Promise<void> {
    if (offset + 1 >= this.cache.oldestOffset || offset >= this.#sequencer.head || this.cache.exceedsAnswer) return;
    if (this.#backfilling === null) {
      this.#backfilling = this.#backfill().finally(() => {
        this.#backfilling = null;
      });
    }
    await this.#backfilling;
  }

  /** Why Redis did not answer the last time; null if it did, or if the reason is not known. */
  get failure(): ReplyError | null {
    return this.#failure;
  }

  get doubt(): Doubt {
    return this.#doubt;
  }

  /** Redis may have lost something, or this node may have missed something. */
  suspect(doubt: Exclude<Doubt, 'none'>): void {
    if (this.#doubt !== 'proof') this.#doubt = doubt;
    this.context.onDoubt(this);
  }

  /** Returns the doubt and clears it. If it cannot be settled, call {@link suspect} again. */
  takeDoubt(): Doubt {
    const doubt = this.#doubt;
    this.#doubt = 'none';
    return doubt;
  }

  /** The topic is in another Redis now. A read that is on its way is answered from the previous one, which is complete. */
  moveTo(context: FeedContext): void {
    this.context = context;
  }

  /**
   * Nobody here wants the topic any more. A read that is on its way has no effect: another feed may have replaced this
   * one.
   */
  forget(): void {
    this.#delivery = nowhere;
    this.cache.clear();
  }

  async #catchUp(): Promise<void> {
    const doubt = this.takeDoubt();
    this.#failure = null;
    try {
      await this.#readOn(doubt === 'proof');
      for (let reads = 1; this.#hasHole; reads++) {
        if (reads < maxReads) await this.#readOn(false);
        else this.#skip(Number.POSITIVE_INFINITY);
      }
    } catch (error) {
      // Redis does not respond. Drop the held entries: the history has them, and the next read returns them.
      if (error instanceof ReplyError) this.#failure = error;
      this.suspect(doubt === 'none' ? 'tail' : doubt);
      this.#sequencer.keep('');
    }
    this.#catchingUp = null;
  }

  get #hasHole(): boolean {
    return this.#sequencer.firstHeld < Number.POSITIVE_INFINITY;
  }

  async #readOn(mustProve: boolean): Promise<void> {
    const { newest } = this.cache;
    const { epoch, head } = this.#sequencer;
    const slice = await this.#read(epoch, mustProve && epoch !== '' ? head : head + 1);
    const { position, entries } = slice;
    if (epoch === '') this.#sequencer.restart(position);
    else if (position.epoch !== epoch) await this.#restart(slice);
    else {
      const isProven =
        !mustProve || head === 0 || (newest !== undefined && entries.some((entry) => isSame(entry, newest)));
      if (position.offset >= head && isProven) await this.#deliverMissing(slice);
      // Under the same epoch, subscribers would mistake the new publications for old ones with the same offsets.
      else await this.#restart(await this.#asked(this.context.renew(this.topic, epoch)));
    }
    this.#sequencer.release();
  }

  async #deliverMissing({ position, entries }: HistorySlice): Promise<void> {
    const sequencer = this.#sequencer;
    if (position.offset <= sequencer.head) return;
    this.context.counters.repairs++;
    let publications = 0;
    let outcome: Repair['outcome'] = 'repaired';
    let next = entries;
    let another: HistorySlice | null = null;
    while (sequencer.head < position.offset) {
      const first = next.find(({ last }) => last > sequencer.head)?.first ?? position.offset + 1;
      while (first > sequencer.head + 1) {
        if (this.#skip(first - 1)) outcome = 'gap';
      }
      const before = sequencer.head;
      for (const entry of upToHole(next.filter(({ last }) => last > sequencer.head))) {
        this.#missed = entry;
        sequencer.take(entry);
      }
      this.#missed = null;
      publications += sequencer.head - before;
      if (sequencer.head >= position.offset) break;
      const slice = await this.#read(sequencer.epoch, sequencer.head + 1);
      if (slice.position.epoch !== sequencer.epoch) {
        another = slice;
        break;
      }
      next = slice.entries;
    }
    this.context.counters.publicationsRepaired += publications;
    this.context.onRepaired(this.topic, { publications, outcome });
    if (another !== null) await this.#restart(another);
  }

  /** The topic has another epoch: notifies the subscribers, and delivers everything that was published under it. */
  async #restart(slice: HistorySlice): Promise<void> {
    const { position, entries } = slice;
    const [oldest] = entries;
    this.cache.clear();
    this.#begunAt = oldest === undefined ? position.offset : oldest.first - 1;
    this.#sequencer.restart({ epoch: position.epoch, offset: this.#begunAt });
    this.context.counters.resetsNotified++;
    this.#delivery.notifyReset(this.topic, this.position);
    this.context.onRepaired(this.topic, { publications: 0, outcome: 'reset' });
    await this.#deliverMissing(slice);
  }

  /** Rejects if Redis does not respond. */
  async #read(epoch: string, from: number): Promise<HistorySlice> {
    const slice = await this.#asked(this.context.read(this.topic, epoch, from));
    // Held entries of another epoch are in the stream, or are lost.
    this.#sequencer.keep(slice.position.epoch);
    return slice;
  }

  /** Rejects if the feed was forgotten meanwhile. */
  async #asked(reading: Promise<HistorySlice>): Promise<HistorySlice> {
    const slice = await reading;
    if (this.#delivery === nowhere) throw new Error(`Nobody wants ${this.topic} any more.`);
    return slice;
  }

  /**
   * The publications up to `offset` cannot be read. Delivers those that are held, and skips the first hole. Returns
   * false if there is none.
   */
  #skip(offset: number): boolean {
    const sequencer = this.#sequencer;
    sequencer.keep(sequencer.epoch);
    sequencer.release();
    if (!sequencer.skip(Math.min(offset, sequencer.firstHeld - 1))) return false;
    this.cache.clear();
    this.context.counters.gapsNotified++;
    this.#delivery.notifyGap(this.topic, this.position);
    sequencer.release();
    return true;
  }

  #deliver(entry: StreamEntry, from: number): void {
    const { epoch, first, last } = entry;
    this.cache.append(entry);
    // Only an entry from a read may begin before `from`, because Redis stores and returns whole entries.
    const run = first === from ? entry.run : runOf([entry], from, last);
    this.#delivery.deliver(this.topic, { epoch, offset: from }, run, entry === this.#missed);
  }

  /** Keeps the entries in memory even if they are too many for one answer, so that they are read only once. */
  async #backfill(): Promise<void> {
    const { epoch } = this.#sequencer;
    while (!this.cache.exceedsAnswer) {
      // If nothing is in memory, the whole history is older.
      const end = Math.min(this.cache.oldestOffset, this.#sequencer.head + 1);
      const { entries } = await this.#asked(this.context.readBack(this.topic, epoch, end - 1));
      const older = fromHole(entries.filter(({ last }) => last < end));
      const isOlder = older.at(-1)?.last === Math.min(this.cache.oldestOffset, this.#sequencer.head + 1) - 1;
      if (epoch !== this.#sequencer.epoch || !isOlder) return;
      this.cache.prepend(older);
      // All feeds together exceeded their budget, so this one was cleared.
      if (this.cache.oldestOffset >= end) return;
    }
  }
}

/** Whether two entries hold the same publications at the same place. */
function isSame(one: StreamEntry, other: StreamEntry): boolean {
  return one.epoch === other.epoch && one.first === other.first && one.bytes.equals(other.bytes);
}
