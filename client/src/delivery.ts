/**
 * Delivers the publications and events of a topic to readers, in order. While an asynchronous schema checks a
 * publication, later publications wait. Reads the history to fill holes, one command at a time. If the node refuses a
 * command or lags, it retries after a delay.
 */
import type { HistoryReply, Item, Position } from '@fanfare/protocol';
import type { Connection } from './connection.js';
import { Cursor, type CursorListener, moved } from './cursor.js';
import { FanfareError, ReplyError } from './errors.js';
import { Queue } from './queue.js';
import type { Reads } from './reads.js';
import { type ReconnectPolicy, reconnectDelayMs } from './reconnect.js';
import { type Check, type Checked, checkItem } from './schemas.js';
import { type GapReason, publicationOf, type Reader } from './subscription.js';

export interface DeliverySettings extends ReconnectPolicy {
  readonly reads: Reads;
  readonly maxBufferedPublications: number;
}

export abstract class Delivery implements CursorListener {
  readonly topic: string;
  readonly cursor: Cursor;
  protected readonly receivers = new Set<Reader>();
  protected readonly check: Check | null;
  readonly #settings: DeliverySettings;
  readonly #limit: number;
  readonly #waiting = new Queue<() => void>();
  #isChecking = false;
  /** True while a read waits for its turn or for an answer. */
  #isAsking = false;
  /** Runs until the next attempt; null if none is planned. */
  #retry: ReturnType<typeof setTimeout> | null = null;
  #failures = 0;

  /**
   * `maxHeld`: maximum number of publications that are held behind a hole. `limit`: maximum number of publications in
   * one read.
   */
  constructor(topic: string, check: Check | null, settings: DeliverySettings, maxHeld: number, limit: number) {
    this.topic = topic;
    this.check = check;
    this.#settings = settings;
    this.#limit = limit;
    this.cursor = new Cursor(maxHeld, this);
  }

  /** The connection to read history from, or null. */
  protected abstract get source(): Connection | null;

  /** Something was delivered, or a hole was opened or closed. */
  abstract goOn(): void;

  /** Too many publications and events wait for a schema. One is lost, so the readers must end. */
  protected abstract overflow(): void;

  /** True if everything that arrived is delivered. */
  get isIdle(): boolean {
    return !this.#isChecking && this.#waiting.size === 0;
  }

  onItems(items: readonly Item[], position: Position | null): void {
    for (const [index, item] of items.entries()) this.#take(item, position && moved(position, index));
  }

  onGap(reason: GapReason, position: Position | null): void {
    this.notify((reader) => reader.gap({ reason, position }));
  }

  onReset(position: Position): void {
    this.notify((reader) => reader.reset({ position }));
  }

  /** Calls `step` with each reader, after the earlier publications are delivered. */
  protected notify(step: (reader: Reader) => void): void {
    this.#inOrder(() => this.#each(step));
  }

  /** Adds a reader for later publications. It does not get the publications that wait now. */
  protected join(reader: Reader, onJoined: () => void): void {
    this.#inOrder(() => {
      if (reader.state.name === 'unsubscribed') return;
      this.receivers.add(reader);
      onJoined();
    });
  }

  /** Reads the history if there is a hole, and no answer or retry is pending. */
  protected repair(): void {
    if (!this.cursor.hasHole || this.#isAsking || this.#retry !== null) return;
    this.#isAsking = true;
    const { topic } = this;
    let since: Position | null = null;
    this.#settings.reads.ask(
      () => this.source,
      () => {
        since = this.cursor.position;
        // The hole may have been filled while this waited for its turn.
        return since && this.cursor.hasHole ? { topic, since, limit: this.#limit, direction: 'forward' } : null;
      },
      (answer) => {
        this.#isAsking = false;
        if (answer instanceof ReplyError) this.#onRefused(answer);
        // If the connection is lost, the client asks on the next one.
        else if (answer !== null && since !== null && !(answer instanceof FanfareError)) {
          this.#onReply(answer as HistoryReply, since);
        }
      },
    );
  }

  /** The connection was lost. Delays caused by that node do not apply to the next one. */
  interruptReads(): void {
    this.cursor.settle();
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    this.#failures = 0;
  }

  /** There are no readers any more. */
  stop(): void {
    this.interruptReads();
    this.cursor.clear();
    this.receivers.clear();
    this.#waiting.clear();
  }

  #each(step: (reader: Reader) => void): void {
    for (const reader of [...this.receivers]) step(reader);
  }

  #inOrder(step: () => void): void {
    if (!this.#isChecking) step();
    else if (this.#waiting.size < this.#settings.maxBufferedPublications) this.#waiting.push(step);
    else this.overflow();
  }

  #take(item: Item, position: Position | null): void {
    if (this.#isChecking) return this.#inOrder(() => this.#take(item, position));
    const checked = checkItem(item, this.topic, this.check);
    if (!(checked instanceof Promise)) return this.#handOut(checked, item, position);
    this.#isChecking = true;
    checked.then((late) => {
      this.#isChecking = false;
      this.#handOut(late, item, position);
      while (!this.#isChecking) {
        const next = this.#waiting.shift();
        if (next === undefined) return this.goOn();
        next();
      }
    });
  }

  #handOut(checked: Checked, item: Item, position: Position | null): void {
    if ('error' in checked) return this.#each((reader) => reader.fail(checked.error));
    const publication = publicationOf(this.topic, checked.data, position, item);
    this.#each((reader) => reader.deliver(publication));
  }

  #onReply(reply: HistoryReply, since: Position): void {
    if (!this.cursor.onHistory(reply, since)) return this.#askLater();
    this.#failures = 0;
    this.goOn();
  }

  #onRefused(error: ReplyError): void {
    // There are no readers any more.
    if (this.cursor.position === null) return;
    if (error.retryable) this.#askLater();
    this.#each((reader) => reader.refuse(error));
    if (error.retryable) return;
    this.cursor.giveUp();
    this.goOn();
  }

  #askLater(): void {
    this.#retry = setTimeout(
      () => {
        this.#retry = null;
        this.repair();
      },
      reconnectDelayMs(this.#failures++, this.#settings),
    );
  }
}
