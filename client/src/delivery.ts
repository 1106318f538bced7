/**
 * Delivers the publications and events of a topic to its readers, in order. While an asynchronous schema checks a
 * publication, later publications wait.
 */
import type { Item, Position } from '@fanfare/protocol';
import { moved } from './cursor.js';
import { Queue } from './queue.js';
import { type Check, type Checked, checkItem } from './schemas.js';
import type { Reader } from './subscription.js';

interface DeliverySettings {
  readonly topic: string;
  readonly check: Check | null;
  /** Maximum number of waiting publications and events. */
  readonly maxWaiting: number;
  /** Called when nothing waits any more. */
  readonly onIdle: () => void;
  /** Called when the maximum is exceeded. The publication is lost, so all readers must end. */
  readonly onOverflow: () => void;
}

export class Delivery {
  readonly readers = new Set<Reader>();
  readonly #settings: DeliverySettings;
  readonly #waiting = new Queue<() => void>();
  #isChecking = false;

  constructor(settings: DeliverySettings) {
    this.#settings = settings;
  }

  /** True if everything that arrived is delivered. */
  get isIdle(): boolean {
    return !this.#isChecking && this.#waiting.size === 0;
  }

  /** `position`: the position of the first item; null if the topic keeps no history. */
  take(items: readonly Item[], position: Position | null): void {
    for (const [index, item] of items.entries()) this.#take(item, position && moved(position, index));
  }

  /** Calls `step` with each reader, after the earlier publications are delivered. */
  notify(step: (reader: Reader) => void): void {
    this.#inOrder(() => this.#each(step));
  }

  /** Adds a reader for later publications. It does not get the publications that wait now. */
  join(reader: Reader, onJoined: () => void): void {
    this.#inOrder(() => {
      if (reader.state.name === 'unsubscribed') return;
      this.readers.add(reader);
      onJoined();
    });
  }

  clear(): void {
    this.readers.clear();
    this.#waiting.clear();
  }

  #each(step: (reader: Reader) => void): void {
    for (const reader of [...this.readers]) step(reader);
  }

  #inOrder(step: () => void): void {
    if (!this.#isChecking) step();
    else if (this.#waiting.size < this.#settings.maxWaiting) this.#waiting.push(step);
    else this.#settings.onOverflow();
  }

  #take(item: Item, position: Position | null): void {
    if (this.#isChecking) return this.#inOrder(() => this.#take(item, position));
    const { topic, check } = this.#settings;
    const checked = checkItem(item, topic, check);
    if (!(checked instanceof Promise)) return this.#handOut(checked, position);
    this.#isChecking = true;
    checked.then((late) => {
      this.#isChecking = false;
      this.#handOut(late, position);
      while (!this.#isChecking) {
        const next = this.#waiting.shift();
        if (next === undefined) return this.#settings.onIdle();
        next();
      }
    });
  }

  #handOut(checked: Checked, position: Position | null): void {
    if ('error' in checked) return this.#each((reader) => reader.fail(checked.error));
    const publication = { topic: this.#settings.topic, data: checked.data, position };
    this.#each((reader) => reader.deliver(publication));
  }
}
