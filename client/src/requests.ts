/** Commands that a node is to answer: their ids, which connection they left on, their deadlines, and who wants the answer. */
import type { ClientCodec, Connected, ErrorReply, OutgoingCommand, Reply } from '@fanfare/protocol';
import { refreshId } from './command-ids.js';
import type { Connection } from './connection.js';
import { FanfareError, ReplyError } from './errors.js';
import { outgoing } from './frames.js';

/** What becomes of a request: the reply, or why there is none. */
export type Answer = Exclude<Reply, ErrorReply | Connected> | FanfareError;

export interface Request {
  /** Where it was sent; null while it waits for a connection. */
  readonly connection: Connection | null;
  onAnswer(answer: Answer): void;
}

/** `maxCommandId` of the protocol. */
const maxId = 2 ** 32 - 1;

/** One for all connections of a client: a request that is sent again on another one keeps its id. */
export class Requests {
  readonly #codec: ClientCodec;
  readonly #unanswered = new Map<number, Request>();
  #lastId = refreshId;

  constructor(codec: ClientCodec) {
    this.#codec = codec;
  }

  /** Gives the request an id, which is its own until it is deleted. */
  add(request: Request): number {
    do this.#lastId = this.#lastId === maxId ? refreshId + 1 : this.#lastId + 1;
    while (this.#unanswered.has(this.#lastId));
    this.#unanswered.set(this.#lastId, request);
    return this.#lastId;
  }

  delete(id: number): void {
    this.#unanswered.delete(id);
  }

  /** Sends a command on a connection, once. `settle` is called once, never before this returns. */
  ask(
    connection: Connection,
    describe: (id: number) => OutgoingCommand,
    timeoutMs: number,
    settle: (answer: Answer) => void,
  ): number {
    const onAnswer = (answer: Answer): void => {
      clearTimeout(timer);
      this.delete(id);
      settle(answer);
    };
    const id = this.add({ connection, onAnswer });
    const timer = setTimeout(() => onAnswer(new FanfareError('timeout')), timeoutMs);
    connection.post(outgoing(this.#codec.encode(describe(id))));
    return id;
  }

  /** Hands a reply to who waits for it. Answers false where nobody does: it came too late, or answers no request. */
  answer(reply: Exclude<Reply, Connected>, connection: Connection): boolean {
    const request = reply.id === null ? undefined : this.#unanswered.get(reply.id);
    if (request?.connection !== connection) return false;
    request.onAnswer(reply.type === 'error' ? new ReplyError(reply.code, reply.message, reply.retryable) : reply);
    return true;
  }

  /** The connection is gone: no answer will come to what was sent on it. */
  lost(connection: Connection, error: FanfareError): void {
    for (const request of this.#unanswered.values()) if (request.connection === connection) request.onAnswer(error);
  }

  /** All connections are gone, for good. */
  failAll(error: FanfareError): void {
    for (const request of this.#unanswered.values()) request.onAnswer(error);
  }
}
