/**
 * `POST /v1/commands`: carries out a JSON frame of the protocol, and answers with an array of replies. The typed client
 * uses it if it has no WebSocket.
 */
import { STATUS_CODES } from 'node:http';
import { type Command, CommandError, type CommandSink, type OutgoingReply, ReplyError } from '@fanfare/protocol';
import type { Subject } from '../limits/subjects.js';
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

/** The commands of one request. */
class CommandsRequest extends BodyRequest implements CommandSink {
  #subject: Subject | null = null;
  readonly #commands: (Command | CommandError)[] = [];
  /** The replies in the order of the commands; null if there is none. */
  readonly #replies: (string | null)[] = [];
  #answered = 0;
  #hasFailed = false;

  protected override carryOut(body: Uint8Array, sender: Sender): void {
    if (isTooDeep(body)) throw tooDeep('The body');
    this.#subject = sender.session?.subject ?? null;
    this.context.json.decode(body, this);
    if (this.#commands.length > maxCommands) {
      throw new Problem('contentTooLarge', `A request has at most ${maxCommands} commands. Nothing was carried out.`);
    }
    const caller = callerOf(sender, this.context, this);
    this.#replies.length = this.#commands.length;
    for (const [index, command] of this.#commands.entries()) this.#submit(caller, command, index + 1);
  }

  /** Reads no further than necessary to see that there are too many. */
  get isOver(): boolean {
    return this.#commands.length > maxCommands;
  }

  onCommand(command: Command): void {
    this.#commands.push(command);
  }

  onCommandError(error: CommandError): void {
    this.#commands.push(error);
  }

  /** `id`: the place of the command, counted from 1. It waits for commands without an id too. */
  #submit(caller: RequestCaller, command: Command | CommandError, id: number): void {
    if (command instanceof CommandError) return caller.refuse({ type: 'ping', id }, this.#errorOf(command));
    const { type } = command;
    if (type === 'subscribe' || type === 'unsubscribe' || type === 'refresh') {
      caller.refuse({ ...command, id }, needsConnection(type));
    } else caller.submit({ ...command, id });
  }

  /** A command that cannot be read costs as much as one that can. */
  #errorOf({ code, message }: CommandError): ReplyError {
    const admission = this.#subject?.admitUnreadable(performance.now()) ?? 'admitted';
    if (admission === 'admitted') return new ReplyError(code, message);
    const { retryAfterMs } = admission;
    return new ReplyError('rateLimited', `Rate limit exceeded. Retry in ${retryAfterMs} ms.`, retryAfterMs);
  }

  override onReply(reply: OutgoingReply): void {
    const place = 'id' in reply ? reply.id : null;
    if (place === null) return;
    const id = this.#commands[place - 1]?.id ?? null;
    const isError = reply.type === 'error';
    if (isError) this.#hasFailed = true;
    // A command without an id gets a reply only if it failed.
    const isTold = id !== null || isError;
    this.#replies[place - 1] = isTold ? textOf(this.context.json.reply({ ...reply, id })) : null;
    if (++this.#answered === this.#commands.length) this.#answer();
  }

  #answer(): void {
    const [only] = this.#commands;
    if (this.#commands.length === 1 && only instanceof CommandError && only.id === null) {
      return this.exchange.refuse(new Problem(only.code, only.message));
    }
    const text = `[${this.#replies.filter((reply) => reply !== null).join(',')}]`;
    this.exchange.answer(this.#hasFailed ? `207 ${STATUS_CODES[207]}` : ok, text);
  }
}

/** A copy: the codec reuses its buffer. */
function textOf(frame: string | Uint8Array): string {
  return typeof frame === 'string' ? frame : Buffer.from(frame).toString('utf8');
}
