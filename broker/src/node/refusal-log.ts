/**
 * Logs each refusal at level debug, to find out why a client is refused. `refusal-summary.ts` counts them at other
 * levels. Anything that a client sent may contain a secret, so the log repeats only topics, and origins of pages.
 */
import type { CloseReason, ReplyError } from '@fanfare/protocol';
import type { HttpRefusal, Requester } from '../connection/handshake.js';
import type { Caller } from '../handlers/caller.js';
import type { RefusedCommand } from '../handlers/parts.js';
import type { Problem } from '../http/problem.js';
import type { Log } from '../observe/log.js';

export class RefusalLog {
  /** Names for connections that have none, because the node does not authenticate. */
  readonly #names = new WeakMap<object, string>();
  #count = 0;

  constructor(private readonly log: Log) {}

  /** A command was answered with an error. */
  refused(caller: Caller, command: RefusedCommand | null, error: ReplyError): void {
    const topic = command !== null && 'topic' in command ? command.topic : undefined;
    const fields = { ...this.#whoIs(caller), command: command?.type, topic, code: error.code };
    this.log.debug({ event: 'refused', ...fields }, reasonOf(error));
  }

  /** The node closes a connection. */
  closed(caller: Caller, { code, reason }: CloseReason): void {
    this.log.debug({ event: 'refused', ...this.#whoIs(caller), code }, `Connection closed: ${reason}.`);
  }

  /** A handshake or another request was refused. */
  handshakeRefused(
    { origin, remoteAddress: address }: Requester,
    { status, sentence, quoted = '' }: HttpRefusal,
  ): void {
    const fields = { status, origin: isOrigin(origin) ? origin : undefined, address };
    this.log.debug(
      { event: 'handshakeRefused', ...fields },
      quoted === '' ? sentence : sentence.replaceAll(quoted, '…'),
    );
  }

  /** A request was answered with an error. */
  requestRefused({ origin, remoteAddress: address }: Requester, { status, code }: Problem): void {
    const fields = { status, code, origin: isOrigin(origin) ? origin : undefined, address };
    this.log.debug(
      { event: 'requestRefused', ...fields },
      'A request was refused. The client has received the details.',
    );
  }

  #whoIs(caller: Caller): { connection: string; subject: string | null } {
    const { connection, subject } = caller.whoIs();
    const name = connection ?? this.#names.get(caller) ?? `#${++this.#count}`;
    if (connection === null) this.#names.set(caller, name);
    return { connection: name, subject };
  }
}

/** The message, without what it quotes. */
function reasonOf({ code, message }: ReplyError): string {
  if (code === 'malformed' || code === 'unknownCommand' || code === 'invalidTopic')
    return 'The command is malformed. The client has received the details.';
  // The part behind a colon may quote the token.
  return code === 'invalidToken' ? `${message.split(': ')[0]}` : message;
}

/** Whether the text is a scheme, a host and a port, and nothing else (RFC 6454 section 6.2). */
function isOrigin(text: string): boolean {
  return text === 'null' || /^[a-z][a-z0-9+.-]{0,63}:\/\/[a-z0-9.:[\]_-]{0,255}$/i.test(text);
}
