/** Has history fill the holes of a line: one question at a time, and again after a while if it is refused or the node lags. */
import { type HistoryReply, maxHistoryLimit, type Position } from '@fanfare/protocol';
import type { Connection } from './connection.js';
import { FanfareError, ReplyError } from './errors.js';
import type { Line } from './line.js';
import { type ReconnectPolicy, reconnectDelayMs } from './reconnect.js';
import type { Requests } from './requests.js';
import type { Slots } from './slots.js';
import { closure } from './state.js';

export interface RepairSettings extends ReconnectPolicy {
  readonly requests: Requests;
  readonly timeoutMs: number;
  /** Those of all reads of history together. */
  readonly reads: Slots;
}

export interface RepairParts {
  readonly topic: string;
  readonly line: Line;
  /** The connection to ask; null if there is none. */
  readonly connection: () => Connection | null;
  /** Most publications that one answer may bring. @default {@link maxHistoryLimit} */
  readonly limit?: number;
  /** A node has refused, for now or for good. */
  readonly onRefused: (error: ReplyError) => void;
  /** The line may have gone on. */
  readonly onAnswered: () => void;
}

export class Repair {
  readonly #settings: RepairSettings;
  readonly #parts: RepairParts;
  /** Whether it waits for its turn, or for an answer. */
  #isAsking = false;
  /** Runs until history is asked again; null if it does not wait for that. */
  #retry: ReturnType<typeof setTimeout> | null = null;
  #failures = 0;

  constructor(settings: RepairSettings, parts: RepairParts) {
    this.#settings = settings;
    this.#parts = parts;
  }

  /** Asks, if there is a hole and neither an answer nor a retry is on its way. */
  goOn(): void {
    if (!this.#parts.line.hasHole || this.#isAsking || this.#retry !== null) return;
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
    const { topic, line, limit = maxHistoryLimit } = this.#parts;
    const connection = this.#parts.connection();
    const since = line.position;
    // The hole may have been closed while this waited for its turn.
    if (connection === null || since === null || !line.hasHole) {
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
        // Otherwise the connection is gone: the next one will be asked.
      },
    );
  }

  #onReply(reply: HistoryReply, since: Position): void {
    if (!this.#parts.line.onHistory(reply, since)) return this.#askLater();
    this.#failures = 0;
    this.#parts.onAnswered();
  }

  #onRefused(error: ReplyError): void {
    const { line, onRefused, onAnswered } = this.#parts;
    // Nobody reads any more.
    if (line.position === null) return;
    if (error.retryable) this.#askLater();
    onRefused(error);
    if (error.retryable) return;
    line.giveUp();
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
