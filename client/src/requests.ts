/**
 * Commands that a node answers: their ids, connections, timeouts and callbacks. {@link Requests.ask} sends commands at
 * the pace that the node accepts, and repeats them after `rateLimited`.
 */
import type { ClientCodec, Connected, ErrorReply, OutgoingCommand, Reply } from '@fanfare/protocol';
import { refreshId } from './command-ids.js';
import type { Connection } from './connection.js';
import type { DebugLog } from './debug-log.js';
import { FanfareError, ReplyError } from './errors.js';
import { type Outgoing, outgoing } from './frames.js';
import type { Pacer } from './pacer.js';

/** Result of a request: the reply, or the reason why there is none. */
export type Answer = Exclude<Reply, ErrorReply | Connected> | FanfareError;

export interface Request {
  /** The connection that it was sent on; null while it waits for a connection. */
  readonly connection: Connection | null;
  onAnswer(answer: Answer): void;
}

/** A command on its way to an answer. */
class Ask implements Request {
  id = 0;
  command: OutgoingCommand | null = null;
  outgoing: Outgoing | null = null;
  isUnanswered = false;
  /** True for a subscribe with a later unsubscribe: it is not sent again. */
  isObsolete = false;
  timer: ReturnType<typeof setTimeout> | undefined;
  readonly onAnswer: (answer: Answer) => void;

  constructor(
    readonly connection: Connection,
    readonly timeoutMs: number,
    readonly settle: (answer: Answer) => void,
    onAnswer: (ask: Ask, answer: Answer) => void,
  ) {
    this.onAnswer = (answer) => onAnswer(this, answer);
  }
}

/** `maxCommandId` of the protocol. */
const maxId = 2 ** 32 - 1;

/**
 * A client has one such object for all its connections, so a request keeps its id if it moves to another connection.
 */
export class Requests {
  readonly #codec: ClientCodec;
  readonly #pacer: Pacer;
  readonly #debug: DebugLog;
  readonly #unanswered = new Map<number, Request>();
  #lastId = refreshId;
  /** Commands answered with `rateLimited`, which are sent first, and commands not sent yet; both in order. */
  readonly #refused = new Set<Ask>();
  readonly #waiting = new Set<Ask>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(codec: ClientCodec, pacer: Pacer, debug: DebugLog) {
    this.#codec = codec;
    this.#pacer = pacer;
    this.#debug = debug;
  }

  /** Assigns an id to the request, until it is deleted. */
  add(request: Request): number {
    do this.#lastId = this.#lastId === maxId ? refreshId + 1 : this.#lastId + 1;
    while (this.#unanswered.has(this.#lastId));
    this.#unanswered.set(this.#lastId, request);
    return this.#lastId;
  }

  delete(id: number): void {
    this.#unanswered.delete(id);
  }

  /**
   * Sends a command on a connection. `settle` is called once, after this returns. `timeoutMs` begins when the command
   * is sent.
   */
  ask(
    connection: Connection,
    describe: (id: number) => OutgoingCommand,
    timeoutMs: number,
    settle: (answer: Answer) => void,
  ): number {
    const ask = new Ask(connection, timeoutMs, settle, this.#onAnswer);
    const id = this.add(ask);
    const command = describe(id);
    ask.id = id;
    ask.command = command;
    ask.outgoing = outgoing(this.#codec.encode(command));
    if (command.type === 'subscribe') connection.joining.set(command.topic, id);
    if (command.type === 'unsubscribe') this.#supersede(connection, command.topic, id);
    this.#waiting.add(ask);
    this.#flush();
    return id;
  }

  /**
   * Cancels a subscribe that was not sent yet, or that the node refused temporarily. Returns false if there is none:
   * then only an unsubscribe ends the subscription.
   */
  withdraw(connection: Connection, topic: string): boolean {
    const ask = this.#joining(connection, topic);
    if (ask === null || ask.isUnanswered) return false;
    this.#end(ask, false);
    return true;
  }

  /**
   * Passes a reply to its request. Returns false if there is no such request, for example because the reply is late.
   */
  answer(reply: Exclude<Reply, Connected>, connection: Connection): boolean {
    const request = reply.id === null ? undefined : this.#unanswered.get(reply.id);
    if (request?.connection !== connection) return false;
    request.onAnswer(reply.type === 'error' ? ReplyError.of(reply) : reply);
    return true;
  }

  /** The connection was lost: its requests will not be answered. */
  lost(connection: Connection, error: FanfareError): void {
    for (const request of this.#unanswered.values()) if (request.connection === connection) request.onAnswer(error);
  }

  /** All connections ended, and the client does not reconnect. */
  failAll(error: FanfareError): void {
    for (const request of this.#unanswered.values()) request.onAnswer(error);
    clearTimeout(this.#timer);
  }

  readonly #onAnswer = (ask: Ask, answer: Answer): void => {
    if (answer instanceof ReplyError && answer.code === 'rateLimited') return this.#again(ask, answer);
    this.#end(ask, !(answer instanceof FanfareError) || answer instanceof ReplyError);
    ask.settle(answer);
    this.#flush();
  };

  #again(ask: Ask, { retryAfterMs }: ReplyError): void {
    clearTimeout(ask.timer);
    ask.isUnanswered = false;
    this.#pacer.refused(retryAfterMs);
    if (ask.isObsolete) this.#end(ask, false);
    else this.#refused.add(ask);
    this.#flush();
  }

  /** An unsubscribe follows. If the earlier subscribe is refused, it must not be sent again after the unsubscribe. */
  #supersede(connection: Connection, topic: string, id: number): void {
    const ask = this.#joining(connection, topic);
    if (ask !== null) ask.isObsolete = true;
    // Later subscribes wait for the answer.
    connection.leaving.set(topic, id);
  }

  /** The subscribe to a topic that is unanswered or temporarily refused. */
  #joining(connection: Connection, topic: string): Ask | null {
    const ask = this.#unanswered.get(connection.joining.get(topic) ?? 0);
    return ask instanceof Ask ? ask : null;
  }

  #end(ask: Ask, isAnswered: boolean): void {
    clearTimeout(ask.timer);
    this.delete(ask.id);
    this.#refused.delete(ask);
    this.#waiting.delete(ask);
    const { command, connection } = ask;
    if (command?.type === 'subscribe') forget(connection.joining, command.topic, ask.id);
    if (command?.type === 'unsubscribe') forget(connection.leaving, command.topic, ask.id);
    if (!ask.isUnanswered) return;
    if (isAnswered) this.#pacer.answered();
    else this.#pacer.forget();
  }

  /** Sends the commands that the pace allows. */
  #flush(): void {
    for (const queue of [this.#refused, this.#waiting]) {
      for (const ask of queue) {
        const { delayMs } = this.#pacer;
        if (delayMs > 0) return this.#plan(delayMs);
        const { command, connection } = ask;
        if (command?.type === 'subscribe' && connection.leaving.has(command.topic)) continue;
        this.#send(ask, queue);
      }
    }
  }

  #send(ask: Ask, queue: Set<Ask>): void {
    queue.delete(ask);
    ask.isUnanswered = true;
    ask.timer = setTimeout(() => ask.onAnswer(new FanfareError('timeout')), ask.timeoutMs);
    this.#pacer.sent();
    if (ask.outgoing === null || ask.command === null) return;
    this.#debug.sent(ask.command);
    ask.connection.post(ask.outgoing);
  }

  /** An infinite delay ends with an answer, which flushes. */
  #plan(delayMs: number): void {
    if (!Number.isFinite(delayMs)) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#flush(), delayMs);
  }
}

function forget(ids: Map<string, number>, topic: string, id: number): void {
  if (ids.get(topic) === id) ids.delete(topic);
}
