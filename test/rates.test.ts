/**
 * Clients that send more than the limits of their user: everything arrives, in order, and the node closes none of them.
 * Most of the time they wait, so tests run at the same time unless they count refusals.
 */
import { type Client, type ClientEvents, createClient, type FanfareError } from '@fanfare/client';
import { describe, expect, it, vi } from 'vitest';
import { startNode } from '../broker/test/harness.js';
import { env, tokenOf } from './tokens.js';

const permissions = { publish: ['>'], subscribe: ['>'] };
const getToken = (): string => tokenOf('ada', permissions, 600);

/** How often the node has ended the connection. */
function closes(client: Client): ClientEvents['state'][] {
  const ended: ClientEvents['state'][] = [];
  client.on('state', (state) => {
    if (state.name !== 'connected' && state.code !== 'connectCalled') ended.push(state);
  });
  return ended;
}

const rates = { FANFARE_PUBLISH_RATE: '300', FANFARE_COMMAND_RATE: '200', FANFARE_MAX_SUBSCRIPTIONS: '600' };

describe.each(['msgpack', 'json'] as const)('a client that speaks %s', (encoding) => {
  it.concurrent('publishes three bursts at once and is not closed', async ({ expect }) => {
    await using node = await startNode({ ...env, ...rates });
    await using client = createClient(node.url, { getToken, encoding });
    const ended = closes(client);
    const seen: unknown[] = [];
    await client.subscribe('t', ({ data }) => seen.push(data)).ready;
    const numbers = Array.from({ length: 1_200 }, (_, index) => index);
    await Promise.all(numbers.map((number) => client.publish('t', number, { timeoutMs: 90_000 })));
    await expect.poll(() => seen.length).toBe(numbers.length);
    expect(seen).toEqual(numbers);
    expect(ended).toEqual([]);
  });
});

it.concurrent('a client publishes to many topics, each in order', async ({ expect }) => {
  await using node = await startNode({ ...env, ...rates });
  await using client = createClient(node.url, { getToken });
  const ended = closes(client);
  const seen = new Map<string, unknown[]>();
  const topics = Array.from({ length: 50 }, (_, index) => `t.${index}`);
  const subscriptions = topics.map((topic) =>
    client.subscribe(topic, ({ data }) => seen.set(topic, [...(seen.get(topic) ?? []), data])),
  );
  await Promise.all(subscriptions.map(({ ready }) => ready));
  const numbers = Array.from({ length: 20 }, (_, index) => index);
  const published = topics.flatMap((topic) => numbers.map((number) => client.publish(topic, number)));
  await Promise.all(published);
  await expect.poll(() => [...seen.values()].flat().length).toBe(1_000);
  for (const topic of topics) expect(seen.get(topic)).toEqual(numbers);
  expect(ended).toEqual([]);
});

it.concurrent('many clients of one user can subscribe to more topics than one burst of commands', async ({
  expect,
}) => {
  await using node = await startNode({ ...env, FANFARE_COMMAND_RATE: '300', FANFARE_MAX_SUBSCRIPTIONS: '200' });
  const clients = Array.from({ length: 15 }, () => createClient(node.url, { getToken }));
  const ended = clients.map(closes);
  const subscriptions = clients.flatMap((client) =>
    Array.from({ length: 100 }, (_, index) => client.subscribe(`room.${index}`, () => {})),
  );
  await Promise.all(subscriptions.map(({ ready }) => ready));
  expect(ended.flat()).toEqual([]);
  await Promise.all(clients.map((client) => client.close()));
});

it.concurrent('a client that leaves and joins topics faster than its rate ends up with the right subscriptions', async ({
  expect,
}) => {
  await using node = await startNode({ ...env, FANFARE_COMMAND_RATE: '40', FANFARE_MAX_SUBSCRIPTIONS: '20' });
  await using client = createClient(node.url, { getToken });
  const ended = closes(client);
  const topics = Array.from({ length: 10 }, (_, index) => `t.${index}`);
  const seen: unknown[] = [];
  let subscriptions = topics.map((topic) => client.subscribe(topic, ({ data }) => seen.push(data)));
  for (let round = 0; round < 15; round++) {
    await new Promise((resolve) => setImmediate(resolve));
    for (const subscription of subscriptions) subscription.unsubscribe();
    subscriptions = topics.map((topic) => client.subscribe(topic, ({ data }) => seen.push(data)));
  }
  await Promise.all(subscriptions.map(({ ready }) => ready));
  await using writer = createClient(node.url, { getToken: () => tokenOf('bob', permissions, 600) });
  await Promise.all(topics.map((topic) => writer.publish(topic, topic)));
  await expect.poll(() => seen.toSorted()).toEqual(topics.toSorted());
  expect(subscriptions.map(({ state }) => state.name)).toEqual(topics.map(() => 'subscribed'));
  expect(ended).toEqual([]);
});

it.each([2, 5])('%i clients of one user publish three bursts at once and are not closed', async (count) => {
  await using node = await startNode({ ...env, FANFARE_PUBLISH_RATE: '100' });
  const debugged = vi.spyOn(console, 'debug').mockImplementation(() => {});
  const clients = Array.from({ length: count }, () => createClient(node.url, { getToken, debug: true }));
  const ended = clients.map(closes);
  const published = clients.flatMap((client, index) =>
    Array.from({ length: 600 / count }, (_, number) => client.publish(`t.${index}`, number, { timeoutMs: 90_000 })),
  );
  const outcomes = await Promise.allSettled(published);
  expect(outcomes.map(({ status }) => status)).toEqual(published.map(() => 'fulfilled'));
  expect(ended.flat()).toEqual([]);
  const refusals = debugged.mock.calls.filter(([, , , type]) => type === 'error').length;
  // Some refusals are needed to find the pace; a third of the number that closes a connection is the most.
  expect(refusals).toBeGreaterThan(0);
  expect(refusals).toBeLessThan(330);
  await Promise.all(clients.map((client) => client.close()));
  debugged.mockRestore();
});

it('a client that mixes acknowledged and unacknowledged publications gets an error for each one that is lost', async () => {
  await using node = await startNode({ ...env, ...rates });
  await using client = createClient(node.url, { getToken });
  const ended = closes(client);
  const errors: FanfareError[] = [];
  client.on('error', (error) => errors.push(error));
  const seen: unknown[] = [];
  await client.subscribe('t', ({ data }) => seen.push(data)).ready;
  for (let number = 0; number < 1_500; number++) client.send('t', number);
  const published = Array.from({ length: 100 }, (_, index) => client.publish('t', `p${index}`, { timeoutMs: 90_000 }));
  await Promise.all(published);
  await expect.poll(() => seen.filter((data) => typeof data === 'string').length).toBe(100);
  // A send that was refused before the client knew the rate is lost; an error event reports each.
  await expect.poll(() => seen.length + errors.length).toBe(1_600);
  expect(new Set(errors.map(({ code }) => code))).toEqual(new Set(errors.length > 0 ? ['rateLimited'] : []));
  expect(errors.length).toBeLessThan(500);
  expect(ended).toEqual([]);
});
