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

/** What a topic's stream holds behind a position. */
export interface Stretch {
  /** Where the topic stands. */
  readonly position: Position;
  /**
   * In order; there may be more. If the topic has the epoch that was asked for: from the wanted offset on; the first one may begin before
   * it. If it has another one: the first that was published under that one.
   */
  readonly entries: readonly StreamEntry[];
}

export interface LineCounters {
  /** Publications that came twice and were dropped. */
  publicationsRepeated: number;
  /** Times that publications were missing and were read from the history. */
  repairs: number;
  publicationsRepaired: number;
  gapsTold: number;
  resetsTold: number;
}

export interface LineContext {
  readonly delivery: Delivery;
  readonly counters: LineCounters;
  readonly budget: CacheBudget;
  /** Most publications that a line remembers. */
  readonly maxPublications: number;
  /** Reads the topic's stream from `from` on, where its epoch is `epoch`. Rejects with ReplyError where Redis cannot be asked. */
  read(topic: Topic, epoch: string, from: number): Promise<Stretch>;
  /**
   * Reads the newest entries up to offset `last`, in order, no more than an answer may need; none if the topic has another epoch. Rejects
   * likewise.
   */
  readBack(topic: Topic, epoch: string, last: number): Promise<Stretch>;
  /** Gives the topic another epoch if it has this one. Answers the first that was published under the new one. Rejects likewise. */
  renew(topic: Topic, epoch: string): Promise<Stretch>;
  /** Told of what no subscriber here should have to notice. */
  onRepaired(topic: Topic, what: Repair): void;
}

export interface Repair {
  readonly publications: number;
  readonly outcome: 'repaired' | 'gap' | 'reset';
}

/** Most entries that are held while the topic is read. The read brings the ones that are dropped. */
const maxHeldEntries = 256;

/** Reads after which a hole counts as one that Redis cannot fill, though it has sent what comes behind it. */
const maxReads = 20;

/**
 * Whether anything may be missing that no later publication would show. `tail`: messages may not have come, the connection to Redis
 * was lost. `proof`: Redis may even hold other publications under the same offsets.
 */
export type Doubt = 'none' | 'tail' | 'proof';

const nowhere: Delivery = { deliver: () => false, notifyGap: () => undefined, notifyReset: () => undefined };

export class Line {
  readonly topic: Topic;
  readonly recent: TopicCache;
  readonly #context: LineContext;
  #delivery: Delivery;
  readonly #sequencer: Sequencer<StreamEntry>;
  /** Offset after which the epoch began; null if it had begun before the first read. */
  #begunAt: number | null = null;
  /** The entry that is delivered because a read brought it. */
  #missed: StreamEntry | null = null;
  /** Everything that arrives meanwhile is held: what it follows may be another history. */
  #catchingUp: Promise<void> | null = null;
  #backfilling: Promise<void> | null = null;
  #doubt: Doubt = 'none';
  #failure: ReplyError | null = null;

  constructor(topic: Topic, context: LineContext) {
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

  /** Whether it has been read once. */
  get isOpen(): boolean {
    return this.#sequencer.epoch !== '';
  }

  /** Where the topic stands here. */
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

  /** Another node says where the topic stands, a moment after it published. */
  onBeacon({ epoch, offset }: Position): void {
    if (epoch === this.#sequencer.epoch && offset <= this.#sequencer.head) return;
    if (this.#catchingUp === null) void this.catchUp();
  }

  /** Reads what is missing, delivers it, and goes on. Never rejects: where Redis cannot be asked, doubt stays. */
  catchUp(): Promise<void> {
    this.#catchingUp ??= this.#catchUp();
    return this.#catchingUp;
  }

  /**
   * Resolves when what came after `offset` is at hand, if it fits one answer and the history reaches that far; all who ask meanwhile wait
   * for one read.
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

  /** Why Redis could not be asked the last time; null where it could, or that is not known. */
  get failure(): ReplyError | null {
    return this.#failure;
  }

  get doubt(): Doubt {
    return this.#doubt;
  }

  /** Redis may have lost something, or this node may have missed something. */
  casts(doubt: Exclude<Doubt, 'none'>): void {
    if (this.#doubt !== 'proof') this.#doubt = doubt;
  }

  /** Answers the doubt and clears it: whoever cannot settle it casts it again. */
  takeDoubt(): Doubt {
    const doubt = this.#doubt;
    this.#doubt = 'none';
    return doubt;
  }

  /** Nobody here wants the topic any more. What is being read still comes to nothing: another line may have taken the place of this one. */
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
      this.casts(doubt === 'none' ? 'tail' : doubt);
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
    const stretch = await this.#read(epoch, mustProve && epoch !== '' ? head : head + 1);
    const { position, entries } = stretch;
    if (epoch === '') this.#sequencer.restart(position);
    else if (position.epoch !== epoch) await this.#beginAnew(stretch);
    else {
      const isProven =
        !mustProve || head === 0 || (newest !== undefined && entries.some((entry) => isSame(entry, newest)));
      if (position.offset >= head && isProven) await this.#deliverMissing(stretch);
      // Under the same epoch, its offsets would be taken for those of other publications.
      else await this.#beginAnew(await this.#asked(this.#context.renew(this.topic, epoch)));
    }
    this.#sequencer.release();
  }

  async #deliverMissing({ position, entries }: Stretch): Promise<void> {
    const sequencer = this.#sequencer;
    if (position.offset <= sequencer.head) return;
    this.#context.counters.repairs++;
    let publications = 0;
    let outcome: Repair['outcome'] = 'repaired';
    let next = entries;
    let another: Stretch | null = null;
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
      const stretch = await this.#read(sequencer.epoch, sequencer.head + 1);
      if (stretch.position.epoch !== sequencer.epoch) {
        another = stretch;
        break;
      }
      next = stretch.entries;
    }
    this.#context.counters.publicationsRepaired += publications;
    this.#context.onRepaired(this.topic, { publications, outcome });
    if (another !== null) await this.#beginAnew(another);
  }

  /** The topic has another epoch: notifies the subscribers, and goes on with all that was published under it. */
  async #beginAnew(stretch: Stretch): Promise<void> {
    const { position, entries } = stretch;
    const [oldest] = entries;
    this.recent.clear();
    this.#begunAt = oldest === undefined ? position.offset : oldest.first - 1;
    this.#sequencer.restart({ epoch: position.epoch, offset: this.#begunAt });
    this.#context.counters.resetsTold++;
    this.#delivery.notifyReset(this.topic, this.position);
    this.#context.onRepaired(this.topic, { publications: 0, outcome: 'reset' });
    await this.#deliverMissing(stretch);
  }

  /** Rejects if Redis does not respond. */
  async #read(epoch: string, from: number): Promise<Stretch> {
    const stretch = await this.#asked(this.#context.read(this.topic, epoch, from));
    // The stream has what was held of another epoch, or lost it.
    this.#sequencer.keep(stretch.position.epoch);
    return stretch;
  }

  /** Rejects if the line is forgotten by the time of the answer. */
  async #asked(reading: Promise<Stretch>): Promise<Stretch> {
    const stretch = await reading;
    if (this.#delivery === nowhere) throw new Error(`Nobody wants ${this.topic} any more.`);
    return stretch;
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

  /** What is read is remembered, so that it is read once, also if it is too much for the one who asked. */
  async #backfill(): Promise<void> {
    const { epoch } = this.#sequencer;
    while (!this.recent.exceedsAnswer) {
      // Where nothing is remembered, the whole history is older.
      const end = Math.min(this.recent.oldestOffset, this.#sequencer.head + 1);
      const { entries } = await this.#asked(this.#context.readBack(this.topic, epoch, end - 1));
      const older = fromHole(entries.filter(({ last }) => last < end));
      const isOlder = older.at(-1)?.last === Math.min(this.recent.oldestOffset, this.#sequencer.head + 1) - 1;
      if (epoch !== this.#sequencer.epoch || !isOlder) return;
      this.recent.prepend(older);
      // All lines together remember too much: this one is forgotten already.
      if (this.recent.oldestOffset >= end) return;
    }
  }
}

/** Whether two entries hold the same publications at the same place. */
function isSame(one: StreamEntry, other: StreamEntry): boolean {
  return one.epoch === other.epoch && one.first === other.first && one.bytes.equals(other.bytes);
}
