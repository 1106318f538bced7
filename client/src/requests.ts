/** Commands that a node is to answer: their ids, their deadlines, and who wants the answer. */
import type { Connected, ErrorReply, OutgoingCommand, Reply } from '@fanfare/protocol';
import { FanfareError, ReplyError } from './errors.js';
import type { Outbox, Outgoing } from './outbox.js';

/** What becomes of a request: the reply, or why there is none. */
export type Answer = Exclude<Reply, ErrorReply | Connected> | FanfareError;

interface Request {
  /** Null as long as its command is not known. */
  outgoing: Outgoing | null;
  readonly timer: ReturnType<typeof setTimeout>;
  readonly settle: (answer: Answer) => void;
}

/** Makes the error of a request that gets no answer; `maybeDelivered` is whether it had left. */
export type Failure = (maybeDelivered: boolean) => FanfareError;

const timedOut: Failure = (maybeDelivered) => new FanfareError('timeout', { maybeDelivered });

/** Ids of the commands that the connection sends itself; those of requests come behind. */
export const connectId = 1;
export const pingId = 2;

/** `maxCommandId` of the protocol. */
const maxId = 2 ** 32 - 1;

export class Requests {
  readonly #outbox: Outbox;
  readonly #unanswered = new Map<number, Request>();
  #lastId: number;

  constructor(outbox: Outbox, lastId = pingId) {
    this.#outbox = outbox;
    this.#lastId = lastId;
  }

  /**
   * Begins a request whose command comes with {@link post}; its deadline runs from now on. `settle` is called once, never before
   * this returns.
   */
  open(timeoutMs: number, settle: (answer: Answer) => void): number {
    do this.#lastId = this.#lastId === maxId ? pingId + 1 : this.#lastId + 1;
    while (this.#unanswered.has(this.#lastId));
    const id = this.#lastId;
    const timer = setTimeout(() => this.fail(id, timedOut), timeoutMs);
    this.#unanswered.set(id, { outgoing: null, timer, settle });
    return id;
  }

  /** Sends the command of a request that is still open, or queues it. Where that cannot be done, that is the answer. */
  post(id: number, command: OutgoingCommand): void {
    const request = this.#unanswered.get(id);
    if (request === undefined) return;
    const refuse = (error: FanfareError): void => this.fail(id, () => error);
    try {
      request.outgoing = this.#outbox.post(command, refuse);
    } catch (error) {
      refuse(error as FanfareError);
    }
  }

  /** Opens a request and posts its command. */
  send(describe: (id: number) => OutgoingCommand, timeoutMs: number, settle: (answer: Answer) => void): number {
    const id = this.open(timeoutMs, settle);
    this.post(id, describe(id));
    return id;
  }

  /** Hands a reply to who waits for it. Answers false where nobody does: it came too late, or answers no request. */
  answer(reply: Exclude<Reply, Connected>): boolean {
    const request = reply.id === null ? null : this.#take(reply.id);
    if (request === null) return false;
    request.settle(reply.type === 'error' ? new ReplyError(reply.code, reply.message, reply.retryable) : reply);
    return true;
  }

  /** Gives a request up. What has not been sent is taken back. */
  fail(id: number, why: Failure): void {
    const request = this.#take(id);
    if (request === null) return;
    if (request.outgoing !== null) this.#outbox.remove(request.outgoing);
    request.settle(why(request.outgoing?.isSent ?? false));
  }

  /** The connection is gone: no answer will come to what was sent on it. Publications that still wait go on waiting. */
  failSent(why: Failure): void {
    for (const [id, { outgoing }] of this.#unanswered)
      if (outgoing !== null && (outgoing.isSent || !outgoing.isPublication)) this.fail(id, why);
  }

  failAll(why: Failure): void {
    for (const id of this.#unanswered.keys()) this.fail(id, why);
  }

  #take(id: number): Request | null {
    const request = this.#unanswered.get(id);
    if (request === undefined) return null;
    this.#unanswered.delete(id);
    clearTimeout(request.timer);
    return request;
  }
}
