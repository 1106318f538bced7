/** Commands that a node is to answer: their ids, their deadlines, and who wants the answer. */
import {
  type ClientCodec,
  type Connected,
  type ErrorReply,
  maxCommandId,
  type OutgoingCommand,
  type Reply,
} from '@fanfare/protocol';
import { FanfareError, ReplyError } from './errors.js';
import type { Outbox, Outgoing } from './outbox.js';

/** What becomes of a request: the reply, or why there is none. */
export type Answer = Exclude<Reply, ErrorReply | Connected> | FanfareError;

interface Request {
  readonly outgoing: Outgoing;
  readonly timer: ReturnType<typeof setTimeout>;
  readonly settle: (answer: Answer) => void;
}

/** Makes the error of a request that gets no answer; `maybeDelivered` is whether it had left. */
export type Failure = (maybeDelivered: boolean) => FanfareError;

const timedOut: Failure = (maybeDelivered) => new FanfareError('timeout', { maybeDelivered });

/** Ids of the commands that the connection sends itself; those of requests come behind. */
export const connectId = 1;
export const pingId = 2;

export class Requests {
  readonly #codec: ClientCodec;
  readonly #outbox: Outbox;
  readonly #unanswered = new Map<number, Request>();
  #lastId = pingId;

  constructor(codec: ClientCodec, outbox: Outbox) {
    this.#codec = codec;
    this.#outbox = outbox;
  }

  /**
   * Sends a command, or queues it where it is a publish and no connection is up. `settle` is called once, never before this
   * returns. Throws what the codec and the outbox throw; then nothing was sent.
   */
  send(describe: (id: number) => OutgoingCommand, timeoutMs: number, settle: (answer: Answer) => void): number {
    const id = this.#nextId();
    const command = describe(id);
    const outgoing = this.#outbox.post(this.#codec.encode(command), command.type === 'publish');
    const timer = setTimeout(() => this.fail(id, timedOut), timeoutMs);
    this.#unanswered.set(id, { outgoing, timer, settle });
    return id;
  }

  /** Sends a command whose answer nobody waits for. Throws as {@link send} does. */
  forget(command: OutgoingCommand): void {
    this.#outbox.post(this.#codec.encode(command), command.type === 'publish');
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
    this.#outbox.remove(request.outgoing);
    request.settle(why(request.outgoing.isSent));
  }

  /** The connection is gone: no answer will come to what was sent on it. Publications that still wait go on waiting. */
  failSent(why: Failure): void {
    for (const [id, { outgoing }] of this.#unanswered)
      if (outgoing.isSent || !outgoing.isPublication) this.fail(id, why);
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

  #nextId(): number {
    do this.#lastId = this.#lastId === maxCommandId ? pingId + 1 : this.#lastId + 1;
    while (this.#unanswered.has(this.#lastId));
    return this.#lastId;
  }
}
