import { isMessageId } from '@fanfare/protocol';
import { expect, it } from 'vitest';
import { messageIds } from './message-id.js';

it('the client makes unique message ids that are valid in the protocol', () => {
  const sources = Array.from({ length: 100 }, messageIds);
  const ids = sources.flatMap((next) => Array.from({ length: 100 }, next));
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.every((id) => id.length <= 22 && isMessageId(id))).toBe(true);
});
