/**
 * Reads the history to fill the holes of a cursor, one command at a time. If the node refuses a command or lags, it
 * retries after a delay.
 */
import { type HistoryReply, maxHistoryLimit, type Position } from '@fanfare/protocol';
import type { Connection } from './connection.js';
import type { Cursor } from './cursor.js';
import { FanfareError, ReplyError } from './errors.js';
import { type ReconnectPolicy, reconnectDelayMs } from './reconnect.js';
import type { Requests } from './requests.js';
import type { Slots } from './slots.js';
import { closure } from './state.js';

export interface RepairSettings extends ReconnectPolicy {
  readonly requests: Requests;
  readonly timeoutMs: number;
  /** Limits the concurrent history commands of the client. */
  readonly reads: Slots;
}

interface RepairParts {
  readonly topic: string;
  readonly cursor: Cursor;
  /** The connection to ask; null if there is none. */
  readonly connection: () => Connection | null;
  /** Maximum number of publications in one answer. @default {@link maxHistoryLimit} */
  readonly limit?: number;
  /** A node refused, temporarily or permanently. */
  readonly onRefused: (error: ReplyError) => void;
  /** The cursor may have moved. */
  readonly onAnswered: () => void;
}

export class Repair {
  readonly #settings: RepairSettings;
  readonly #parts: RepairParts;
  /** True while it waits for its turn or for an answer. */
  #isAsking = false;
  /** Runs until the next attempt; null if none is planned. */
  #retry: ReturnType<typeof setTimeout> | null = null;
  #failures = 0;

  constructor(settings: RepairSettings, parts: RepairParts) {
    this.#settings = settings;
    this.#parts = parts;
  }

  /** Reads the history if there is a hole, and no answer or retry is pending. */
  goOn(): void {
    if (!this.#parts.cursor.hasHole || this.#isAsking || this.#retry !== null) return;
    this.#isAsking = true;
    this.#settings.reads.take(() => this.#ask());
  }

  /** The connection is lost, or there are no readers. Delays caused by that node do not apply to the next one. */
  stop(): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    this.#failures = 0;
  }

  #ask(): void {
    const { requests, timeoutMs, reads } = this.#settings;
    const { topic, cursor, limit = maxHistoryLimit } = this.#parts;
    const connection = this.#parts.connection();
    const since = cursor.position;
    // The hole may have been filled while this waited for its turn.
    if (connection === null || since === null || !cursor.hasHole) {
      this.#isAsking = false;
      return reads.release();
    }
    requests.ask(
      connection,
      (id) => ({ type: 'history', id, topic, since, limit, direction: 'forward' }),
      timeoutMs,
      (answer) => {
        this.#isAsking = false;
        reads.release();
        if (!(answer instanceof FanfareError)) this.#onReply(answer as HistoryReply, since);
        else if (answer.code === 'timeout') connection.drop(closure('replyTimeout'));
        else if (answer instanceof ReplyError) this.#onRefused(answer);
        // Otherwise the connection is lost, and the client asks on the next one.
      },
    );
  }

  #onReply(reply: HistoryReply, since: Position): void {
    if (!this.#parts.cursor.onHistory(reply, since)) return this.#askLater();
    this.#failures = 0;
    this.#parts.onAnswered();
  }

  #onRefused(error: ReplyError): void {
    const { cursor, onRefused, onAnswered } = this.#parts;
    // There are no readers any more.
    if (cursor.position === null) return;
    if (error.retryable) this.#askLater();
    onRefused(error);
    if (error.retryable) return;
    cursor.giveUp();
    onAnswered();
  }

  #askLater(): void {
    this.#retry = setTimeout(
      () => {
        this.#retry = null;
        this.goOn();
      },
      reconnectDelayMs(this.#failures++, this.#settings),
    );
  }
}
