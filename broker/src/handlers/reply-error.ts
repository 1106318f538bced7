/** The only place where a command is answered with an error. */
import type { CommandId, ReplyError } from '@fanfare/protocol';
import type { Caller } from './caller.js';
import type { Parts, RefusedCommand } from './parts.js';
import { OutOfTurnError } from './publish-order.js';

/** `command`: null if it could not be read. */
export function replyError(
  id: CommandId,
  error: ReplyError,
  caller: Caller,
  { counters, relay, onRefused }: Pick<Parts, 'counters' | 'relay' | 'onRefused'>,
  command: RefusedCommand | null = null,
): void {
  counters.commandErrors++;
  if (error instanceof OutOfTurnError) counters.publicationsOutOfTurn++;
  else if (error.code === 'unavailable') counters.commandsUnavailable++;
  else if (error.code === 'unconfirmed') counters.publicationsUnconfirmed++;
  if (command?.type === 'publish' && error.retryable && command.messageId !== null) {
    const { topic, messageId } = command;
    if (relay.hasHistory(topic) && caller.allows('publish', topic)) caller.expectRetry(topic, messageId);
  }
  onRefused?.(caller, command, error);
  const { code, message, retryable, retryAfterMs } = error;
  caller.reply({ type: 'error', id, code, message, retryable, retryAfterMs });
}
