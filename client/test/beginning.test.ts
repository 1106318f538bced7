/** Subscriptions that begin with history: each publication once, in order, and none between history and what comes live. */
import { createClient, type Position, type StandardSchemaV1, type Subscription } from '@fanfare/client';
import { describe, expect, it } from 'vitest';
import { connect, failure, quick, record, take } from './harness.js';
import { startTestNode, type TestNode, until } from './test-node.js';

const json = { encoding: 'json' } as const;

/** Numbers from `first` to `last`. */
const range = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);

const at = (offset: number, epoch = 'e1'): Position => ({ epoch, offset });

/** A node whose topic `a` has the publications 1 to `count`. */
async function nodeWith(count: number, options = {}): Promise<TestNode> {
  const node = await startTestNode({ hasHistory: true, ...options });
  node.publish('a', ...range(1, count));
  return node;
}

const told = (subscription: Subscription) => ({
  subscribed: record(subscription, 'subscribed'),
  gap: record(subscription, 'gap'),
  reset: record(subscription, 'reset'),
  error: record(subscription, 'error'),
});

describe.each(['msgpack', 'json'] as const)('a client that speaks %s', (encoding) => {
  it('gets the last publications, then what comes live', async () => {
    await using node = await nodeWith(100);
    await using client = connect(node, { encoding });
    const seen: unknown[] = [];
    const subscription = client.subscribe('a', { last: 50 }, ({ data, position }) =>
      seen.push([data, position?.offset]),
    );
    const events = told(subscription);
    await subscription.ready;
    // It is ready when it has them.
    expect(seen).toEqual(range(51, 100).map((number) => [number, number]));
    node.publish('a', 101);
    await until(() => seen.length === 51);
    expect(seen.at(-1)).toEqual([101, 101]);
    expect(events).toEqual({ subscribed: [{ position: at(100), recovered: false }], gap: [], reset: [], error: [] });
  });

  it('goes on from a position that it knows', async () => {
    await using node = await nodeWith(100);
    await using client = connect(node, { encoding });
    const seen: unknown[] = [];
    const subscription = client.subscribe('a', { since: at(40), last: 3 }, ({ data }) => seen.push(data));
    const events = told(subscription);
    await subscription.ready;
    expect(seen).toEqual(range(41, 100));
    expect(events).toEqual({ subscribed: [{ position: at(100), recovered: true }], gap: [], reset: [], error: [] });
  });

  it('misses nothing and gets nothing twice while others publish all the time', async () => {
    await using node = await nodeWith(100, { maxPublications: 7 });
    await using client = connect(node, { encoding });
    const seen: unknown[][] = [[], [], []];
    // The topic goes on between each command and its answer, and behind that.
    const more = (): void => node.publish('a', ...range(node.position('a').offset + 1, node.position('a').offset + 3));
    for (const type of ['subscribe', 'history'] as const) {
      node.on(type, (_command, _connection, proceed) => {
        more();
        proceed();
        more();
      });
    }
    const subscriptions = [
      client.subscribe('a', { since: at(10) }, ({ data }) => seen[0]?.push(data)),
      client.subscribe('a', { last: 20 }, ({ data }) => seen[1]?.push(data)),
    ];
    await Promise.all(subscriptions.map(({ ready }) => ready));
    subscriptions.push(client.subscribe('a', { since: at(90) }, ({ data }) => seen[2]?.push(data)));
    await subscriptions[2]?.ready;
    more();
    await until(() => seen.every((each) => each.at(-1) === node.position('a').offset));
    const { offset } = node.position('a');
    expect(seen[0]).toEqual(range(11, offset));
    expect(seen[1]).toEqual(range(seen[1]?.[0] as number, offset));
    expect(seen[1]?.[0]).toBeLessThanOrEqual(104 - 20 + 1);
    expect(seen[2]).toEqual(range(91, offset));
  });
});

it('begins for each subscription where that wants to, also if the topic is subscribed already', async () => {
  await using node = await nodeWith(10);
  await using client = connect(node, json);
  const [live, last, since]: unknown[][] = [[], [], []];
  await client.subscribe('a', ({ data }) => live?.push(data)).ready;
  const later = [
    client.subscribe('a', { last: 2 }, ({ data }) => last?.push(data)),
    client.subscribe('a', { since: at(5) }, ({ data }) => since?.push(data)),
  ];
  await Promise.all(later.map(({ ready }) => ready));
  node.publish('a', 11);
  await until(() => [live, last, since].every((seen) => seen?.at(-1) === 11));
  expect([live, last, since]).toEqual([[11], [9, 10, 11], range(6, 11)]);
  const { commands } = await node.connection();
  expect(commands.filter(({ type }) => type === 'subscribe')).toHaveLength(1);
});

it('gets what there is where that is less, and says nothing', async () => {
  await using node = await nodeWith(10);
  node.log('a').forgotten = 7;
  await using client = connect(node, json);
  const seen: unknown[] = [];
  const subscription = client.subscribe('a', { last: 50 }, ({ data }) => seen.push(data));
  const events = told(subscription);
  await subscription.ready;
  expect(seen).toEqual([8, 9, 10]);
  const none = client.subscribe('b', { last: 50 }, ({ data }) => seen.push(data));
  await none.ready;
  expect([seen.length, events.gap, events.reset, events.error]).toEqual([3, [], [], []]);
});

it('tells of a gap where the history does not reach back', async () => {
  await using node = await nodeWith(10);
  node.log('a').forgotten = 7;
  await using client = connect(node, json);
  const seen: unknown[] = [];
  const subscription = client.subscribe('a', { since: at(2) }, ({ data }) => seen.push(data));
  subscription.on('gap', (gap) => seen.push(gap));
  const events = told(subscription);
  await subscription.ready;
  expect(seen).toEqual([{ reason: 'history', position: at(7) }, 8, 9, 10]);
  expect(events.subscribed).toEqual([{ position: at(10), recovered: false }]);
  node.log('a').forgotten = 10;
  const nothing = client.subscribe('a', { since: at(2) }, ({ data }) => seen.push(data));
  const gaps = record(nothing, 'gap');
  await nothing.ready;
  expect(gaps).toEqual([{ reason: 'history', position: at(10) }]);
});

it.each([
  ['of another history', at(3, 'e0')],
  ['of a part that was lost', at(30)],
])('tells of a reset where the position is one %s', async (_name, since) => {
  await using node = await nodeWith(10);
  await using client = connect(node, json);
  const seen: unknown[] = [];
  const subscription = client.subscribe('a', { since }, ({ data }) => seen.push(data));
  const events = told(subscription);
  await subscription.ready;
  node.publish('a', 11);
  await until(() => seen.length > 0);
  expect(seen).toEqual([11]);
  expect(events).toMatchObject({ reset: [{ position: at(10) }], gap: [], subscribed: [{ recovered: false }] });
});

it('tells of a history that begins anew while it is read', async () => {
  await using node = await nodeWith(10);
  await using client = connect(node, json);
  node.on('history', (_command, connection, proceed) => {
    const log = node.log('a');
    log.epoch = 'e2';
    log.payloads.splice(0);
    connection.resetTopic('a', at(0, 'e2'));
    node.publish('a', 'new');
    proceed();
  });
  const seen: unknown[] = [];
  const subscription = client.subscribe('a', { since: at(2) }, ({ data }) => seen.push(data));
  subscription.on('gap', ({ position }) => seen.push(['gap', position]));
  subscription.on('reset', ({ position }) => seen.push(['reset', position]));
  await until(() => seen.includes('new'));
  expect(seen).toEqual([['gap', at(10)], ['reset', at(0, 'e2')], 'new']);
});

it('says that a topic without history has none to begin with', async () => {
  await using node = await startTestNode();
  await using client = connect(node, json);
  const seen: unknown[] = [];
  for (const options of [{ last: 5 }, { since: at(5) }]) {
    const subscription = client.subscribe('a', options, ({ data }) => seen.push(data));
    const events = told(subscription);
    await subscription.ready;
    expect(events.error).toMatchObject([{ code: 'noHistory', message: 'a keeps no history to begin with.' }]);
    expect(events.gap).toEqual('since' in options ? [{ reason: 'history', position: null }] : []);
  }
  await client.publish('a', 1);
  await until(() => seen.length === 2);
});

it('does not get the last value twice, where the policy of the topic gives it to each subscriber', async () => {
  await using node = await nodeWith(10);
  node.on('subscribe', ({ id, topic }, connection) => {
    connection.topics.add(topic);
    connection.subscribed(id, topic, { position: at(10), data: [10] });
  });
  await using client = connect(node, json);
  const seen: unknown[] = [];
  await client.subscribe('a', { last: 3 }, ({ data }) => seen.push(data)).ready;
  expect(seen).toEqual([8, 9, 10]);
});

it('goes on where the connection breaks, or the node refuses for now', async () => {
  await using node = await nodeWith(50, { maxPublications: 10 });
  await using client = connect(node, json);
  let reads = 0;
  node.on('history', ({ id }, connection, proceed) => {
    reads++;
    if (reads === 2) connection.error(id, 'unavailable');
    else if (reads === 4) connection.cut();
    else proceed();
  });
  const seen: unknown[] = [];
  const subscription = client.subscribe('a', { since: at(0) }, ({ data }) => seen.push(data));
  const events = told(subscription);
  await subscription.ready;
  node.publish('a', 51);
  await until(() => seen.length === 51);
  expect(seen).toEqual(range(1, 51));
  expect(events).toMatchObject({ gap: [], reset: [], error: [] });
  expect(events.subscribed.every(({ recovered }) => recovered)).toBe(true);
  expect(node.connections).toHaveLength(2);
});

it('says why history cannot be read, and goes on live', async () => {
  await using node = await nodeWith(10);
  await using client = connect(node, json);
  node.on('history', ({ id }, connection) => connection.error(id, 'notPermitted'));
  const seen: unknown[] = [];
  const subscription = client.subscribe('a', { since: at(2) }, ({ data }) => seen.push(data));
  const events = told(subscription);
  await subscription.ready;
  node.publish('a', 11);
  await until(() => seen.length === 1);
  expect(events).toMatchObject({ error: [{ code: 'notPermitted' }], gap: [{ position: at(10) }] });
});

it('can be read with a loop, and checks data by its schema', async () => {
  await using node = await nodeWith(5);
  node.publish('a', 'wrong', 7);
  const schema: StandardSchemaV1<number> = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: async (value) =>
        typeof value === 'number' ? { value: value * 10 } : { issues: [{ message: 'No number.' }] },
    },
  };
  await using client = createClient(node.url, { ...quick, ...json, schemas: { a: schema } });
  const subscription = client.subscribe('a', { last: 4 });
  const errors = record(subscription, 'error');
  expect(await take(subscription, 3)).toEqual([40, 50, 70]);
  expect(errors).toMatchObject([{ code: 'invalidData' }]);
  node.publish('a', 8);
  expect(await take(subscription, 1)).toEqual([80]);
});

it('ends with too much for a loop that does not read', async () => {
  await using node = await nodeWith(20);
  await using client = connect(node, { ...json, maxBufferedPublications: 10 });
  const subscription = client.subscribe('a', { last: 15 });
  subscription.on('error', () => {});
  await until(() => subscription.state.name === 'unsubscribed');
  expect(await take(subscription, 10)).toEqual(range(6, 15));
  expect(await failure(take(subscription, 1))).toMatchObject({ code: 'slowConsumer' });
});

it('can be left, closed and drained before it has begun', async () => {
  await using node = await nodeWith(10);
  const seen: unknown[] = [];
  const client = connect(node, json);
  let answer = (): void => {};
  node.on('history', (_command, _connection, proceed) => {
    answer = proceed;
  });
  const left = client.subscribe('a', { last: 3 }, ({ data }) => seen.push(data));
  await (await node.connection()).received('history');
  left.unsubscribe();
  answer();
  const drained = client.subscribe('a', { last: 2 });
  await (await node.connection()).received('history', 2);
  const all = take(drained, 3);
  const draining = client.drain();
  node.publish('a', 11);
  answer();
  // The last one came before the node had confirmed the end.
  expect(await all).toEqual([9, 10, 11]);
  await draining;
  expect(seen).toEqual([]);
  const other = connect(node, json);
  other.subscribe('a', { last: 3 }, ({ data }) => seen.push(data));
  await (await node.connection(1)).received('history');
  await other.close();
  answer();
  expect(seen).toEqual([]);
});

it('refuses what makes no sense', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const subscribe = (options: object) => () => client.subscribe('a', options, () => {});
  expect(subscribe({ from: 5 })).toThrow('subscribe() has no option "from". It has since, last.');
  expect(subscribe({ last: 0 })).toThrow('last must be an integer of 1 or more, not 0.');
  expect(subscribe({ last: 1.5 })).toThrow(expect.objectContaining({ code: 'invalidOption' }));
  for (const since of [5, {}, { epoch: 'e1' }, { epoch: 'e1', offset: -1 }]) {
    expect(subscribe({ since })).toThrow('since must be a position as publications have it: { epoch, offset }.');
  }
  await client.subscribe('a', { since: null, last: undefined }, () => {}).ready;
  await client.subscribe('a', {}, () => {}).ready;
});
