/** Publications that cannot leave yet, in a lane for each topic: in the order of their publishing, and each topic in turn. */
import type { Posting } from './posting.js';

/** Those of one topic. */
export class Lane {
  /** After a failure one goes ahead, alone: were it refused again, those behind it would overtake it. */
  scout: Posting | null = null;
  /** What has refused or lost one of them since one was accepted: the rate of the user only, or something else. */
  setback: 'none' | 'rate' | 'failure' = 'none';
  failures = 0;
  /** Runs until the next try. */
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

  /** Where its order belongs. */
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
    // As a rule it is the first one. Only shift() is cheap for that, however many wait.
    if (place === 0) this.#postings.shift();
    else this.#postings.splice(place, 1);
    this.#onCount(-1, posting);
  }

  stopTimer(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}

export class Lanes {
  readonly #lanes = new Map<string, Lane>();
  #size = 0;
  #bytes = 0;

  /** All that wait. */
  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The lane whose turn is next comes first. */
  [Symbol.iterator](): IterableIterator<Lane> {
    return this.#lanes.values();
  }

  of(topic: string): Lane | undefined {
    return this.#lanes.get(topic);
  }

  add(posting: Posting): Lane {
    const { topic } = posting;
    const lane = this.#lanes.get(topic) ?? new Lane(topic, this.#count);
    this.#lanes.set(topic, lane);
    lane.add(posting);
    return lane;
  }

  /** It had its turn: the next one is behind those of the other topics. */
  turn(lane: Lane): void {
    // Unless all was given up meanwhile.
    if (this.#lanes.get(lane.topic) !== lane) return;
    this.#lanes.delete(lane.topic);
    this.#lanes.set(lane.topic, lane);
    this.forgetEmpty(lane.topic);
  }

  /** Forgets a lane that nothing waits in. */
  forgetEmpty(topic: string): void {
    const lane = this.#lanes.get(topic);
    if (lane === undefined || lane.first !== undefined || lane.scout !== null) return;
    lane.stopTimer();
    this.#lanes.delete(topic);
  }

  stopTimers(): void {
    for (const lane of this) lane.stopTimer();
  }

  clear(): void {
    this.stopTimers();
    this.#lanes.clear();
    this.#size = 0;
    this.#bytes = 0;
  }

  readonly #count = (sign: 1 | -1, { outgoing }: Posting): void => {
    this.#size += sign;
    this.#bytes += sign * (outgoing?.bytes ?? 0);
  };
}
