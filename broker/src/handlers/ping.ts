/** `ping`: replies `pong`. */
import type { Ping } from '@fanfare/protocol';
import type { Caller } from './caller.js';

export function ping(command: Ping, caller: Caller): void {
  caller.reply({ type: 'pong', id: command.id });
}
