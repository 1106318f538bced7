/** The one way in which a command is answered with an error. */
import type { CommandId, ReplyError } from '@fanfare/protocol';
import type { Caller } from './caller.js';
import type { Parts } from './parts.js';

export function replyError(
  id: CommandId,
  error: ReplyError,
  caller: Caller,
  { counters }: Pick<Parts, 'counters'>,
): void {
  counters.commandErrors++;
  if (error.code === 'unavailable') counters.commandsUnavailable++;
  else if (error.code === 'unconfirmed') counters.publicationsUnconfirmed++;
  caller.reply({ type: 'error', id, code: error.code, message: error.message, retryable: error.retryable });
}
