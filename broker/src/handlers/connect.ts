/** `connect`: replies with the name of the node and its limits (PROTOCOL.md section 4.1). */
import type { Connect } from '@fanfare/protocol';
import type { Caller } from './caller.js';
import type { Parts } from './parts.js';

export function connect(command: Connect, caller: Caller, { greeting }: Pick<Parts, 'greeting'>): void {
  caller.reply({ type: 'connected', id: command.id, ...greeting, expiresInMs: caller.expiresInMs });
}
