import { isMessageId } from '@fanfare/protocol';
import { expect, it } from 'vitest';
import { createMessageId } from './message-id.js';

it('makes ids that the protocol takes, each only once', () => {
  const ids = Array.from({ length: 10_000 }, createMessageId);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.every((id) => id.length === 21 && isMessageId(id))).toBe(true);
});
