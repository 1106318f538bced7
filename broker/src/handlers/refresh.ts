/** `refresh`: replaces a token before it expires (PROTOCOL.md section 4.1). */
import type { Refresh } from '@fanfare/protocol';
import type { Caller } from './caller.js';

export async function refresh({ id, token }: Refresh, caller: Caller): Promise<void> {
  await caller.refresh(token);
  caller.reply({ type: 'refreshed', id, expiresInMs: caller.expiresInMs });
}
