/**
 * The permission that each command needs. It is checked in two places, for all commands: handlers/index.ts checks the
 * token, and session/command-gate.ts asks the hook. Handlers do not check permissions themselves, so no handler can
 * forget it.
 */
import { type Command, ReplyError } from '@fanfare/protocol';
import type { Action } from '../auth/permissions.js';
import type { Caller } from './caller.js';
import type { Parts } from './parts.js';

/** Commands that neither read nor change a topic. */
type FreeType = 'connect' | 'unsubscribe' | 'refresh' | 'ping';

/** A command that needs a permission for its topic. */
type GuardedCommand = Exclude<Command, { readonly type: FreeType }>;

/** Every command needs an entry here: null if it is free, otherwise the action that the token must grant. */
const actions: { readonly [Type in Command['type']]: Type extends FreeType ? null : Action } = {
  publish: 'publish',
  subscribe: 'subscribe',
  history: 'history',
  connect: null,
  unsubscribe: null,
  refresh: null,
  ping: null,
};

const verbs: Readonly<Record<Action, string>> = {
  publish: 'to publish to',
  subscribe: 'to subscribe to',
  history: 'to read the history of',
};

export function isGuarded(command: Command): command is GuardedCommand {
  return actions[command.type] !== null;
}

/** The action on its topic that a command needs. */
export function actionOf({ type }: GuardedCommand): Action {
  return actions[type];
}

/** Throws `notPermitted` if the token does not grant the command. */
export function permit(command: Command, caller: Caller, { counters }: Pick<Parts, 'counters'>): void {
  if (!isGuarded(command)) return;
  const { topic } = command;
  const action = actionOf(command);
  if (caller.allows(action, topic)) return;
  counters.commandsNotPermitted++;
  throw new ReplyError('notPermitted', `The token does not grant permission ${verbs[action]} ${topic}.`);
}
