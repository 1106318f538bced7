/** `publish`: hand the payload to the relay; answer when the relay has. */
import type { CommandId, Position, Publish, ReplyError } from '@fanfare/protocol';
import type { Receipt } from '../relay/relay.js';
import type { Caller } from './caller.js';
import type { Parts } from './parts.js';
import { permit } from './permit.js';
import { replyError } from './reply-error.js';

export function publish(command: Publish, caller: Caller, parts: Pick<Parts, 'relay' | 'counters'>): void {
  permit('publish', command.topic, caller, parts);
  parts.counters.publicationsIn++;
  const receipt = command.id === null ? null : new PublishReceipt(command.id, caller, parts);
  parts.relay.publish(command.topic, command, command.messageId, receipt);
}

/** Turns the outcome of one publication into its reply. A class, because closures would cost two for each publication. */
class PublishReceipt implements Receipt {
  readonly #id: CommandId;
  readonly #caller: Caller;
  readonly #parts: Pick<Parts, 'counters'>;

  constructor(id: CommandId, caller: Caller, parts: Pick<Parts, 'counters'>) {
    this.#id = id;
    this.#caller = caller;
    this.#parts = parts;
  }

  accepted(position: Position | null): void {
    this.#caller.reply({ type: 'published', id: this.#id, position });
  }

  failed(error: ReplyError): void {
    replyError(this.#id, error, this.#caller, this.#parts);
  }
}
