/** Publications that were under way behind a refused one do not overtake it (PROTOCOL.md 8.11). */
import { parseTopic, type Topic } from '@fanfare/protocol';
import { describe, expect, it, vi } from 'vitest';
import { Turns } from '../src/handlers/turns.js';
import { startCluster } from './harness.js';
import { until } from './wait.js';

const [a, b] = ['a', 'b'].map((topic) => parseTopic(topic) as Topic) as [Topic, Topic];
const outOfTurn = expect.objectContaining({ code: 'unavailable' });

describe('the turns of a connection', () => {
  const look = (turns: Turns, times: number): void => {
    for (let time = 0; time < times; time++) turns.look();
  };

  it('let nothing to the topic pass but what was refused', () => {
    const turns = new Turns();
    turns.refused(a, '1');
    turns.refused(a, '2');
    expect(() => turns.take(a, '3')).toThrow(outOfTurn);
    turns.take(b, '4');
    turns.take(a, '1');
    turns.take(a, '3');
    expect(turns.isEmpty).toBe(true);
  });

  it('do not wait for a publication that its client has given up: another refused one, or three looks, will do', () => {
    const turns = new Turns();
    turns.refused(a, '1');
    turns.refused(a, '2');
    turns.take(a, '2');
    turns.refused(a, '5');
    look(turns, 2);
    expect(() => turns.take(a, '6')).toThrow(outOfTurn);
    look(turns, 1);
    turns.take(a, '6');
    turns.take(a, '7');
  });

  it('let nothing pass because time has passed in which the node stood still', () => {
    const turns = new Turns();
    vi.useFakeTimers({ now: 0 });
    turns.refused(a, '1');
    vi.advanceTimersByTime(60_000);
    vi.useRealTimers();
    look(turns, 1);
    expect(() => turns.take(a, '2')).toThrow(outOfTurn);
  });

  it('remember 1,024 refused ones at most, and each for three looks', () => {
    const turns = new Turns();
    for (let index = 0; index < 2_000; index++) turns.refused(a, String(index));
    turns.refused(b, '1');
    turns.take(b, '2');
    look(turns, 2);
    expect(turns.isEmpty).toBe(false);
    look(turns, 1);
    expect(turns.isEmpty).toBe(true);
    turns.refused(b, '1');
    expect(() => turns.take(b, '2')).toThrow(outOfTurn);
    // What is refused later begins no new wait.
    look(turns, 2);
    turns.refused(b, '3');
    look(turns, 1);
    turns.take(b, '4');
  });
});

it('a publication behind one that was refused is refused until that one comes again', async () => {
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
  // Where there is no history, a publication is not always repeated.
  expect(await publish('m2', 2, 'fast')).toMatchObject({ type: 'published' });
  // As where it had been sent before the client heard of the refusal.
  const answer = await publish('m2', 2);
  expect(answer).toMatchObject({ type: 'error', code: 'unavailable', retryable: true });
  if (answer.type === 'error') expect(answer.message).toMatch(/^An earlier publication to this topic was refused/);
  expect(await cluster.node(0).metric('fanfare_publications_out_of_turn_total')).toBe(1);
  expect(await cluster.node(0).metric('fanfare_commands_unavailable_total')).toBe(0);
  for (const data of [1, 2, 3]) expect(await publish(`m${data}`, data)).toMatchObject({ type: 'published' });
  expect(await reader.take('t', 3)).toEqual([1, 2, 3]);
  // One that never comes again does not hold up the others for good.
  expect(await publish('m4', 'x'.repeat(100_000))).toMatchObject({ code: 'overloaded' });
  let attempts = 0;
  await until('another one is accepted', async () => (await publish(`n${++attempts}`, 4)).type === 'published');
  expect(attempts).toBeGreaterThan(1);
});
