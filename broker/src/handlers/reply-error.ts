/** The one way in which a command is answered with an error. */
import type { CommandId, ReplyError } from '@fanfare/protocol';
import type { Caller } from './caller.js';
import type { Parts, RefusedCommand } from './parts.js';
import { OutOfTurnError, Turns } from './turns.js';

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
  if (command?.type === 'publish' && error.retryable) {
    const { topic, messageId } = command;
    if (messageId !== null && relay.hasHistory(topic) && caller.allows('publish', topic)) {
      caller.turns ??= new Turns();
      caller.turns.refused(topic, messageId);
    }
  }
  onRefused?.(caller, command, error);
  const { code, message, retryable, retryAfterMs } = error;
  caller.reply({ type: 'error', id, code, message, retryable, retryAfterMs });
}
