/**
 * The topics with history that this node listens to. Opens a feed for each. Compares feeds with Redis if they may have
 * missed something.
 */
import { type Position, ReplyError, type Topic } from '@fanfare/protocol';
import type { Log } from '../observe/log.js';
import type { GenerationChange } from './generation.js';
import { pageBackward, pageForward, subscribeResultOf } from './history.js';
import type { HistoryReader } from './history-reader.js';
import { isAhead } from './position-id.js';
import type { Delivery, HistoryPage, HistoryRequest, SubscribeResult } from './relay.js';
import type { SharedTimers } from './shared-timers.js';
import { type CacheBudget, maxAnswerPublications } from './topic-cache.js';
import { type Doubt, type FeedContext, type FeedCounters, type Repair, TopicFeed } from './topic-feed.js';
import type { TopicState, TopicStates } from './topic-state.js';

/**
 * How often all feeds are compared with Redis, in milliseconds. This also extends the expiry of their histories
 * (policy.ts, `lifeMs`).
 */
const sweepMs = 20_000;

/** Maximum number of feeds that are repaired at the same time. */
const maxParallelRepairs = 64;

export class TopicFeeds {
  readonly #context: FeedContext;
  readonly #endSweep: () => void;
  /** Those in doubt, and perhaps some that no longer are. */
  readonly #doubtful = new Set<TopicFeed>();
  #isChecking = false;
  #isCheckWanted = false;
  /** What the current check has repaired, for one line in the log. */
  #repaired = { topics: new Set<Topic>(), publications: 0, gaps: 0, resets: 0 };

  constructor(
    private readonly states: TopicStates,
    budget: CacheBudget,
    private readonly reader: HistoryReader,
    delivery: Delivery,
    private readonly log: Log,
    counters: FeedCounters,
    timers: SharedTimers,
  ) {
    this.#context = {
      delivery,
      counters,
      budget,
      read: (topic, epoch, from) => reader.read(topic, epoch, from),
      readBack: (topic, epoch, last) => reader.readBack(topic, epoch, last, maxAnswerPublications),
      renew: (topic, epoch) => reader.renew(topic, epoch),
      onDoubt: (feed) => this.#doubtful.add(feed),
      onRepaired: (topic, repair) => this.#onRepaired(topic, repair),
    };
    // This also finds losses that nothing else has found.
    this.#endSweep = timers.every(sweepMs, () => void this.#compare([...this.states.openFeeds()]));
  }

  /** Resolves once the topic's position is known and, if possible, the publications after `since` are in memory. */
  async open(topic: Topic, since: Position | null): Promise<void> {
    const state = this.states.get(topic);
    if (state === undefined) throw unavailable();
    const { historySize, lastValue } = state.policy;
    state.feed ??= new TopicFeed(topic, historySize, this.#context);
    const { feed } = state;
    if (!feed.isOpen) await feed.catchUp();
    if (!feed.isOpen) throw feed.failure ?? unavailable();
    // A client may come from a node that is ahead of this one. The publications that it has received are in Redis.
    // Read up to twice: a read that was already on its way may be too old.
    for (let reads = 0; reads < 2 && isAhead(since, feed.position); reads++) await feed.catchUp();
    // An older position would look as if the history had been lost.
    if (isAhead(since, feed.position) && feed.doubt !== 'none') throw feed.failure ?? unavailable();
    const { epoch, offset } = feed.position;
    // If the subscriber has missed too much, it reads that in pieces.
    if (since?.epoch === epoch) await feed.reachBack(since.offset).catch(() => undefined);
    else if (since === null && lastValue) await feed.reachBack(offset - 1).catch(() => undefined);
  }

  subscribeResult(topic: Topic, since: Position | null): SubscribeResult {
    const state = this.states.get(topic);
    if (!state?.feed) throw new Error(`Not listening to ${topic}.`);
    return subscribeResultOf(state.feed.cache, state.feed.position, since, state.policy);
  }

  /**
   * A page of the topic's history, from the memory of this node if it is there. If Redis has another epoch, the feed
   * has caught up with it before this resolves. Rejects with ReplyError if Redis does not answer.
   */
  async page(topic: Topic, request: HistoryRequest): Promise<HistoryPage> {
    const here = await this.#currentPageInMemory(topic, request);
    if (here !== null) return here;
    const page = await this.reader.page(topic, request);
    const feed = this.states.get(topic)?.feed;
    // Redis has lost the history that this node still has in memory.
    if (feed?.isOpen === true && feed.epoch !== page.position.epoch) await feed.catchUp();
    return page;
  }

  /** Null if the page is not in memory, or if Redis has newer publications. */
  async #currentPageInMemory(topic: Topic, request: HistoryRequest): Promise<HistoryPage | null> {
    if (this.#pageInMemory(topic, request) === null) return null;
    // Another node may have acknowledged a publication that this node has not received yet.
    const there = await this.reader.position(topic);
    const here = this.states.get(topic)?.feed?.position;
    const isCurrent = there !== null && here?.epoch === there.epoch && here.offset >= there.offset;
    return isCurrent ? this.#pageInMemory(topic, request) : null;
  }

  #pageInMemory(topic: Topic, request: HistoryRequest): HistoryPage | null {
    const feed = this.states.get(topic)?.feed;
    if (!feed?.isOpen || feed.doubt !== 'none') return null;
    const { cache, position } = feed;
    const { since, limit, direction } = request;
    const end = since === null ? position.offset + 1 : since.offset;
    const isHere =
      direction === 'forward'
        ? since !== null && since.epoch === position.epoch && since.offset + 1 >= cache.oldestOffset
        : (since === null || since.epoch === position.epoch) && end - limit >= cache.oldestOffset;
    if (!isHere) return null;
    return (direction === 'forward' ? pageForward : pageBackward)(position, cache.entries, request);
  }

  /** A topic is listened to again after the connection was lost. */
  onBack({ feed }: TopicState): void {
    feed?.suspect('tail');
    this.check();
  }

  /** The feed of a topic that was in another Redis. It may have missed publications. */
  adopt(feed: TopicFeed): void {
    feed.moveTo(this.#context);
    feed.suspect('tail');
  }

  /** Publishing may begin or continue. */
  onServing(change: GenerationChange): void {
    // If Redis has lost data, messages may be lost too.
    if (change === 'restored') this.#suspectAll('tail');
    // The other nodes restored it without this node.
    if (change === 'missed') this.#suspectAll('proof');
    // This also reads publications that could not be read without a connection.
    this.check();
  }

  /**
   * Compares all feeds in doubt with Redis, and repairs those that differ. A call during a check leads to one more
   * check.
   */
  check(): void {
    this.#isCheckWanted = true;
    if (!this.#isChecking) void this.#check();
  }

  close(): void {
    this.#endSweep();
  }

  #suspectAll(doubt: Exclude<Doubt, 'none'>): void {
    for (const { feed } of this.states.all()) feed?.suspect(doubt);
  }

  async #check(): Promise<void> {
    this.#isChecking = true;
    // At the end of the turn: all calls of one turn lead to one check.
    await new Promise(setImmediate);
    while (this.#isCheckWanted) {
      this.#isCheckWanted = false;
      const doubtful = this.#takeDoubtful();
      if (doubtful.length === 0) continue;
      const startedAt = performance.now();
      this.#repaired = { topics: new Set(), publications: 0, gaps: 0, resets: 0 };
      await this.#compare(doubtful);
      const left = doubtful.filter(({ doubt }) => doubt !== 'none').length;
      // Redis did not respond: log the result when it does.
      if (left === doubtful.length) continue;
      const { publications, gaps, resets } = this.#repaired;
      const topics = this.#repaired.topics.size;
      const ms = Math.round(performance.now() - startedAt);
      this.log.info(
        { event: 'topicsCompared', compared: doubtful.length, left, ...this.#repaired, topics, ms },
        `Compared ${doubtful.length} topics with Redis in ${ms} ms: ${topics} had missed publications. Delivered ${publications} publications late; sent ${gaps} gaps and ${resets} resets.`,
      );
    }
    // Reset it in the same turn in which the loop found no more requests for a check.
    this.#isChecking = false;
  }

  /** The feeds in doubt that can be compared. If that does not settle the doubt, they are in doubt again. */
  #takeDoubtful(): readonly TopicFeed[] {
    const taken: TopicFeed[] = [];
    for (const feed of this.#doubtful) {
      const isWanted = this.states.get(feed.topic)?.feed === feed;
      // A feed that is read for the first time may be in doubt afterwards.
      if (isWanted && !feed.isOpen && feed.doubt !== 'none') continue;
      this.#doubtful.delete(feed);
      if (isWanted && feed.doubt !== 'none') taken.push(feed);
    }
    return taken;
  }

  /** Compares the positions of feeds with Redis, and reads missed publications. */
  async #compare(all: readonly TopicFeed[]): Promise<void> {
    // The others are compared when they have moved.
    const feeds = all.filter(({ topic }) => !this.reader.isFrozen(topic));
    // Doubt that arises from now on stays.
    const asked = feeds.map((feed) => ({ feed, doubt: feed.takeDoubt(), before: feed.position }));
    const behind: TopicFeed[] = [];
    try {
      const positions = await this.reader.positions(feeds.map(({ topic }) => topic));
      for (const [index, { feed, doubt, before }] of asked.entries()) {
        const there = positions[index] ?? null;
        const { epoch, offset } = feed.position;
        // Publications received while Redis was being asked may be newer than its answer.
        const agrees = there?.epoch === epoch && there.offset >= before.offset && there.offset <= offset;
        if (agrees && doubt !== 'proof') continue;
        if (doubt !== 'none') feed.suspect(doubt);
        behind.push(feed);
      }
    } catch {
      // Redis does not answer: the doubt remains until it does.
      for (const { feed, doubt } of asked) if (doubt !== 'none') feed.suspect(doubt);
      return;
    }
    const repair = async (): Promise<void> => {
      for (let feed = behind.pop(); feed !== undefined; feed = behind.pop()) await feed.catchUp();
    };
    await Promise.all(Array.from({ length: Math.min(maxParallelRepairs, behind.length) }, repair));
  }

  #onRepaired(topic: Topic, { publications, outcome }: Repair): void {
    this.#repaired.topics.add(topic);
    this.#repaired.publications += publications;
    if (outcome === 'gap') this.#repaired.gaps++;
    if (outcome === 'reset') this.#repaired.resets++;
    this.log.debug({ event: 'topicRepaired', topic, publications, outcome }, 'A topic had missed publications.');
  }
}

function unavailable(): ReplyError {
  return new ReplyError('unavailable', 'The history is unavailable: Redis does not respond. Retry.');
}
