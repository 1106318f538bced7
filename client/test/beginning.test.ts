/**
 * Subscriptions that begin with history: each publication once, in order, and none missing between history and live
 * publications.
 */
import { createClient, type Position, type StandardSchemaV1, type Subscription } from '@fanfare/client';
import { emptyRun } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import { maxReads } from '../src/reads.js';
import { connect, failure, quick, record, take } from './harness.js';
import { startTestNode, type TestNode, until } from './test-node.js';

const json = { encoding: 'json' } as const;

const emptyPage = { type: 'history', first: null, publications: emptyRun } as const;

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

const recordEvents = (subscription: Subscription) => ({
  subscribed: record(subscription, 'subscribed'),
  gap: record(subscription, 'gap'),
  reset: record(subscription, 'reset'),
  error: record(subscription, 'error'),
});

describe.each(['msgpack', 'json'] as const)('a client that speaks %s', (encoding) => {
  it('receives the last publications, then live ones', async () => {
    await using node = await nodeWith(100);
    await using client = connect(node, { encoding });
    const seen: unknown[] = [];
    const subscription = client.subscribe('a', { last: 50 }, ({ data, position }) =>
      seen.push([data, position?.offset]),
    );
    const events = recordEvents(subscription);
    await subscription.ready;
    // The subscription is ready once it has them.
    expect(seen).toEqual(range(51, 100).map((number) => [number, number]));
    node.publish('a', 101);
    await until(() => seen.length === 51);
    expect(seen.at(-1)).toEqual([101, 101]);
    expect(events).toEqual({ subscribed: [{ position: at(100), recovered: false }], gap: [], reset: [], error: [] });
  });

  it('continues from a known position', async () => {
    await using node = await nodeWith(100);
    await using client = connect(node, { encoding });
    const seen: unknown[] = [];
    const subscription = client.subscribe('a', { since: at(40), last: 3 }, ({ data }) => seen.push(data));
    const events = recordEvents(subscription);
    await subscription.ready;
    expect(seen).toEqual(range(41, 100));
    expect(events).toEqual({ subscribed: [{ position: at(100), recovered: true }], gap: [], reset: [], error: [] });
  });

  it('receives each publication once while others publish all the time', async () => {
    await using node = await nodeWith(100, { maxPublications: 7 });
    await using client = connect(node, { encoding });
    const seen: unknown[][] = [[], [], []];
    // Others publish between each command and its reply, and after the reply.
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

it('each subscription begins where it asks to, even if the client is already subscribed to the topic', async () => {
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

it('a subscription receives fewer publications, without an event, if the history is shorter than "last"', async () => {
  await using node = await nodeWith(10);
  node.log('a').forgotten = 7;
  await using client = connect(node, json);
  const seen: unknown[] = [];
  const subscription = client.subscribe('a', { last: 50 }, ({ data }) => seen.push(data));
  const events = recordEvents(subscription);
  await subscription.ready;
  expect(seen).toEqual([8, 9, 10]);
  const none = client.subscribe('b', { last: 50 }, ({ data }) => seen.push(data));
  await none.ready;
  expect([seen.length, events.gap, events.reset, events.error]).toEqual([3, [], [], []]);
});

it('a subscription gets a gap event if the history begins after its position', async () => {
  await using node = await nodeWith(10);
  node.log('a').forgotten = 7;
  await using client = connect(node, json);
  const seen: unknown[] = [];
  const subscription = client.subscribe('a', { since: at(2) }, ({ data }) => seen.push(data));
  subscription.on('gap', (gap) => seen.push(gap));
  const events = recordEvents(subscription);
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
])('a subscription gets a reset event if its position is one %s', async (_name, since) => {
  await using node = await nodeWith(10);
  await using client = connect(node, json);
  const seen: unknown[] = [];
  const subscription = client.subscribe('a', { since }, ({ data }) => seen.push(data));
  const events = recordEvents(subscription);
  await subscription.ready;
  node.publish('a', 11);
  await until(() => seen.length > 0);
  expect(seen).toEqual([11]);
  expect(events).toMatchObject({ reset: [{ position: at(10) }], gap: [], subscribed: [{ recovered: false }] });
});

it('a subscription gets a reset event if the epoch changes while its history is read', async () => {
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
  expect(seen).toEqual([['reset', at(0, 'e2')], 'new']);
});

it('a subscription gets an error if the topic keeps no history to begin with', async () => {
  await using node = await startTestNode();
  await using client = connect(node, json);
  const seen: unknown[] = [];
  for (const options of [{ last: 5 }, { since: at(5) }]) {
    const subscription = client.subscribe('a', options, ({ data }) => seen.push(data));
    const events = recordEvents(subscription);
    await subscription.ready;
    expect(events.error).toMatchObject([{ code: 'noHistory', message: 'a keeps no history to begin with.' }]);
    expect(events.gap).toEqual('since' in options ? [{ reason: 'history', position: null }] : []);
  }
  await client.publish('a', 1);
  await until(() => seen.length === 2);
});

it('a subscription receives the last value once, even if the topic also sends it to each subscriber', async () => {
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

it('a subscription continues its history after a broken connection or a temporary refusal', async () => {
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
  const events = recordEvents(subscription);
  await subscription.ready;
  node.publish('a', 51);
  await until(() => seen.length === 51);
  expect(seen).toEqual(range(1, 51));
  expect(events).toMatchObject({ gap: [], reset: [], error: [{ code: 'unavailable' }] });
  expect(events.subscribed.every(({ recovered }) => recovered)).toBe(true);
  expect(node.connections).toHaveLength(2);
});

it('a subscription reports why its history cannot be read, and continues live', async () => {
  await using node = await nodeWith(10);
  await using client = connect(node, json);
  node.on('history', ({ id }, connection) => connection.error(id, 'notPermitted'));
  const seen: unknown[] = [];
  const subscription = client.subscribe('a', { since: at(2) }, ({ data }) => seen.push(data));
  const events = recordEvents(subscription);
  await subscription.ready;
  node.publish('a', 11);
  await until(() => seen.length === 1);
  expect(events).toMatchObject({ error: [{ code: 'notPermitted' }], gap: [{ position: at(10) }] });
});

it('a loop reads a subscription that begins with history, and a schema checks its data', async () => {
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

it('a subscription waits for a slow loop, and is ready before the loop has read everything', async () => {
  await using node = await nodeWith(1_000);
  await using client = connect(node, { ...json, maxBufferedPublications: 100 });
  const subscription = client.subscribe('a', { last: 900 });
  const events = recordEvents(subscription);
  await subscription.ready;
  const connection = await node.connection();
  // More live publications than the loop and the client may hold.
  node.publish('a', ...range(1_001, 1_500));
  // The reply to this publish arrives after all pushes.
  await client.publish('other', 1);
  const asked = (): number => connection.commands.filter(({ type }) => type === 'history').length;
  const before = asked();
  expect(await take(subscription, 1)).toEqual([101]);
  await client.publish('other', 1);
  expect(asked()).toBe(before);
  for (let next = 102; next <= 1_500; next++) {
    expect(await take(subscription, 1)).toEqual([next]);
    // One turn of the event loop for each publication.
    await new Promise(setImmediate);
  }
  expect(asked()).toBeGreaterThan(before);
  await until(() => events.subscribed.length === 1);
  expect(events).toEqual({ subscribed: [{ position: at(1_500), recovered: false }], gap: [], reset: [], error: [] });
});

it('a subscription ends with slowConsumer if its loop does not read the live publications', async () => {
  await using node = await nodeWith(5);
  await using client = connect(node, { ...json, maxBufferedPublications: 10 });
  const subscription = client.subscribe('a', { last: 4 });
  subscription.on('error', () => {});
  await until(() => subscription.state.name === 'subscribed');
  node.publish('a', ...range(6, 20));
  await until(() => subscription.state.name === 'unsubscribed');
  expect(await take(subscription, 10)).toEqual(range(2, 11));
  expect(await failure(take(subscription, 1))).toMatchObject({ code: 'slowConsumer' });
});

describe.each([
  ['last', { last: 40 }],
  ['since', { since: at(0) }],
])('a subscription with %s', (_name, options) => {
  it('gets a gap event if the history is trimmed while it is read', async () => {
    await using node = await nodeWith(40, { maxPublications: 10 });
    await using client = connect(node, json);
    const seen: unknown[] = [];
    let reads = 0;
    node.on('history', (_command, _connection, proceed) => {
      if (++reads === 2) node.log('a').forgotten = 30;
      proceed();
    });
    const subscription = client.subscribe('a', options, ({ data }) => seen.push(data));
    subscription.on('gap', (gap) => seen.push(gap));
    const events = recordEvents(subscription);
    await subscription.ready;
    expect(seen).toEqual([...range(1, 10), { reason: 'history', position: at(30) }, ...range(31, 40)]);
    expect(events.subscribed).toEqual([{ position: at(40), recovered: false }]);
  });

  it('gets a gap event if the rest of the history is gone when the client asks for it', async () => {
    await using node = await nodeWith(40, { maxPublications: 10 });
    await using client = connect(node, json);
    const seen: unknown[] = [];
    let reads = 0;
    node.on('history', (_command, _connection, proceed) => {
      if (++reads === 2) {
        node.publish('a', 41, 42);
        node.log('a').forgotten = 42;
      }
      proceed();
    });
    const subscription = client.subscribe('a', options, ({ data }) => seen.push(data));
    subscription.on('gap', (gap) => seen.push(gap));
    await subscription.ready;
    expect(seen).toEqual([...range(1, 10), { reason: 'history', position: at(40) }, 41, 42]);
  });

  it('asks again if the node lags', async () => {
    await using node = await nodeWith(40);
    await using client = connect(node, json);
    const seen: unknown[] = [];
    let lags = 2;
    node.on('history', ({ id, topic }, connection, proceed) => {
      if (lags-- > 0) connection.reply({ ...emptyPage, id, topic, position: at(2), recovered: true });
      else proceed();
    });
    const subscription = client.subscribe('a', options, ({ data }) => seen.push(data));
    const events = recordEvents(subscription);
    await subscription.ready;
    expect(seen).toEqual(range(1, 40));
    expect(events).toMatchObject({ gap: [], reset: [], error: [] });
  });
});

it('a subscription gets a gap event if live publications are lost before its first one', async () => {
  await using node = await nodeWith(10);
  node.log('a').forgotten = 10;
  await using client = connect(node, json);
  node.on('history', (_command, connection, proceed) => {
    node.reset('history');
    node.isLost = ({ offset }) => offset <= 12;
    node.publish('a', 11, 12);
    node.log('a').forgotten = 12;
    connection.gap('a', at(12));
    proceed();
  });
  const seen: unknown[] = [];
  const subscription = client.subscribe('a', { last: 5 }, ({ data }) => seen.push(data));
  subscription.on('gap', ({ position }) => seen.push(position));
  await subscription.ready;
  node.publish('a', 13);
  await until(() => seen.length === 2);
  expect(seen).toEqual([at(12), 13]);
});

it('a subscription continues from a position that the client itself has not reached yet', async () => {
  await using node = await nodeWith(10);
  await using client = connect(node, json);
  const live: unknown[] = [];
  const seen: unknown[] = [];
  await client.subscribe('a', ({ data }) => live.push(data)).ready;
  node.on('publish', (_command, connection, proceed) => {
    // The reply arrives before the push.
    node.isLost = (_position, to) => to === connection;
    proceed();
    node.isLost = null;
  });
  const { position } = await client.publish('a', 11);
  const subscription = client.subscribe('a', { since: position }, ({ data }) => seen.push(data));
  const events = recordEvents(subscription);
  await subscription.ready;
  node.publish('a', 12);
  await until(() => live.length === 2 && seen.length === 1);
  expect([live, seen]).toEqual([[11, 12], [12]]);
  expect(events).toMatchObject({ gap: [], reset: [], error: [], subscribed: [{ recovered: true }] });
  // A position that the history has lost.
  const lost = client.subscribe('a', { since: at(30) }, ({ data }) => seen.push(data));
  const resets = record(lost, 'reset');
  await lost.ready;
  expect(resets).toEqual([{ position: at(12) }]);
  node.publish('a', 13);
  await until(() => seen.length === 3);
  expect(seen).toEqual([12, 13, 13]);
});

it('a subscription reports each refusal of its history, and waits before it asks again', async () => {
  await using node = await nodeWith(10);
  await using client = connect(node, {
    ...json,
    reconnectBaseDelayMs: 60_000,
    reconnectMaxDelayMs: 60_000,
    random: () => 0.99,
  });
  await client.connect();
  node.on('history', ({ id }, connection) => connection.error(id, 'unavailable'));
  const subscription = client.subscribe('a', { last: 5 }, () => {});
  const events = recordEvents(subscription);
  await until(() => events.error.length === 1);
  // If the client had asked again at once, that command would arrive before this one.
  await client.publish('other', 1);
  expect(await (await node.connection()).received('history')).toHaveLength(1);
  expect(events.error).toMatchObject([{ code: 'unavailable' }]);
  expect(subscription.state).toMatchObject({ name: 'subscribing', error: { code: 'unavailable' } });
});

it('the client reconnects if a history command gets no reply', async () => {
  await using node = await nodeWith(10);
  await using client = connect(node, { ...json, timeoutMs: 100 });
  await client.connect();
  const states = record(client, 'state');
  node.on('history', () => node.reset('history'));
  const seen: unknown[] = [];
  const subscription = client.subscribe('a', { last: 5 }, ({ data }) => seen.push(data));
  await subscription.ready;
  expect(seen).toEqual(range(6, 10));
  expect(states[0]).toMatchObject({ name: 'connecting', code: 'replyTimeout' });
});

it('subscriptions and other history reads take turns, so that the node refuses none', async () => {
  await using node = await nodeWith(10);
  await using client = connect(node, json);
  const unanswered: Array<() => void> = [];
  let most = 0;
  node.on('history', (_command, _connection, proceed) => {
    unanswered.push(proceed);
    most = Math.max(most, unanswered.length);
  });
  const topics = range(1, 10).map((number) => `t${number}`);
  for (const topic of topics) node.publish(topic, ...range(1, 5));
  const seen: unknown[] = [];
  const subscriptions = topics.map((topic) => client.subscribe(topic, { last: 5 }, ({ data }) => seen.push(data)));
  const reads = range(1, 10).map(() => client.history('a'));
  for (let answered = 0; answered < 20; answered++) {
    await until(() => unanswered.length === Math.min(maxReads, 20 - answered));
    unanswered.shift()?.();
  }
  await Promise.all([...reads, ...subscriptions.map(({ ready }) => ready)]);
  expect(seen).toHaveLength(50);
  expect(most).toBe(maxReads);
});

it('drain() ends if a subscription that is still reading its history is ended', async () => {
  await using node = await nodeWith(10);
  const client = connect(node, {
    ...json,
    reconnectBaseDelayMs: 60_000,
    reconnectMaxDelayMs: 60_000,
    random: () => 0.99,
  });
  node.on('history', ({ id }, connection) => connection.error(id, 'unavailable'));
  const subscription = client.subscribe('a', { last: 5 }, () => {});
  const errors = record(subscription, 'error');
  await client.subscribe('a', () => {}).ready;
  await until(() => errors.length === 1);
  const draining = client.drain();
  await (await node.connection()).received('unsubscribe');
  subscription.unsubscribe();
  await draining;
});

it('a subscription ends without further events if the application unsubscribes in a gap or reset listener', async () => {
  await using node = await nodeWith(10, { maxPublications: 2 });
  await using client = connect(node, json);
  const seen: unknown[] = [];
  const leave = (name: 'gap' | 'reset', options: object): Promise<unknown> => {
    const subscription = client.subscribe('a', options, ({ data }) => seen.push(data));
    subscription.on(name, () => subscription.unsubscribe());
    return failure(subscription.ready);
  };
  node.log('a').forgotten = 4;
  expect(await leave('gap', { since: at(2) })).toMatchObject({ code: 'unsubscribed' });
  expect(await leave('reset', { since: at(2, 'e0') })).toMatchObject({ code: 'unsubscribed' });
  node.on('history', (_command, _connection, proceed) => {
    node.log('a').epoch = 'e2';
    proceed();
  });
  expect(await leave('reset', { since: at(5) })).toMatchObject({ code: 'unsubscribed' });
  node.reset('history');
  await client.publish('other', 1);
  expect(seen).toEqual([]);
  expect(node.connections).toHaveLength(1);
});

it('unsubscribe(), close() and drain() work before a subscription has read its history', async () => {
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
  // The last publication arrived before the node had confirmed the unsubscribe.
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

it('subscribe() rejects invalid options', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const subscribe = (options: object) => () => client.subscribe('a', options, () => {});
  expect(subscribe({ from: 5 })).toThrow('subscribe() has no option "from". Use one of since, last.');
  expect(subscribe({ last: 0 })).toThrow('last must be an integer of at least 1, not 0.');
  expect(subscribe({ last: 1.5 })).toThrow(expect.objectContaining({ code: 'invalidOption' }));
  for (const since of [5, {}, { epoch: 'e1' }, { epoch: 'e1', offset: -1 }, { epoch: 'e 1', offset: 1 }, at(2 ** 53)]) {
    expect(subscribe({ since })).toThrow('since must be the position of a publication: { epoch, offset }.');
  }
  await client.subscribe('a', { since: null, last: undefined }, () => {}).ready;
  await client.subscribe('a', {}, () => {}).ready;
});
