/**
 * One topic with history as this node hears it: delivers its publications in order of offset, each once, and repairs what did
 * not come. All subscribers here stand behind it: they see no hole that this line has mended.
 *
 * Every publication is in the topic's stream before it is on the channel (lua/publish.lua), so whatever is missing is read from
 * there, with one read for all subscribers of the node.
 */
import { type Position, ReplyError, type Topic } from '@fanfare/protocol';
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

/** Most that is held back while the hole before it is read; beyond it the oldest is dropped, and read too. */
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
  /** Empty before the first read. */
  #epoch = '';
  /** Offset after which the epoch began; null if it had begun before the first read. */
  #begunAt: number | null = null;
  /** Offset of the last publication that was delivered. */
  #head = 0;
  /** What has come meanwhile; null while nothing is being read. */
  #held: StreamEntry[] | null = null;
  #catchingUp: Promise<void> | null = null;
  #backfilling: Promise<void> | null = null;
  #doubt: Doubt = 'none';
  #failure: ReplyError | null = null;

  constructor(topic: Topic, context: LineContext) {
    this.topic = topic;
    this.#context = context;
    this.#delivery = context.delivery;
    this.recent = new TopicCache(context.budget, context.maxPublications);
  }

  /** Whether it has been read once. */
  get isOpen(): boolean {
    return this.#epoch !== '';
  }

  /** Where the topic stands here. */
  get position(): Position {
    return { epoch: this.#epoch, offset: this.#head };
  }

  get begunAt(): number | null {
    return this.#begunAt;
  }

  /** A message on the topic's channel. */
  receive(entry: StreamEntry): void {
    if (this.#held !== null) return this.#hold(entry);
    if (entry.epoch === this.#epoch && entry.first <= this.#head + 1) return this.#take(entry);
    void this.catchUp(entry);
  }

  /** Another node says where the topic stands, a moment after it published. */
  onBeacon({ epoch, offset }: Position): void {
    if (epoch === this.#epoch && offset <= this.#head) return;
    if (this.#held === null) void this.catchUp();
  }

  /** Reads what is missing, delivers it, and goes on. Never rejects: where Redis cannot be asked, doubt stays. */
  catchUp(held?: StreamEntry): Promise<void> {
    if (this.#catchingUp === null) {
      this.#held = held === undefined ? [] : [held];
      this.#catchingUp = this.#catchUp();
    } else if (held !== undefined) this.#hold(held);
    return this.#catchingUp;
  }

  /**
   * Resolves when what came after `offset` is at hand, if it fits one answer and the history reaches that far; all who ask meanwhile wait
   * for one read.
   */
  async reachBack(offset: number): Promise<void> {
    if (offset + 1 >= this.recent.oldestOffset || offset >= this.#head || this.recent.exceedsAnswer) return;
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
      for (let reads = 1; this.#hasHole(); reads++) {
        if (reads === maxReads) this.#skipToHeld();
        else await this.#readOn(false);
      }
    } catch (error) {
      // Redis cannot be asked, which the link has said in the log. What was held is in the history and will be read.
      if (error instanceof ReplyError) this.#failure = error;
      this.casts(doubt === 'none' ? 'tail' : doubt);
      this.#held = [];
    }
    // All at once: what comes from here on is taken as it comes.
    const held = this.#held ?? [];
    this.#held = null;
    this.#catchingUp = null;
    for (const entry of held) this.#take(entry);
  }

  /** Whether what is held does not follow what was delivered. */
  #hasHole(): boolean {
    let head = this.#head;
    for (const { epoch, first, last } of this.#held ?? []) {
      if (epoch !== this.#epoch || first > head + 1) return true;
      head = Math.max(head, last);
    }
    return false;
  }

  async #readOn(mustProve: boolean): Promise<void> {
    const { newest } = this.recent;
    const isFirst = !this.isOpen;
    const from = mustProve && !isFirst ? this.#head : this.#head + 1;
    const stretch = await this.#read(this.#epoch, from);
    const { position, entries } = stretch;
    // What was held of another epoch is in its history, or gone with it.
    this.#dropStale(position.epoch);
    if (isFirst) return this.#stand(position);
    if (position.epoch !== this.#epoch) return this.#beginAnew(stretch);
    const isProven =
      !mustProve || this.#head === 0 || (newest !== undefined && entries.some((entry) => isSame(entry, newest)));
    if (position.offset >= this.#head && isProven) return this.#deliverMissing(stretch);
    // Under the same epoch, offsets would be taken for what was seen before.
    await this.#beginAnew(await this.#asked(this.#context.renew(this.topic, this.#epoch)));
  }

  async #deliverMissing({ position, entries }: Stretch): Promise<void> {
    if (position.offset === this.#head) return;
    this.#context.counters.repairs++;
    let publications = 0;
    let outcome: Repair['outcome'] = 'repaired';
    let next = entries;
    let another: Stretch | null = null;
    while (this.#head < position.offset) {
      const first = next.find(({ last }) => last > this.#head)?.first ?? position.offset + 1;
      if (first > this.#head + 1) {
        outcome = 'gap';
        this.#skipTo(first - 1);
      }
      const before = this.#head;
      for (const entry of upToHole(next.filter(({ last }) => last > this.#head))) this.#take(entry, true);
      publications += this.#head - before;
      if (this.#head >= position.offset) break;
      const stretch = await this.#read(this.#epoch, this.#head + 1);
      if (stretch.position.epoch !== this.#epoch) {
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
    this.#stand({ epoch: position.epoch, offset: this.#begunAt });
    this.#dropStale(position.epoch);
    this.#context.counters.resetsTold++;
    this.#delivery.notifyReset(this.topic, this.position);
    this.#context.onRepaired(this.topic, { publications: 0, outcome: 'reset' });
    await this.#deliverMissing(stretch);
  }

  /** Rejects if Redis cannot be asked. */
  #read(epoch: string, from: number): Promise<Stretch> {
    return this.#asked(this.#context.read(this.topic, epoch, from));
  }

  /** Rejects if the line is forgotten by the time of the answer. */
  async #asked(reading: Promise<Stretch>): Promise<Stretch> {
    const stretch = await reading;
    if (this.#delivery === nowhere) throw new Error(`Nobody wants ${this.topic} any more.`);
    return stretch;
  }

  #skipTo(offset: number): void {
    this.recent.clear();
    this.#head = offset;
    this.#context.counters.gapsTold++;
    this.#delivery.notifyGap(this.topic, this.position);
  }

  /** What is held behind the hole is all that will ever come of it. */
  #skipToHeld(): void {
    this.#dropStale(this.#epoch);
    const first = this.#held?.[0]?.first;
    if (first !== undefined && first > this.#head + 1) this.#skipTo(first - 1);
    // A hole among what is held is skipped when it is the first one.
    const holes = (this.#held ?? []).findIndex(
      (entry, at, held) => entry.first > (held[at - 1]?.last ?? first ?? 0) + 1,
    );
    if (holes > 0) this.#held = (this.#held ?? []).slice(0, holes);
  }

  #stand({ epoch, offset }: Position): void {
    this.#epoch = epoch;
    this.#head = offset;
  }

  #dropStale(epoch: string): void {
    this.#held = (this.#held ?? []).filter((held) => held.epoch === epoch);
  }

  #hold(entry: StreamEntry): void {
    this.#held?.push(entry);
    if ((this.#held?.length ?? 0) > maxHeldEntries) this.#held?.shift();
  }

  /** Delivers an entry of this epoch that does not come behind a hole; what was delivered before is left out. */
  #take(entry: StreamEntry, wasMissed = false): void {
    if (entry.last <= this.#head) {
      this.#context.counters.publicationsRepeated += entry.run.count;
      return;
    }
    // Only what was read may begin before what is wanted: Redis sends and keeps whole entries, and this node takes them whole.
    const from = this.#head + 1;
    this.#head = entry.last;
    this.recent.append(entry);
    const { epoch } = this.position;
    const run = entry.first === from ? entry.run : this.recent.between(from, entry.last);
    if (run !== null) this.#delivery.deliver(this.topic, { epoch, offset: from }, run, wasMissed);
  }

  /** What is read is remembered, so that it is read once, also if it is too much for the one who asked. */
  async #backfill(): Promise<void> {
    const epoch = this.#epoch;
    while (!this.recent.exceedsAnswer) {
      // Where nothing is remembered, the whole history is older.
      const end = Math.min(this.recent.oldestOffset, this.#head + 1);
      const { entries } = await this.#asked(this.#context.readBack(this.topic, epoch, end - 1));
      const older = fromHole(entries.filter(({ last }) => last < end));
      const isOlder = older.at(-1)?.last === Math.min(this.recent.oldestOffset, this.#head + 1) - 1;
      if (epoch !== this.#epoch || !isOlder) return;
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
