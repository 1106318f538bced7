/** A subscription that starts with a part of the history, until it has caught up with the live publications. */
import { type Item, maxHistoryLimit, type Position } from '@fanfare/protocol';
import type { Connection } from './connection.js';
import { Delivery, type DeliverySettings } from './delivery.js';
import { FanfareError, invalidOption, ReplyError } from './errors.js';
import { refuseUnknown } from './options.js';
import { checkSince } from './position.js';
import type { Check } from './schemas.js';
import type { GapReason, Reader } from './subscription.js';

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

/** The feed of the topic: live publications, and the connection to read history from. */
interface Live {
  readonly topic: string;
  readonly source: Connection | null;
  /** Called when the subscription may have caught up. */
  goOn(): void;
}

export class CatchUp extends Delivery {
  readonly reader: Reader;
  readonly #live: Live;
  readonly #beginning: Beginning;
  /** The topic's newest position when this began; null if not known yet. */
  #start: Position | null = null;
  /** True if a gap must be reported: the application passed a position, or has received a publication. */
  #isExpecting: boolean;
  #hasStarted = false;

  constructor(live: Live, check: Check | null, settings: DeliverySettings, reader: Reader, beginning: Beginning) {
    // A loop that has read half of its buffer has room for one page, and for the publications held behind the last
    // page.
    const quarter = Math.floor(settings.maxBufferedPublications / 4);
    super(live.topic, check, settings, quarter, Math.min(maxHistoryLimit, Math.max(1, quarter)));
    this.reader = reader;
    this.#live = live;
    this.#beginning = beginning;
    this.#isExpecting = 'since' in beginning;
    this.receivers.add(reader);
  }

  get hasStarted(): boolean {
    return this.#hasStarted;
  }

  protected get source(): Connection | null {
    return this.#live.source;
  }

  goOn(): void {
    this.#live.goOn();
  }

  protected overflow(): void {
    this.reader.end(new FanfareError('slowConsumer'));
  }

  override onItems(items: readonly Item[], position: Position | null): void {
    this.#isExpecting = true;
    super.onItems(items, position);
  }

  override onGap(reason: GapReason, position: Position): void {
    // The history has fewer publications than `last`.
    if (this.#isExpecting || position.offset > (this.#start?.offset ?? 0)) super.onGap(reason, position);
  }

  /**
   * `join`: the topic's newest position. `isCertain`: a node reported the position. Otherwise it is only the progress
   * of this client.
   */
  start(join: Position, isCertain: boolean): void {
    const beginning = this.#beginning;
    this.#hasStarted = true;
    this.#start = join;
    const start =
      'since' in beginning ? beginning.since : { epoch: join.epoch, offset: Math.max(0, join.offset - beginning.last) };
    this.cursor.begin(start, join);
    if (isCertain && start.epoch === join.epoch && start.offset > join.offset) this.cursor.reset(join);
  }

  /** The topic keeps no history, or has stopped keeping one. */
  startWithout(): void {
    const { topic, reader } = this;
    this.#hasStarted = true;
    this.cursor.clear();
    reader.fail(new ReplyError('noHistory', `${topic} keeps no history to begin with.`, false));
    if (this.#isExpecting) reader.gap({ reason: 'history', position: null });
  }

  /** Live publications of the topic. Ignored until the catch-up has started. */
  follow(items: readonly Item[], position: Position): void {
    if (this.#hasStarted) this.cursor.onPublications({ items, position });
  }

  /** The topic has another history. */
  followReset(position: Position): void {
    if (this.#hasStarted) this.cursor.reset(position);
  }

  /** Reads the missing publications as soon as the reader has read the earlier ones. */
  read(): void {
    if (this.cursor.hasHole && this.isIdle) this.reader.whenRoom(() => this.repair());
  }
}
