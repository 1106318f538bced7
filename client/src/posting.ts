/** One publication until it is settled: its content, its connection, and the results of its attempts. */
import type { Connection } from './connection.js';
import type { FanfareError } from './errors.js';
import type { Outgoing } from './frames.js';
import type { Answer, Request } from './requests.js';

/** A publication, from `publish()` or `send()` until it is settled. */
export class Posting implements Request {
  readonly onAnswer: (answer: Answer) => void;
  /** Null if the publication needs no answer. */
  id: number | null = null;
  /** True for `send()`: it is not sent again. */
  isSend = false;
  /** Number of publications that its answer confirms: itself, and those of `send()` before it. */
  weight = 1;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** Its place among all publications. */
  order = 0;
  outgoing: Outgoing | null = null;
  connection: Connection | null = null;
  /** Time of the first sending that may have published it. */
  sentAt = 0;
  /** Reason why it must be sent again. */
  refusal: FanfareError | undefined;
  /** The first failure after which it is unknown whether the publication was accepted. */
  doubt: FanfareError | undefined;
  /** True if it is marked as a possible repetition. */
  isRepeat = false;
  isSettled = false;

  constructor(
    readonly topic: string,
    /** Timeout of the caller; infinite if no caller waits. */
    readonly timeoutMs: number,
    readonly settle: (answer: Answer) => void,
    onAnswer: (posting: Posting, answer: Answer) => void,
  ) {
    this.onAnswer = (answer) => onAnswer(this, answer);
  }

  get maybeDelivered(): boolean {
    return this.doubt !== undefined || (this.connection !== null && this.outgoing?.isSent === true);
  }
}
