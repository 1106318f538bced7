/** Topics that a fault must not affect: when they count as served. */
import { expect, it } from 'vitest';
import type { VerifyTopic } from '../src/checker/numbered.js';
import { UnaffectedTopics } from '../src/checker/unaffected-topics.js';

const a: VerifyTopic = 'verify.a';
const b: VerifyTopic = 'verify.b';
const other: VerifyTopic = 'verify.other';

it('are served once each has an acknowledgement of a publication that was sent since the fault began', () => {
  const topics = new UnaffectedTopics(new Set([a, b]));
  const sentBeforeMs = performance.now();
  topics.settled(a, 'acknowledged', sentBeforeMs);
  topics.faultBegins();
  const sentMs = performance.now();
  topics.settled(a, 'acknowledged', sentBeforeMs - 1);
  topics.settled(b, 'refused', sentMs);
  topics.settled(other, 'acknowledged', sentMs);
  expect([...topics.unserved]).toEqual([a, b]);
  topics.settled(b, 'acknowledged', sentMs);
  expect([...topics.unserved]).toEqual([a]);
  topics.settled(a, 'acknowledged', sentMs);
  expect(topics.unserved.size).toBe(0);
  expect(topics.report).toMatchObject({ topics: 2, failed: 1 });
});
