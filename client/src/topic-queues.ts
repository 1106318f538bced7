/** Publications that wait, in one queue per topic. Each queue keeps the order of the calls, and topics take turns. */
import type { Posting } from './posting.js';

/** The waiting publications of one topic. */
export class TopicQueue {
  readonly postings: Posting[] = [];
  /** After a failure, one publication is sent alone: if it is refused again, later ones must not overtake it. */
  probe: Posting | null = null;
  /** Why one failed since the last success: only the rate of the user, or something else. */
  setback: 'none' | 'rate' | 'failure' = 'none';
  failures = 0;
  /** Runs until the next attempt. */
  timer: ReturnType<typeof setTimeout> | undefined;

  stopTimer(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}

export class TopicQueues {
  /** Number of waiting publications of all topics, and their bytes. Only this class sets them. */
  size = 0;
  bytes = 0;
  readonly #queues = new Map<string, TopicQueue>();

  /** The queue whose turn is next comes first. */
  [Symbol.iterator](): IterableIterator<[topic: string, queue: TopicQueue]> {
    return this.#queues.entries();
  }

  of(topic: string): TopicQueue | undefined {
    return this.#queues.get(topic);
  }

  /** Inserts it by its order. */
  add(posting: Posting): TopicQueue {
    const queue = this.#queues.get(posting.topic) ?? new TopicQueue();
    this.#queues.set(posting.topic, queue);
    const { postings } = queue;
    postings.splice(postings.findLastIndex(({ order }) => order <= posting.order) + 1, 0, posting);
    this.#count(1, posting);
    return queue;
  }

  /** Does nothing if it is not there. */
  remove(posting: Posting): void {
    const postings = this.of(posting.topic)?.postings ?? [];
    const place = postings.indexOf(posting);
    if (place < 0) return;
    // Usually it is the first one, and only shift() is cheap for that.
    if (place === 0) postings.shift();
    else postings.splice(place, 1);
    this.#count(-1, posting);
  }

  /** The topic had its turn: moves its queue to the end. */
  turn(topic: string): void {
    const queue = this.of(topic);
    // `clear()` may have removed it.
    if (queue === undefined) return;
    this.#queues.delete(topic);
    this.#queues.set(topic, queue);
    this.forgetEmpty(topic);
  }

  /** Forgets a queue that nothing waits in. */
  forgetEmpty(topic: string): void {
    const queue = this.of(topic);
    if (queue === undefined || queue.postings.length > 0 || queue.probe !== null) return;
    queue.stopTimer();
    this.#queues.delete(topic);
  }

  stopTimers(): void {
    for (const queue of this.#queues.values()) queue.stopTimer();
  }

  clear(): void {
    this.stopTimers();
    this.#queues.clear();
    this.size = 0;
    this.bytes = 0;
  }

  #count(sign: 1 | -1, { outgoing }: Posting): void {
    this.size += sign;
    this.bytes += sign * (outgoing?.bytes ?? 0);
  }
}
