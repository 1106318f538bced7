/** At level debug, each refusal by itself: for whoever asks why a client is refused. `refusals.ts` counts them for everybody else. */
import type { CloseReason, ReplyError } from '@fanfare/protocol';
import type { Refused, Visit } from './connection/upgrade.js';
import type { Caller } from './handlers/caller.js';
import type { RefusedCommand } from './handlers/parts.js';
import type { Log } from './log.js';

export class RefusalLog {
  readonly #log: Log;
  /** Names of connections that have none, because nobody is asked for a token. */
  readonly #names = new WeakMap<object, string>();
  #count = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  /** A command is answered with an error. */
  refused(caller: Caller, command: RefusedCommand | null, { code, message }: ReplyError): void {
    const topic = command !== null && 'topic' in command ? command.topic : undefined;
    const fields = { ...this.#whoIs(caller), command: command?.type, topic, code };
    this.#log.debug({ event: 'refused', ...fields }, message);
  }

  /** A connection is closed. */
  closed(caller: Caller, { code, reason }: CloseReason): void {
    this.#log.debug({ event: 'refused', ...this.#whoIs(caller), code }, `The connection is closed: ${reason}.`);
  }

  /** A handshake, or another request, is not what it has to be. */
  handshakeRefused({ origin, address }: Visit, { status, sentence }: Refused): void {
    this.#log.debug({ event: 'handshakeRefused', status, origin, address }, sentence);
  }

  #whoIs(caller: Caller): { connection: string; subject: string | null } {
    const { connection, subject } = caller.whoIs();
    const name = connection ?? this.#names.get(caller) ?? `#${++this.#count}`;
    if (connection === null) this.#names.set(caller, name);
    return { connection: name, subject };
  }
}
