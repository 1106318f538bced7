/** Checks the permission for each command, then calls its handler. An error becomes the reply. */
import { type Command, impossible, ReplyError } from '@fanfare/protocol';
import type { Caller } from './caller.js';
import { connect } from './connect.js';
import { history } from './history.js';
import type { Parts } from './parts.js';
import { permit } from './permit.js';
import { ping } from './ping.js';
import { publish } from './publish.js';
import { refresh } from './refresh.js';
import { replyError } from './reply-error.js';
import { subscribe } from './subscribe.js';
import { unsubscribe } from './unsubscribe.js';

/** Carries out one command. Never throws. */
export function handle(command: Command, caller: Caller, parts: Parts): void {
  try {
    act(command, caller, parts)?.catch((error: unknown) => answer(error, command, caller, parts));
  } catch (error) {
    answer(error, command, caller, parts);
  }
}

function act(command: Command, caller: Caller, parts: Parts): Promise<void> | undefined {
  permit(command, caller, parts);
  switch (command.type) {
    case 'publish':
      publish(command, caller, parts);
      return;
    case 'subscribe':
      return subscribe(command, caller, parts);
    case 'unsubscribe':
      unsubscribe(command, caller);
      return;
    case 'history':
      return history(command, caller, parts);
    case 'ping':
      ping(command, caller);
      return;
    case 'refresh':
      return refresh(command, caller);
    case 'connect':
      connect(command, caller, parts);
      return;
    default:
      return impossible(command);
  }
}

function answer(error: unknown, command: Command, caller: Caller, parts: Parts): void {
  if (error instanceof ReplyError) return replyError(command.id, error, caller, parts, command);
  parts.onBug(error);
  const bug = new ReplyError('internal', 'Internal error. See the log of the node.');
  replyError(command.id, bug, caller, parts, command);
}
