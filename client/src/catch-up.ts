/** A subscription that starts with a part of the history, until it has caught up with the live publications. */
import { type Item, maxHistoryLimit, type Position } from '@fanfare/protocol';
import type { Connection } from './connection.js';
import { Cursor } from './cursor.js';
import { Delivery } from './delivery.js';
import { FanfareError, invalidOption, ReplyError } from './errors.js';
import { refuseUnknown } from './options.js';
import { checkSince } from './position.js';
import { Repair, type RepairSettings } from './repair.js';
import type { Check } from './schemas.js';
import type { Reader } from './subscription.js';

/** Options of `subscribe()`: which part of the history comes first. */
export interface SubscribeOptions {
  /**
   * Begin with the publications after this position, for example the last position that your app has stored. If the
   * history does not reach back that far, you get a `gap` or a `reset` event. Null means no position.
   */
  readonly since?: Position | null | undefined;
  /** Begin with this many publications of the history, or fewer if it has fewer. Ignored if `since` is set. */
  readonly last?: number | undefined;
}

/** Start of a subscription: after a position, or with a number of latest publications. */
export type Beginning = { readonly since: Position } | { readonly last: number };

/** Returns null if the subscription begins with new publications. Throws `invalidOption`. */
export function beginningOf(options: SubscribeOptions): Beginning | null {
  refuseUnknown('subscribe()', options, ['since', 'last']);
  const since = checkSince(options.since);
  const { last } = options;
  if (last !== undefined && !(Number.isInteger(last) && last >= 1)) {
    throw invalidOption(`last must be an integer of at least 1, not ${last}.`);
  }
  if (since !== null) return { since };
  return last === undefined ? null : { last };
}

interface CatchUpParts {
  readonly topic: string;
  readonly check: Check | null;
  readonly reader: Reader;
  readonly beginning: Beginning;
  /** The connection to read history from; null if there is none. */
  readonly connection: () => Connection | null;
  /** Called when the subscription may have caught up. */
  readonly onProgress: () => void;
}

export interface CatchUpSettings extends RepairSettings {
  readonly maxBufferedPublications: number;
}

export class CatchUp {
  readonly reader: Reader;
  readonly #parts: CatchUpParts;
  readonly #cursor: Cursor;
  readonly #repair: Repair;
  readonly #delivery: Delivery;
  /** The topic's newest position when this began; null if not known yet. */
  #start: Position | null = null;
  /** True if a gap must be reported: the application passed a position, or has received a publication. */
  #isExpecting: boolean;
  #hasStarted = false;

  constructor(parts: CatchUpParts, settings: CatchUpSettings) {
    const { topic, reader, beginning, check, connection, onProgress } = parts;
    const max = settings.maxBufferedPublications;
    this.reader = reader;
    this.#parts = parts;
    this.#isExpecting = 'since' in beginning;
    this.#delivery = new Delivery({
      topic,
      check,
      maxWaiting: max,
      onIdle: onProgress,
      onOverflow: () => reader.end('slowConsumer', new FanfareError('slowConsumer')),
    });
    this.#delivery.readers.add(reader);
    // A loop that has read half of its buffer has room for one page, and for the publications held behind the last
    // page.
    const quarter = Math.floor(max / 4);
    this.#cursor = new Cursor(quarter, {
      onItems: (items, position) => {
        this.#isExpecting = true;
        this.#delivery.take(items, position);
      },
      onGap: (reason, position) => {
        // The history has fewer publications than `last`.
        if (!this.#isExpecting && position.offset <= (this.#start?.offset ?? 0)) return;
        this.#delivery.notify(() => reader.gap({ reason, position }));
      },
      onReset: (position) => this.#delivery.notify(() => reader.reset({ position })),
    });
    this.#repair = new Repair(settings, {
      topic,
      cursor: this.#cursor,
      connection,
      limit: Math.min(maxHistoryLimit, Math.max(1, quarter)),
      onRefused: (error) => reader.refuse(error),
      onAnswered: onProgress,
    });
  }

  get hasStarted(): boolean {
    return this.#hasStarted;
  }

  get position(): Position | null {
    return this.#cursor.position;
  }

  get hasHole(): boolean {
    return this.#cursor.hasHole;
  }

  /** True if everything that arrived is delivered. */
  get isIdle(): boolean {
    return this.#delivery.isIdle;
  }

  /**
   * `join`: the topic's newest position. `isCertain`: a node reported the position. Otherwise it is only the progress
   * of this client.
   */
  start(join: Position, isCertain: boolean): void {
    const { beginning } = this.#parts;
    this.#hasStarted = true;
    this.#start = join;
    const start =
      'since' in beginning ? beginning.since : { epoch: join.epoch, offset: Math.max(0, join.offset - beginning.last) };
    this.#cursor.begin(start, join);
    if (isCertain && start.epoch === join.epoch && start.offset > join.offset) this.#cursor.reset(join);
  }

  /** The topic keeps no history, or has stopped keeping one. */
  startWithout(): void {
    const { topic } = this.#parts;
    this.#hasStarted = true;
    this.#cursor.clear();
    this.reader.fail(new ReplyError('noHistory', `${topic} keeps no history to begin with.`, false));
    if (this.#isExpecting) this.reader.gap({ reason: 'history', position: null });
  }

  /** Live publications of the topic. Ignored until the catch-up has started. */
  onItems(items: readonly Item[], position: Position): void {
    if (this.#hasStarted) this.#cursor.onPublications({ items, position });
  }

  /** The other readers have a gap before `position`. The history may still have a part of it. */
  onGap(position: Position): void {
    this.#cursor.know(position);
  }

  onReset(position: Position): void {
    if (this.#hasStarted) this.#cursor.reset(position);
  }

  /** Reads the missing publications as soon as the reader has read the earlier ones. */
  goOn(): void {
    if (!this.#cursor.hasHole || !this.#delivery.isIdle) return;
    this.reader.whenRoom(() => this.#repair.goOn());
  }

  /** The connection was lost. The client asks the next one at once. */
  lost(): void {
    this.#cursor.settle();
    this.#repair.stop();
  }

  stop(): void {
    this.#repair.stop();
    this.#cursor.clear();
    this.#delivery.clear();
  }
}
