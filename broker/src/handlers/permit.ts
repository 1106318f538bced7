/** The one way in which a command is refused because the token does not grant it. */
import { ReplyError, type Topic } from '@fanfare/protocol';
import type { Action } from '../auth/permissions.js';
import type { Caller } from './caller.js';
import type { Parts } from './parts.js';

const verbs: Readonly<Record<Action, string>> = {
  publish: 'to publish to',
  subscribe: 'to subscribe to',
  presence: 'to see who is in',
  history: 'to read the history of',
};

/** Throws `notPermitted`. */
export function permit(action: Action, topic: Topic, caller: Caller, { counters }: Pick<Parts, 'counters'>): void {
  if (caller.allows(action, topic)) return;
  counters.commandsNotPermitted++;
  throw new ReplyError('notPermitted', `Your token does not permit ${verbs[action]} ${topic}.`);
}
