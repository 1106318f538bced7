/** The one way in which a command is answered with an error. */
import type { CommandId, Publish, ReplyError } from '@fanfare/protocol';
import type { Caller } from './caller.js';
import type { Parts } from './parts.js';
import { OutOfTurnError, Turns } from './turns.js';

/** `publication`: where it was a publish. */
export function replyError(
  id: CommandId,
  error: ReplyError,
  caller: Caller,
  { counters, relay }: Pick<Parts, 'counters' | 'relay'>,
  publication: Pick<Publish, 'topic' | 'messageId'> | null = null,
): void {
  counters.commandErrors++;
  if (error instanceof OutOfTurnError) counters.publicationsOutOfTurn++;
  else if (error.code === 'unavailable') counters.commandsUnavailable++;
  else if (error.code === 'unconfirmed') counters.publicationsUnconfirmed++;
  if (publication !== null && error.retryable) {
    const { topic, messageId } = publication;
    if (messageId !== null && relay.hasHistory(topic) && caller.allows('publish', topic)) {
      caller.turns ??= new Turns();
      caller.turns.refused(topic, messageId, performance.now());
    }
  }
  const { code, message, retryable, retryAfterMs } = error;
  caller.reply({ type: 'error', id, code, message, retryable, retryAfterMs });
}
