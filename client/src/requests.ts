/**
 * Commands that a node answers: their ids, connections, timeouts and callbacks. {@link Requests.ask} sends commands at
 * the pace that the node accepts, and repeats them after `rateLimited`.
 */
import type { ClientCodec, Connected, ErrorReply, OutgoingCommand, Reply } from '@fanfare/protocol';
import { refreshId } from './command-ids.js';
import type { Connection } from './connection.js';
import type { DebugLog } from './debug-log.js';
import { FanfareError, ReplyError } from './errors.js';
import { outgoing } from './frames.js';
import type { Pacer } from './pacer.js';
import { closure } from './state.js';

/** Result of a request: the reply, or the reason why there is none. */
export type Answer = Exclude<Reply, ErrorReply | Connected> | FanfareError;

export interface Request {
  /** The connection that it was sent on; null while it waits for a connection. */
  readonly connection: Connection | null;
  onAnswer(answer: Answer): void;
}

type WithoutId<Command> = Command extends unknown ? Omit<Command, 'id'> : never;

/** A command on its way to an answer. */
interface Ask extends Request {
  readonly connection: Connection;
  readonly command: OutgoingCommand & { readonly id: number; readonly topic?: string };
  readonly timeoutMs: number;
  readonly settle: (answer: Answer) => void;
  isUnanswered: boolean;
  /** True for a subscribe with a later unsubscribe: it is not sent again. */
  isObsolete: boolean;
  timer: ReturnType<typeof setTimeout> | undefined;
}

interface RequestsSettings {
  readonly codec: ClientCodec;
  readonly pacer: Pacer;
  readonly debug: DebugLog;
  readonly timeoutMs: number;
}

/** `maxCommandId` of the protocol. */
const maxId = 2 ** 32 - 1;

/**
 * A client has one such object for all its connections, so a request keeps its id if it moves to another connection.
 */
export class Requests {
  readonly #settings: RequestsSettings;
  readonly #unanswered = new Map<number, Request>();
  /** The last unanswered commands of each connection, by type and topic. */
  readonly #asks = new WeakMap<Connection, Map<string, Ask>>();
  #lastId = refreshId;
  /** Commands answered with `rateLimited`, which are sent first, and commands not sent yet; both in order. */
  readonly #refused = new Set<Ask>();
  readonly #waiting = new Set<Ask>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(settings: RequestsSettings) {
    this.#settings = settings;
  }

  /** Assigns an id to the request, until it is deleted. */
  add(request: Request): number {
    const id = this.#nextId();
    this.#unanswered.set(id, request);
    return id;
  }

  delete(id: number): void {
    this.#unanswered.delete(id);
  }

  /**
   * Sends a command on a connection. `settle` is called once, after this returns. `timeoutMs` begins when the command
   * is sent. If a subscribe or a history is not answered in that time, the connection is dropped.
   */
  ask(
    connection: Connection,
    command: WithoutId<OutgoingCommand>,
    settle: (answer: Answer) => void,
    { timeoutMs }: Pick<RequestsSettings, 'timeoutMs'> = this.#settings,
  ): void {
    const id = this.#nextId();
    const ask: Ask = {
      connection,
      command: { ...command, id } as Ask['command'],
      timeoutMs,
      settle,
      isUnanswered: false,
      isObsolete: false,
      timer: undefined,
      onAnswer: (answer) => this.#onAnswer(ask, answer),
    };
    this.#unanswered.set(id, ask);
    this.#asksOf(connection).set(keyOf(ask), ask);
    this.#waiting.add(ask);
    this.#flush();
  }

  /** Ends a subscription. Calls back when the node pushes nothing more for it. */
  leave(connection: Connection, topic: string, onLeft: () => void): void {
    const ask = this.#asksOf(connection).get(`subscribe ${topic}`);
    if (ask !== undefined) {
      // If it is refused, it must not be sent again after the unsubscribe.
      ask.isObsolete = true;
      if (!ask.isUnanswered) {
        this.#end(ask, false);
        return onLeft();
      }
    }
    this.ask(connection, { type: 'unsubscribe', topic }, onLeft);
  }

  /** True if an unsubscribe for the topic is unanswered. */
  isLeaving(connection: Connection, topic: string | undefined): boolean {
    // Called for each push: usually there are none.
    const asks = this.#asks.get(connection);
    return asks !== undefined && asks.size > 0 && asks.has(`unsubscribe ${topic}`);
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

  #asksOf(connection: Connection): Map<string, Ask> {
    const asks = this.#asks.get(connection) ?? new Map<string, Ask>();
    this.#asks.set(connection, asks);
    return asks;
  }

  #nextId(): number {
    do this.#lastId = this.#lastId === maxId ? refreshId + 1 : this.#lastId + 1;
    while (this.#unanswered.has(this.#lastId));
    return this.#lastId;
  }

  #onAnswer(ask: Ask, answer: Answer): void {
    const isReply = !(answer instanceof FanfareError) || answer instanceof ReplyError;
    if (isReply && answer instanceof ReplyError && answer.code === 'rateLimited') {
      clearTimeout(ask.timer);
      ask.isUnanswered = false;
      this.#settings.pacer.refused(answer.retryAfterMs);
      if (ask.isObsolete) this.#end(ask, false);
      else this.#refused.add(ask);
    } else {
      this.#end(ask, isReply);
      ask.settle(answer);
    }
    this.#flush();
  }

  #end(ask: Ask, isAnswered: boolean): void {
    const { connection, command } = ask;
    clearTimeout(ask.timer);
    this.delete(command.id);
    this.#refused.delete(ask);
    this.#waiting.delete(ask);
    const [asks, key] = [this.#asksOf(connection), keyOf(ask)];
    if (asks.get(key) === ask) asks.delete(key);
    if (!ask.isUnanswered) return;
    if (isAnswered) this.#settings.pacer.answered();
    else this.#settings.pacer.forget();
  }

  /** Sends the commands that the pace allows. */
  #flush(): void {
    for (const queue of [this.#refused, this.#waiting]) {
      for (const ask of queue) {
        const { delayMs } = this.#settings.pacer;
        if (delayMs > 0) return this.#plan(delayMs);
        // A subscribe waits for the answer to an earlier unsubscribe.
        const { type, topic } = ask.command;
        if (type === 'subscribe' && this.isLeaving(ask.connection, topic)) continue;
        queue.delete(ask);
        this.#send(ask);
      }
    }
  }

  #send(ask: Ask): void {
    const { pacer, debug, codec } = this.#settings;
    const { connection, command, timeoutMs } = ask;
    ask.isUnanswered = true;
    ask.timer = setTimeout(() => {
      // Only a subscribe and a history have `since`.
      if ('since' in command) connection.drop(closure('replyTimeout'));
      else ask.onAnswer(new FanfareError('timeout'));
    }, timeoutMs);
    pacer.sent();
    debug.sent(command);
    connection.post(outgoing(codec.encode(command)));
  }

  /** An infinite delay ends with an answer, which flushes. */
  #plan(delayMs: number): void {
    if (!Number.isFinite(delayMs)) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#flush(), delayMs);
  }
}

function keyOf({ command: { type, topic } }: Ask): string {
  return `${type} ${topic}`;
}
