/** Publications that were on their way behind a refused one do not overtake it (PROTOCOL.md 8.11). */
import { parseTopic, type Topic } from '@fanfare/protocol';
import { describe, expect, it, vi } from 'vitest';
import { PublishOrder } from '../src/handlers/publish-order.js';
import { startCluster } from './harness.js';
import { until } from './wait.js';

const [a, b] = ['a', 'b'].map((topic) => parseTopic(topic) as Topic) as [Topic, Topic];
const outOfOrder = expect.objectContaining({ code: 'unavailable' });

describe('the publish order of a connection', () => {
  const tick = (order: PublishOrder, times: number): void => {
    for (let time = 0; time < times; time++) order.tick();
  };

  it('accepts only retries on a topic after a refusal', () => {
    const order = new PublishOrder();
    order.expectRetry(a, '1');
    order.expectRetry(a, '2');
    expect(() => order.check(a, '3')).toThrow(outOfOrder);
    order.check(b, '4');
    order.check(a, '1');
    order.check(a, '3');
    expect(order.isEmpty).toBe(true);
  });

  it('stops waiting for a publication that its client has given up: after another retry, or after three ticks', () => {
    const order = new PublishOrder();
    order.expectRetry(a, '1');
    order.expectRetry(a, '2');
    order.check(a, '2');
    order.expectRetry(a, '5');
    tick(order, 2);
    expect(() => order.check(a, '6')).toThrow(outOfOrder);
    tick(order, 1);
    order.check(a, '6');
    order.check(a, '7');
  });

  it('continues to wait although time has passed while the node was blocked', () => {
    const order = new PublishOrder();
    vi.useFakeTimers({ now: 0 });
    order.expectRetry(a, '1');
    vi.advanceTimersByTime(60_000);
    vi.useRealTimers();
    tick(order, 1);
    expect(() => order.check(a, '2')).toThrow(outOfOrder);
  });

  it('remembers at most 1,024 refused publications, each for three ticks', () => {
    const order = new PublishOrder();
    for (let index = 0; index < 2_000; index++) order.expectRetry(a, String(index));
    order.expectRetry(b, '1');
    order.check(b, '2');
    tick(order, 2);
    expect(order.isEmpty).toBe(false);
    tick(order, 1);
    expect(order.isEmpty).toBe(true);
    order.expectRetry(b, '1');
    expect(() => order.check(b, '2')).toThrow(outOfOrder);
    // A later refusal does not start the wait again.
    tick(order, 2);
    order.expectRetry(b, '3');
    tick(order, 1);
    order.check(b, '4');
  });
});

it('a node refuses publications behind a refused one until the client retries that one', async () => {
  await using cluster = await startCluster({
    nodes: 2,
    env: {
      FANFARE_MAX_RELAY_BYTES: '65536',
      FANFARE_MAX_FRAME_BYTES: '131072',
      FANFARE_TOPICS: '{"fast":{"level":"fast"}}',
    },
  });
  const reader = await cluster.subscriber('t', 1);
  const writer = await cluster.connect(0);
  const publish = (messageId: string, data: unknown, topic = 't') =>
    writer.request({ type: 'publish', topic, data, messageId });
  for (const topic of ['t', 'fast'])
    expect(await publish('m1', 'x'.repeat(100_000), topic)).toMatchObject({ type: 'error', code: 'overloaded' });
  // Without history, the order is not kept.
  expect(await publish('m2', 2, 'fast')).toMatchObject({ type: 'published' });
  // As if it had been sent before the client received the refusal.
  const answer = await publish('m2', 2);
  expect(answer).toMatchObject({ type: 'error', code: 'unavailable', retryable: true });
  if (answer.type === 'error') expect(answer.message).toMatch(/^An earlier publication to this topic was refused/);
  expect(await cluster.node(0).metric('fanfare_publications_out_of_turn_total')).toBe(1);
  expect(await cluster.node(0).metric('fanfare_commands_unavailable_total')).toBe(0);
  for (const data of [1, 2, 3]) expect(await publish(`m${data}`, data)).toMatchObject({ type: 'published' });
  expect(await reader.take('t', 3)).toEqual([1, 2, 3]);
  // A publication that is never retried does not block the others forever.
  expect(await publish('m4', 'x'.repeat(100_000))).toMatchObject({ code: 'overloaded' });
  let attempts = 0;
  await until('another publication is accepted', async () => (await publish(`n${++attempts}`, 4)).type === 'published');
  expect(attempts).toBeGreaterThan(1);
});
