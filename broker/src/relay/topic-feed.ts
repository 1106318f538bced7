/**
 * One topic with history, for all subscribers of this node: delivers its publications in order, each once, and reads from the stream
 * what it missed. Subscribers do not see a hole that was filled.
 *
 * The offsets are those of the {@link Sequencer}. Every publication is in the topic's stream before it is on the channel
 * (lua/publish.lua), so one read brings whatever is missing.
 */
import { type Position, ReplyError, Sequencer, type Topic } from '@fanfare/protocol';
import type { Delivery } from './relay.js';
import { fromHole, type StreamEntry, upToHole } from './stream-entry.js';
import { type CacheBudget, TopicCache } from './topic-cache.js';

/** A part of a topic's stream, after a position. */
export interface HistorySlice {
  /** The topic's newest position. */
  readonly position: Position;
  /**
   * In order. There may be more. If the topic has the requested epoch: from the requested offset on; the first entry may begin before it.
   * If it has another epoch: the first entry of that epoch.
   */
  readonly entries: readonly StreamEntry[];
}

export interface FeedCounters {
  /** Publications that arrived twice and were dropped. */
  publicationsRepeated: number;
  /** Times that publications were missing and were read from the history. */
  repairs: number;
  publicationsRepaired: number;
  gapsTold: number;
  resetsTold: number;
}

export interface FeedContext {
  readonly delivery: Delivery;
  readonly counters: FeedCounters;
  readonly budget: CacheBudget;
  /** Most publications that a feed caches. */
  readonly maxPublications: number;
  /** Reads the topic's stream from `from` on, if its epoch is `epoch`. Rejects with ReplyError if Redis does not respond. */
  read(topic: Topic, epoch: string, from: number): Promise<HistorySlice>;
  /**
   * Reads the newest entries up to offset `last`, in order, as many as one answer may need. Returns none if the topic has another epoch.
   * Rejects like {@link read}.
   */
  readBack(topic: Topic, epoch: string, last: number): Promise<HistorySlice>;
  /** Gives the topic another epoch if it has this one. Resolves with the first entry of the new epoch. Rejects like {@link read}. */
  renew(topic: Topic, epoch: string): Promise<HistorySlice>;
  /** Called after each repair, for the log. */
  onRepaired(topic: Topic, what: Repair): void;
}

export interface Repair {
  readonly publications: number;
  readonly outcome: 'repaired' | 'gap' | 'reset';
}

/** Most entries that are held while the topic is read. The read brings the ones that are dropped. */
const maxHeldEntries = 256;

/** After this many reads, Redis counts as unable to fill a hole, although it sent the publications behind it. */
const maxReads = 20;

/**
 * Whether something may be missing that no later publication would show. `tail`: the connection to Redis was lost, and messages may be
 * missing. `proof`: Redis may also hold other publications with the same offsets.
 */
export type Doubt = 'none' | 'tail' | 'proof';

const nowhere: Delivery = { deliver: () => false, notifyGap: () => undefined, notifyReset: () => undefined };

export class TopicFeed {
  readonly topic: Topic;
  readonly recent: TopicCache;
  readonly #context: FeedContext;
  #delivery: Delivery;
  readonly #sequencer: Sequencer<StreamEntry>;
  /** Offset after which the epoch began; null if it began before the first read. */
  #begunAt: number | null = null;
  /** The entry that is delivered because a read brought it. */
  #missed: StreamEntry | null = null;
  /** Meanwhile everything that arrives is held, because the history may have another epoch. */
  #catchingUp: Promise<void> | null = null;
  #backfilling: Promise<void> | null = null;
  #doubt: Doubt = 'none';
  #failure: ReplyError | null = null;

  constructor(topic: Topic, context: FeedContext) {
    this.topic = topic;
    this.#context = context;
    this.#delivery = context.delivery;
    this.#sequencer = new Sequencer(
      maxHeldEntries,
      () => 1,
      (entry, from) => this.#deliver(entry, from),
      (entry) => {
        context.counters.publicationsRepeated += entry.run.count;
      },
    );
    this.recent = new TopicCache(context.budget, context.maxPublications);
  }

  /** True after the first read. */
  get isOpen(): boolean {
    return this.#sequencer.epoch !== '';
  }

  /** The last position that was delivered or skipped. */
  get position(): Position {
    const { epoch, head: offset } = this.#sequencer;
    return { epoch, offset };
  }

  get begunAt(): number | null {
    return this.#begunAt;
  }

  /** A message on the topic's channel. */
  receive(entry: StreamEntry): void {
    if (this.#catchingUp === null) this.#sequencer.take(entry);
    else this.#sequencer.hold(entry);
    if (this.#hasHole) void this.catchUp();
  }

  /** Another node announces the topic's newest position, shortly after it published. */
  onBeacon({ epoch, offset }: Position): void {
    if (epoch === this.#sequencer.epoch && offset <= this.#sequencer.head) return;
    if (this.#catchingUp === null) void this.catchUp();
  }

  /** Reads and delivers what is missing. Never rejects: if Redis does not respond, the doubt stays. */
  catchUp(): Promise<void> {
    this.#catchingUp ??= this.#catchUp();
    return this.#catchingUp;
  }

  /**
   * Resolves when the cache reaches back to `offset`, if that fits one answer and the history reaches that far. Concurrent calls share one
   * read.
   */
  async reachBack(offset: number): Promise<void> {
    if (offset + 1 >= this.recent.oldestOffset || offset >= this.#sequencer.head || this.recent.exceedsAnswer) return;
    if (this.#backfilling === null) {
      this.#backfilling = this.#backfill().finally(() => {
        this.#backfilling = null;
      });
    }
    await this.#backfilling;
  }

  /** Why Redis did not respond to the last read; null if it did, or if the reason is unknown. */
  get failure(): ReplyError | null {
    return this.#failure;
  }

  get doubt(): Doubt {
    return this.#doubt;
  }

  /** Redis may have lost publications, or this node may have missed some. */
  suspect(doubt: Exclude<Doubt, 'none'>): void {
    if (this.#doubt !== 'proof') this.#doubt = doubt;
  }

  /** Returns the doubt and clears it. A caller that cannot resolve it reports it again. */
  takeDoubt(): Doubt {
    const doubt = this.#doubt;
    this.#doubt = 'none';
    return doubt;
  }

  /** The last subscriber left. The result of a read that is under way is ignored, because a new feed may exist by then. */
  forget(): void {
    this.#delivery = nowhere;
    this.recent.clear();
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
      // Redis does not respond. The history has what was held: it will be read.
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
    const { newest } = this.recent;
    const { epoch, head } = this.#sequencer;
    const slice = await this.#read(epoch, mustProve && epoch !== '' ? head : head + 1);
    const { position, entries } = slice;
    if (epoch === '') this.#sequencer.restart(position);
    else if (position.epoch !== epoch) await this.#startEpoch(slice);
    else {
      const isProven =
        !mustProve || head === 0 || (newest !== undefined && entries.some((entry) => isSame(entry, newest)));
      if (position.offset >= head && isProven) await this.#deliverMissing(slice);
      // Under the same epoch, its offsets would be taken for those of other publications.
      else await this.#startEpoch(await this.#asked(this.#context.renew(this.topic, epoch)));
    }
    this.#sequencer.release();
  }

  async #deliverMissing({ position, entries }: HistorySlice): Promise<void> {
    const sequencer = this.#sequencer;
    if (position.offset <= sequencer.head) return;
    this.#context.counters.repairs++;
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
    this.#context.counters.publicationsRepaired += publications;
    this.#context.onRepaired(this.topic, { publications, outcome });
    if (another !== null) await this.#startEpoch(another);
  }

  /** The topic has another epoch: notifies the subscribers and delivers all publications of the new epoch. */
  async #startEpoch(slice: HistorySlice): Promise<void> {
    const { position, entries } = slice;
    const [oldest] = entries;
    this.recent.clear();
    this.#begunAt = oldest === undefined ? position.offset : oldest.first - 1;
    this.#sequencer.restart({ epoch: position.epoch, offset: this.#begunAt });
    this.#context.counters.resetsTold++;
    this.#delivery.notifyReset(this.topic, this.position);
    this.#context.onRepaired(this.topic, { publications: 0, outcome: 'reset' });
    await this.#deliverMissing(slice);
  }

  /** Rejects if Redis does not respond. */
  async #read(epoch: string, from: number): Promise<HistorySlice> {
    const slice = await this.#asked(this.#context.read(this.topic, epoch, from));
    // The stream has what was held of another epoch, or lost it.
    this.#sequencer.keep(slice.position.epoch);
    return slice;
  }

  /** Rejects if the feed was forgotten meanwhile. */
  async #asked(reading: Promise<HistorySlice>): Promise<HistorySlice> {
    const slice = await reading;
    if (this.#delivery === nowhere) throw new Error(`${this.topic} has no subscribers any more.`);
    return slice;
  }

  /** The publications up to `offset` cannot be read. Delivers those that are held, and skips the first hole. Returns false if there is none. */
  #skip(offset: number): boolean {
    const sequencer = this.#sequencer;
    sequencer.keep(sequencer.epoch);
    sequencer.release();
    if (!sequencer.skip(Math.min(offset, sequencer.firstHeld - 1))) return false;
    this.recent.clear();
    this.#context.counters.gapsTold++;
    this.#delivery.notifyGap(this.topic, this.position);
    sequencer.release();
    return true;
  }

  #deliver(entry: StreamEntry, from: number): void {
    const { epoch, first, last } = entry;
    this.recent.append(entry);
    // Only an entry that was read may begin before what is wanted: Redis sends and keeps whole entries.
    const run = first === from ? entry.run : this.recent.between(from, last);
    if (run !== null) this.#delivery.deliver(this.topic, { epoch, offset: from }, run, entry === this.#missed);
  }

  /** Caches what it reads, so that it is read once, even if it is too much for this subscriber. */
  async #backfill(): Promise<void> {
    const { epoch } = this.#sequencer;
    while (!this.recent.exceedsAnswer) {
      // If nothing is cached, the whole history is older.
      const end = Math.min(this.recent.oldestOffset, this.#sequencer.head + 1);
      const { entries } = await this.#asked(this.#context.readBack(this.topic, epoch, end - 1));
      const older = fromHole(entries.filter(({ last }) => last < end));
      const isOlder = older.at(-1)?.last === Math.min(this.recent.oldestOffset, this.#sequencer.head + 1) - 1;
      if (epoch !== this.#sequencer.epoch || !isOlder) return;
      this.recent.prepend(older);
      // The cache of all feeds is full and has dropped these entries already.
      if (this.recent.oldestOffset >= end) return;
    }
  }
}

/** Whether two entries hold the same publications at the same place. */
function isSame(one: StreamEntry, other: StreamEntry): boolean {
  return one.epoch === other.epoch && one.first === other.first && one.bytes.equals(other.bytes);
}
