/** Publications that wait, in one queue per topic. Each queue keeps the order of the calls, and topics take turns. */
import type { Posting } from './posting.js';

/** The waiting publications of one topic. */
export class TopicQueue {
  /** After a failure, one publication is sent alone: if it is refused again, later ones must not overtake it. */
  probe: Posting | null = null;
  /** Why one failed since the last success: only the rate of the user, or something else. */
  setback: 'none' | 'rate' | 'failure' = 'none';
  failures = 0;
  /** Runs until the next attempt. */
  timer: ReturnType<typeof setTimeout> | undefined;
  readonly #postings: Posting[] = [];
  readonly #onCount: (sign: 1 | -1, posting: Posting) => void;

  constructor(
    readonly topic: string,
    onCount: (sign: 1 | -1, posting: Posting) => void,
  ) {
    this.#onCount = onCount;
  }

  get first(): Posting | undefined {
    return this.#postings[0];
  }

  /** Inserts it by its order. */
  add(posting: Posting): void {
    let place = this.#postings.length;
    while (place > 0 && (this.#postings[place - 1] as Posting).order > posting.order) place--;
    this.#postings.splice(place, 0, posting);
    this.#onCount(1, posting);
  }

  /** Does nothing if it is not there. */
  remove(posting: Posting): void {
    const place = this.#postings.indexOf(posting);
    if (place < 0) return;
    // Usually it is the first one, and only shift() is cheap for that.
    if (place === 0) this.#postings.shift();
    else this.#postings.splice(place, 1);
    this.#onCount(-1, posting);
  }

  stopTimer(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}

export class TopicQueues {
  readonly #queues = new Map<string, TopicQueue>();
  #size = 0;
  #bytes = 0;

  /** Number of waiting publications of all topics. */
  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The queue whose turn is next comes first. */
  [Symbol.iterator](): IterableIterator<TopicQueue> {
    return this.#queues.values();
  }

  of(topic: string): TopicQueue | undefined {
    return this.#queues.get(topic);
  }

  add(posting: Posting): TopicQueue {
    const { topic } = posting;
    const queue = this.#queues.get(topic) ?? new TopicQueue(topic, this.#count);
    this.#queues.set(topic, queue);
    queue.add(posting);
    return queue;
  }

  /** The topic had its turn: moves its queue to the end. */
  turn(queue: TopicQueue): void {
    // `clear()` may have removed it.
    if (this.#queues.get(queue.topic) !== queue) return;
    this.#queues.delete(queue.topic);
    this.#queues.set(queue.topic, queue);
    this.forgetEmpty(queue.topic);
  }

  /** Forgets a queue that nothing waits in. */
  forgetEmpty(topic: string): void {
    const queue = this.#queues.get(topic);
    if (queue === undefined || queue.first !== undefined || queue.probe !== null) return;
    queue.stopTimer();
    this.#queues.delete(topic);
  }

  stopTimers(): void {
    for (const queue of this) queue.stopTimer();
  }

  clear(): void {
    this.stopTimers();
    this.#queues.clear();
    this.#size = 0;
    this.#bytes = 0;
  }

  readonly #count = (sign: 1 | -1, { outgoing }: Posting): void => {
    this.#size += sign;
    this.#bytes += sign * (outgoing?.bytes ?? 0);
  };
}
