/**
 * `POST /v1/commands`: carries out a JSON frame of the protocol, and answers with an array of replies. The typed client
 * uses it if it has no WebSocket.
 */
import { STATUS_CODES } from 'node:http';
import { type Command, type CommandError, type CommandSink, type OutgoingReply, ReplyError } from '@fanfare/protocol';
import { BodyRequest } from './body-request.js';
import { type Exchange, ok } from './exchange.js';
import { callerOf, type HttpContext, type Sender } from './http-context.js';
import { isTooDeep } from './json-depth.js';
import { Problem } from './problem.js';
import { mediaTypeOf, shownType, tooDeep } from './publication.js';
import { needsConnection, type RequestCaller } from './request-caller.js';

/** The maximum number of commands in one request. */
export const maxCommands = 1_000;

export function onCommands(exchange: Exchange, context: HttpContext): void {
  const contentType = exchange.header('content-type');
  if (mediaTypeOf(contentType) !== 'application/json') {
    throw new Problem('unsupportedMediaType', `${shownType(contentType)} Commands are application/json.`);
  }
  new CommandsRequest(exchange, context).receive(context.maxFrameBytes);
}

/** The commands of one request. Commands get ids of their own: the answer waits for those without an id too. */
class CommandsRequest extends BodyRequest implements CommandSink {
  #caller: RequestCaller | null = null;
  /** The ids of the commands, as the client gave them. */
  readonly #ids: Command['id'][] = [];
  /** The replies in the order of the commands; null if there is none. */
  readonly #replies: (string | null)[] = [];
  #answered = 0;
  /** The error of a command that could not be read, not even its id. */
  #unreadable: CommandError | null = null;
  #hasFailed = false;
  #isRead = false;

  protected override carryOut(body: Uint8Array, sender: Sender): void {
    if (isTooDeep(body)) throw tooDeep('The body');
    this.#caller = callerOf(sender, this.context, this);
    this.context.json.decode(body, this);
    this.#isRead = true;
    this.#answerIfDone();
  }

  get isOver(): boolean {
    return !this.exchange.isOpen;
  }

  onCommand(command: Command): void {
    if (this.#ids.length >= maxCommands) {
      return this.exchange.refuse(new Problem('contentTooLarge', `A request has at most ${maxCommands} commands.`));
    }
    const id = this.#begin(command.id);
    const { type } = command;
    if (type === 'subscribe' || type === 'unsubscribe' || type === 'refresh') {
      this.#caller?.refuse({ ...command, id }, needsConnection(type));
    } else this.#caller?.submit({ ...command, id });
  }

  onCommandError(error: CommandError): void {
    const id = this.#begin(error.id);
    if (error.id === null) this.#unreadable = error;
    this.#caller?.refuse({ type: 'ping', id }, new ReplyError(error.code, error.message));
  }

  #begin(id: Command['id']): number {
    this.#replies.push(null);
    return this.#ids.push(id);
  }

  override onReply(reply: OutgoingReply): void {
    const own = 'id' in reply ? reply.id : null;
    if (own === null) return;
    const id = this.#ids[own - 1] ?? null;
    const isError = reply.type === 'error';
    if (isError) this.#hasFailed = true;
    // A command without an id gets a reply only if it failed.
    if (id !== null || isError) this.#replies[own - 1] = textOf(this.context.json.reply({ ...reply, id }));
    this.#answered++;
    this.#answerIfDone();
  }

  #answerIfDone(): void {
    if (!this.#isRead || this.#answered < this.#ids.length) return;
    if (this.#unreadable !== null && this.#ids.length === 1) {
      return this.exchange.refuse(new Problem(this.#unreadable.code, this.#unreadable.message));
    }
    const text = `[${this.#replies.filter((reply) => reply !== null).join(',')}]`;
    this.exchange.answer(this.#hasFailed ? `207 ${STATUS_CODES[207]}` : ok, text);
  }
}

/** A copy: the codec reuses its buffer. */
function textOf(frame: string | Uint8Array): string {
  return typeof frame === 'string' ? frame : Buffer.from(frame).toString('utf8');
}
