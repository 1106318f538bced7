/** `publish`: hand the payload to the relay; answer when the relay has. */
import { type CommandId, type Position, type Publish, ReplyError, type Topic } from '@fanfare/protocol';
import type { Receipt } from '../relay/relay.js';
import { scopedId } from '../relay/scoped-id.js';
import type { Caller } from './caller.js';
import type { Parts } from './parts.js';
import { replyError } from './reply-error.js';

export function publish(
  command: Publish,
  caller: Caller,
  parts: Pick<Parts, 'relay' | 'counters' | 'onRefused'>,
): void {
  const { id, topic, messageId, repeat } = command;
  if (repeat && !parts.relay.hasHistory(topic)) {
    throw new ReplyError(
      'noHistory',
      `${topic} keeps no history, so the node cannot detect a duplicate. The publication was not repeated.`,
    );
  }
  parts.counters.publicationsIn++;
  if (caller.turns !== null && messageId !== null) caller.turns.take(topic, messageId);
  const receipt = id === null ? null : new PublishReceipt(id, topic, messageId, caller, parts);
  const scoped = messageId === null ? null : scopedId(caller.idScope, messageId);
  parts.relay.publish(topic, command, scoped, receipt, caller.payer);
}

/** Turns the outcome of one publication into its reply. A class, because closures would cost two for each publication. */
class PublishReceipt implements Receipt {
  readonly #id: CommandId;
  readonly #topic: Topic;
  readonly #messageId: string | null;
  readonly #caller: Caller;
  readonly #parts: Pick<Parts, 'counters' | 'relay' | 'onRefused'>;

  constructor(
    id: CommandId,
    topic: Topic,
    messageId: string | null,
    caller: Caller,
    parts: Pick<Parts, 'counters' | 'relay' | 'onRefused'>,
  ) {
    this.#id = id;
    this.#topic = topic;
    this.#messageId = messageId;
    this.#caller = caller;
    this.#parts = parts;
  }

  accepted(position: Position | null): void {
    this.#caller.reply({ type: 'published', id: this.#id, position });
  }

  failed(error: ReplyError): void {
    const command = { type: 'publish', topic: this.#topic, messageId: this.#messageId } as const;
    replyError(this.#id, error, this.#caller, this.#parts, command);
  }
}
