/** All topics with history that this node listens to, each a {@link Line}: who gets a message, who is in doubt, who comes back. */
import { type Position, ReplyError, type Topic } from '@fanfare/protocol';
import type { Log } from '../observe/log.js';
import type { TopicPolicies } from '../topics/policy.js';
import { pageBackward, pageForward, standingOf } from './history.js';
import type { HistoryReader } from './history-reader.js';
import { Line, type LineContext, type LineCounters, type Repair } from './line.js';
import { maxAnswerPublications, RecentBudget } from './recent.js';
import type { Delivery, HistoryPage, HistoryRequest, Standing } from './relay.js';
import type { StreamEntry } from './stream-entry.js';

export interface LinesSettings {
  readonly topics: TopicPolicies;
  /** Bytes of publications that all lines together remember. */
  readonly recentBytes: number;
}

/** Histories of topics with subscribers are kept alive by a look at them so often, in milliseconds (policy.ts, `lifeMs`). */
const sweepMs = 20_000;

/** Lines that are mended at the same time. */
const maxParallelRepairs = 64;

export class Lines {
  readonly #settings: LinesSettings;
  readonly #reader: HistoryReader;
  readonly #log: Log;
  readonly #context: Omit<LineContext, 'maxPublications'>;
  readonly #lines = new Map<Topic, Line>();
  readonly #sweep: NodeJS.Timeout;
  #isChecking = false;
  #isCheckWanted = false;
  /** What the present check has mended, for one line in the log. */
  #mended = { topics: new Set<Topic>(), publications: 0, gaps: 0, resets: 0 };

  constructor(settings: LinesSettings, reader: HistoryReader, delivery: Delivery, log: Log, counters: LineCounters) {
    this.#settings = settings;
    this.#reader = reader;
    this.#log = log;
    this.#context = {
      delivery,
      counters,
      budget: new RecentBudget(settings.recentBytes),
      read: (topic, epoch, from) => reader.read(topic, epoch, from),
      readBack: (topic, epoch, last) => reader.readBack(topic, epoch, last, maxAnswerPublications),
      renew: (topic, epoch) => reader.renew(topic, epoch),
      onRepaired: (topic, what) => this.#onRepaired(topic, what),
    };
    // The look also finds what nothing else has found.
    this.#sweep = setInterval(() => void this.#look([...this.#lines.values()].filter(({ isOpen }) => isOpen)), sweepMs);
    this.#sweep.unref();
  }

  /** Those that have been read. */
  *all(): Iterable<Line> {
    for (const line of this.#lines.values()) if (line.isOpen) yield line;
  }

  /** Resolves once the topic's position is known and what came after `since` is at hand, if it can be. */
  async open(topic: Topic, since: Position | null): Promise<void> {
    let line = this.#lines.get(topic);
    if (line === undefined) {
      const maxPublications = this.#settings.topics.of(topic).historySize;
      line = new Line(topic, { ...this.#context, maxPublications });
      this.#lines.set(topic, line);
    }
    if (!line.isOpen) await line.catchUp();
    if (!line.isOpen) throw line.failure ?? unavailable();
    // A client that was at a node which is ahead of this one has seen more. What it has seen is in Redis.
    // A read that was on the way already may be too old: so twice.
    for (let reads = 0; reads < 2 && isAhead(since, line.position); reads++) await line.catchUp();
    // An older position would look as if the history had been lost.
    if (isAhead(since, line.position) && line.doubt !== 'none') throw line.failure ?? unavailable();
    const { epoch, offset } = line.position;
    // Where too much was missed it is read in pieces.
    if (since?.epoch === epoch) await line.reachBack(since.offset).catch(() => undefined);
    else if (since === null && this.#settings.topics.of(topic).lastValue) {
      await line.reachBack(offset - 1).catch(() => undefined);
    }
  }

  standing(topic: Topic, since: Position | null): Standing {
    const line = this.#lines.get(topic);
    if (line === undefined) throw new Error(`Not listening to ${topic}.`);
    return standingOf(line.recent, line.position, since, this.#settings.topics.of(topic));
  }

  /**
   * A page of the topic's history out of the memory of this node; null if it is not there, or Redis has more already. Rejects with ReplyError
   * if Redis cannot be asked.
   */
  async page(topic: Topic, request: HistoryRequest): Promise<HistoryPage | null> {
    if (this.#rememberedPage(topic, request) === null) return null;
    // Another node may have had a publication acknowledged that has not come here yet.
    const there = await this.#reader.position(topic);
    const here = this.#lines.get(topic)?.position;
    const isCurrent = there !== null && here?.epoch === there.epoch && here.offset >= there.offset;
    return isCurrent ? this.#rememberedPage(topic, request) : null;
  }

  #rememberedPage(topic: Topic, request: HistoryRequest): HistoryPage | null {
    const line = this.#lines.get(topic);
    if (!line?.isOpen || line.doubt !== 'none') return null;
    const { recent, position } = line;
    const { since, limit, direction } = request;
    const end = since === null ? position.offset + 1 : since.offset;
    const isHere =
      direction === 'forward'
        ? since !== null && since.epoch === position.epoch && since.offset + 1 >= recent.oldestOffset
        : (since === null || since.epoch === position.epoch) && end - limit >= recent.oldestOffset;
    if (!isHere) return null;
    return (direction === 'forward' ? pageForward : pageBackward)(position, recent.entries, request);
  }

  /** Answers false where the topic is none of ours (any more). */
  receive(topic: Topic, entry: StreamEntry): boolean {
    const line = this.#lines.get(topic);
    line?.receive(entry);
    return line !== undefined;
  }

  onBeacon(topic: Topic, position: Position): void {
    const line = this.#lines.get(topic);
    if (line?.isOpen) line.onBeacon(position);
  }

  forget(topic: Topic): void {
    this.#lines.get(topic)?.forget();
    this.#lines.delete(topic);
  }

  /** Messages may have been missed: of all topics, or of one. */
  doubtTail(topic?: Topic): void {
    if (topic === undefined) for (const line of this.#lines.values()) line.casts('tail');
    else this.#lines.get(topic)?.casts('tail');
  }

  /** Redis has lost something while this node could not take part in giving it back. */
  doubtAll(): void {
    for (const line of this.#lines.values()) line.casts('proof');
  }

  /** Compares all topics that are in doubt with Redis, and mends what differs. Once at a time; what is asked meanwhile is done after. */
  check(): void {
    this.#isCheckWanted = true;
    if (!this.#isChecking) void this.#check();
  }

  close(): void {
    clearInterval(this.#sweep);
    for (const line of this.#lines.values()) line.forget();
    this.#lines.clear();
  }

  async #check(): Promise<void> {
    this.#isChecking = true;
    // At the end of the turn: what is asked for in one turn is one look.
    await new Promise(setImmediate);
    while (this.#isCheckWanted) {
      this.#isCheckWanted = false;
      const doubtful = [...this.all()].filter(({ doubt }) => doubt !== 'none');
      if (doubtful.length === 0) continue;
      const startedAt = performance.now();
      this.#mended = { topics: new Set(), publications: 0, gaps: 0, resets: 0 };
      await this.#look(doubtful);
      const left = doubtful.filter(({ doubt }) => doubt !== 'none').length;
      // Redis could not be asked: that is told when it can.
      if (left === doubtful.length) continue;
      const { publications, gaps, resets } = this.#mended;
      const topics = this.#mended.topics.size;
      const ms = Math.round(performance.now() - startedAt);
      this.#log.info(
        { event: 'topicsCompared', compared: doubtful.length, left, ...this.#mended, topics, ms },
        `Compared ${doubtful.length} topics with Redis in ${ms} ms: ${topics} had missed publications. Delivered ${publications} publications late; sent ${gaps} gaps and ${resets} resets.`,
      );
    }
    // In the same turn in which it was seen that nothing is wanted.
    this.#isChecking = false;
  }

  /** Asks where topics stand, and has those catch up that stand elsewhere. */
  async #look(lines: readonly Line[]): Promise<void> {
    // Doubt that is cast from now on stays.
    const asked = lines.map((line) => ({ line, doubt: line.takeDoubt(), before: line.position }));
    const behind: Line[] = [];
    try {
      const positions = await this.#reader.positions(lines.map(({ topic }) => topic));
      for (const [index, { line, doubt, before }] of asked.entries()) {
        const there = positions[index] ?? null;
        const { epoch, offset } = line.position;
        // What has come while Redis was being asked may be further on.
        const agrees = there?.epoch === epoch && there.offset >= before.offset && there.offset <= offset;
        if (agrees && doubt !== 'proof') continue;
        if (doubt !== 'none') line.casts(doubt);
        behind.push(line);
      }
    } catch {
      // Redis cannot be asked: doubt stays until it can.
      for (const { line, doubt } of asked) if (doubt !== 'none') line.casts(doubt);
      return;
    }
    const mend = async (): Promise<void> => {
      for (let line = behind.pop(); line !== undefined; line = behind.pop()) await line.catchUp();
    };
    await Promise.all(Array.from({ length: Math.min(maxParallelRepairs, behind.length) }, mend));
  }

  #onRepaired(topic: Topic, { publications, outcome }: Repair): void {
    this.#mended.topics.add(topic);
    this.#mended.publications += publications;
    if (outcome === 'gap') this.#mended.gaps++;
    if (outcome === 'reset') this.#mended.resets++;
    this.#log.debug({ event: 'topicRepaired', topic, publications, outcome }, 'A topic had missed publications.');
  }
}

/** Whether a position is one that a topic at `here` has not reached. Later epochs are greater (lua/stream.lua). */
function isAhead(position: Position | null, here: Position): boolean {
  if (position === null) return false;
  return position.epoch > here.epoch || (position.epoch === here.epoch && position.offset > here.offset);
}

function unavailable(): ReplyError {
  return new ReplyError('unavailable', 'The history is unavailable: Redis does not respond. Retry.');
}
