/** One publication on its way: what it is, where it is, and what has become of its attempts. */
import type { Connection } from './connection.js';
import type { FanfareError } from './errors.js';
import type { Outgoing } from './frames.js';
import type { Answer, Request } from './requests.js';

/** A publication, from `publish()` or `send()` until it is settled. */
export class Posting implements Request {
  readonly onAnswer: (answer: Answer) => void;
  /** Null where no answer is wanted. */
  id: number | null = null;
  /** Of `send()`: it is not sent again. */
  isSend = false;
  /** Publications that its answer answers: itself, and those of `send()` that left before it. */
  weight = 1;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** Its place among all publications. */
  order = 0;
  outgoing: Outgoing | null = null;
  connection: Connection | null = null;
  /** When it left first, as far as it may have been published. */
  sentAt = 0;
  /** Why it has to be sent again. */
  refusal: FanfareError | undefined;
  /** After which failure nobody knows whether it was published. */
  doubt: FanfareError | undefined;
  /** Whether it is marked as one that may have been published before. */
  isRepeat = false;
  isSettled = false;

  constructor(
    readonly topic: string,
    /** How long somebody waits for it; infinite where nobody does. */
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
