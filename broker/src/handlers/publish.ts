/** `publish`: hands the payload to the relay, and replies when the relay has accepted or refused it. */
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
  if (messageId !== null) caller.publishOrder?.check(topic, messageId);
  const receipt = id === null ? null : new PublishReceipt(id, topic, messageId, caller, parts);
  const scoped = messageId === null ? null : scopedId(caller.idScope, messageId);
  parts.relay.publish(topic, command, scoped, receipt, caller.payer);
}

/**
 * Replies with the outcome of one publication. A class, because closures would mean two objects for each publication.
 */
class PublishReceipt implements Receipt {
  constructor(
    private readonly id: CommandId,
    private readonly topic: Topic,
    private readonly messageId: string | null,
    private readonly caller: Caller,
    private readonly parts: Pick<Parts, 'counters' | 'relay' | 'onRefused'>,
  ) {}

  accepted(position: Position | null, isDuplicate = false): void {
    this.caller.reply({ type: 'published', id: this.id, position, isDuplicate });
  }

  failed(error: ReplyError): void {
    const command = { type: 'publish', topic: this.topic, messageId: this.messageId } as const;
    replyError(this.id, error, this.caller, this.parts, command);
  }
}
