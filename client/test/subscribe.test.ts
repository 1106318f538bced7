/** Subscriptions: sharing, states, gaps, reconnects, loops and their limits. */
import type { Subscription } from '@fanfare/client';
import { expect, it } from 'vitest';
import { connect, failure, record, take } from './harness.js';
import { startTestNode, until } from './test-node.js';

it('several subscriptions of a client to one topic share one subscription at the node', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const first = client.subscribe('a');
  const second = client.subscribe('a');
  await Promise.all([first.ready, second.ready]);
  const third = client.subscribe('a');
  expect(third.state.name).toBe('subscribing');
  const confirmed = record(third, 'subscribed');
  await third.ready;
  expect(confirmed).toEqual([{ position: null, recovered: false }]);
  await client.publish('a', 1);
  expect(await Promise.all([first, second, third].map((each) => take(each, 1)))).toEqual([[1], [1], [1]]);
  const connection = await node.connection();
  first.unsubscribe();
  second.unsubscribe();
  await client.publish('a', 2);
  expect(await take(third, 1)).toEqual([2]);
  third.unsubscribe();
  await connection.received('unsubscribe');
  expect(connection.commands.filter(({ type }) => type === 'subscribe')).toHaveLength(1);
  expect(connection.commands.filter(({ type }) => type === 'unsubscribe')).toHaveLength(1);
});

it('after a reconnect, the client sends its first commands in a frame that every node accepts, and each subscription gets a gap event', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const subscriptions = Array.from({ length: 100 }, (_, index) => client.subscribe(`topic.${index}`));
  await Promise.all(subscriptions.map(({ ready }) => ready));
  const gaps: unknown[] = [];
  for (const subscription of subscriptions) subscription.on('gap', (gap) => gaps.push(gap));
  node.refuseWith = 503;
  (await node.connection()).cut();
  await until(() => client.state.name === 'connecting');
  node.refuseWith = null;
  expect(subscriptions.every(({ state }) => state.name === 'subscribing')).toBe(true);
  await until(() => gaps.length === 100);
  expect(gaps[0]).toEqual({ reason: 'reconnected', position: null });
  expect(subscriptions.every(({ state }) => state.name === 'subscribed')).toBe(true);
  const { frames, commands, sizes } = await node.connection(1);
  // The next node may have a smaller frame limit than the last one.
  expect(sizes[0]).toBeLessThanOrEqual(1_024);
  // The others follow as replies arrive, so that a node with a rate limit does not refuse hundreds.
  expect(frames[0]?.map(({ type }) => type)).toEqual(['connect', ...Array(16).fill('subscribe')]);
  expect(frames.length).toBeLessThan(10);
  expect(commands).toHaveLength(101);
});

it('the client does not subscribe again to a topic that was unsubscribed during an outage', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const [gone, kept] = [client.subscribe('gone'), client.subscribe('kept')];
  await Promise.all([gone.ready, kept.ready]);
  node.refuseWith = 503;
  (await node.connection()).cut();
  await until(() => client.state.name === 'connecting');
  gone.unsubscribe();
  node.refuseWith = null;
  const [subscribe] = await (await node.connection(1)).received('subscribe');
  expect(subscribe?.topic).toBe('kept');
  await client.publish('kept', 1);
  expect((await node.connection(1)).commands.map(({ type }) => type)).toEqual(['connect', 'subscribe', 'publish']);
});

it('a subscription continues from its last position, and gets a gap event only if it is not recovered', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  node.on('subscribe', ({ id, topic, since }, connection) => {
    connection.topics.add(topic);
    const epoch = 'e';
    if (since === null) connection.subscribed(id, topic, { position: { epoch, offset: 3 } });
    else if (node.connections.length === 2) {
      connection.subscribed(id, topic, { position: { epoch, offset: 7 }, recovered: true, data: ['six', 'seven'] });
    } else connection.subscribed(id, topic, { position: { epoch, offset: 20 } });
  });
  const subscription = client.subscribe('a');
  const confirmed = record(subscription, 'subscribed');
  const gaps = record(subscription, 'gap');
  await subscription.ready;
  const first = await node.connection();
  first.push('a', ['four', 'five'], { epoch: 'e', offset: 4 });
  expect(await take(subscription, 2)).toEqual(['four', 'five']);
  first.cut();
  const iterator = subscription[Symbol.asyncIterator]();
  expect((await iterator.next()).value).toEqual({ topic: 'a', data: 'six', position: { epoch: 'e', offset: 6 } });
  expect((await iterator.next()).value).toEqual({ topic: 'a', data: 'seven', position: { epoch: 'e', offset: 7 } });
  expect((await (await node.connection(1)).received('subscribe'))[0]?.since).toEqual({ epoch: 'e', offset: 5 });
  expect(confirmed).toEqual([
    { position: { epoch: 'e', offset: 3 }, recovered: false },
    { position: { epoch: 'e', offset: 7 }, recovered: true },
  ]);
  expect(gaps).toEqual([]);
  (await node.connection(1)).cut();
  await until(() => gaps.length === 1);
  expect((await (await node.connection(2)).received('subscribe'))[0]?.since).toEqual({ epoch: 'e', offset: 7 });
});

it('a subscription gets a gap event if the node reports a gap', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const subscription = client.subscribe('a');
  const gaps = record(subscription, 'gap');
  await subscription.ready;
  (await node.connection()).gap('a');
  await until(() => gaps.length === 1);
  expect(gaps).toEqual([{ reason: 'node', position: null }]);
});

it('a subscription delivers publications that arrive before the confirmation', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  node.on('subscribe', ({ topic }, connection, proceed) => {
    connection.push(topic, ['early']);
    proceed();
  });
  expect(await take(client.subscribe('a'), 1)).toEqual(['early']);
});

it('the client retries a subscribe that is refused for now', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  let refusals = 0;
  node.on('subscribe', ({ id }, connection, proceed) =>
    refusals++ < 3 ? connection.error(id, 'unavailable') : proceed(),
  );
  const subscription = client.subscribe('a');
  const errors = record(subscription, 'error');
  await until(() => errors.length > 0);
  expect(subscription.state).toMatchObject({ name: 'subscribing', error: { code: 'unavailable' } });
  await subscription.ready;
  expect(errors.map(({ code }) => code)).toEqual(['unavailable', 'unavailable', 'unavailable']);
  expect(node.connections).toHaveLength(1);
});

it('a subscription ends with the error if it is refused for good', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const reported = record(client, 'error');
  node.on('subscribe', ({ id }, connection) => connection.error(id, 'tooManySubscriptions'));
  const [loop, called] = [client.subscribe('a'), client.subscribe('b', () => {})];
  const ended = record(loop, 'unsubscribed');
  const refused = { name: 'ReplyError', code: 'tooManySubscriptions', retryable: false };
  expect(await failure(loop.ready)).toMatchObject(refused);
  expect(await failure(take(loop, 1))).toMatchObject(refused);
  expect(await take(loop, 1)).toEqual([]);
  expect(ended).toEqual([{ code: 'tooManySubscriptions', error: expect.objectContaining(refused) }]);
  await until(() => called.state.name === 'unsubscribed');
  // The loop threw its own error; a subscription with a listener cannot throw.
  expect(reported).toEqual([expect.objectContaining(refused)]);
  node.reset('subscribe');
  await client.subscribe('a').ready;
  expect((await node.connection()).commands.some(({ type }) => type === 'unsubscribe')).toBe(false);
});

it('the client reconnects if a subscribe gets no reply', async () => {
  await using node = await startTestNode();
  node.on('subscribe', () => {});
  await using client = connect(node, { timeoutMs: 30 });
  const states = record(client, 'state');
  const subscription = client.subscribe('a');
  await until(() => states.some((state) => state.name === 'connecting' && state.code === 'replyTimeout'));
  node.reset('subscribe');
  await subscription.ready;
});

it('unsubscribe() stops deliveries, and finishes the loop', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const heard: unknown[] = [];
  const called = client.subscribe('a', ({ data }) => {
    heard.push(data);
    called.unsubscribe();
  });
  const loop = client.subscribe('a');
  await Promise.all([called.ready, loop.ready]);
  const waiting = loop[Symbol.asyncIterator]().next();
  loop.unsubscribe();
  expect(await waiting).toEqual({ done: true, value: undefined });
  expect(loop.state).toEqual({ name: 'unsubscribed', code: 'unsubscribed', error: null });
  (await node.connection()).push('a', [1, 2]);
  await until(() => heard.length > 0);
  expect(heard).toEqual([1]);
});

it('a subscription ends if the application leaves its loop', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const subscription = client.subscribe('a');
  await subscription.ready;
  await client.publish('a', 1);
  for await (const { data } of subscription) {
    expect(data).toBe(1);
    break;
  }
  expect(subscription.state.name).toBe('unsubscribed');
  await (await node.connection()).received('unsubscribe');
});

it('the client drops publications between an unsubscribe and its reply, even for a new subscription to the topic', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const before = client.subscribe('a');
  await before.ready;
  node.on('unsubscribe', ({ topic }, connection, proceed) => {
    connection.push(topic, ['for the old one']);
    proceed();
  });
  before.unsubscribe();
  const after = client.subscribe('a');
  await after.ready;
  await client.publish('a', 'for the new one');
  expect(await take(after, 1)).toEqual(['for the new one']);
});

it('a subscription ends if its loop does not keep up, after the loop has read the buffered publications', async () => {
  await using node = await startTestNode();
  await using client = connect(node, { maxBufferedPublications: 3 });
  const slow = client.subscribe('a');
  const heard: unknown[] = [];
  const fast = client.subscribe('a', ({ data }) => heard.push(data));
  await Promise.all([slow.ready, fast.ready]);
  (await node.connection()).push('a', [1, 2, 3, 4, 5]);
  await until(() => heard.length === 5);
  expect(slow.state).toMatchObject({ name: 'unsubscribed', code: 'slowConsumer' });
  expect(await take(slow, 3)).toEqual([1, 2, 3]);
  expect(await failure(take(slow, 1))).toMatchObject({ code: 'slowConsumer' });
  expect(fast.state.name).toBe('subscribed');
});

it('a subscription continues if a listener throws or rejects', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const errors = record(client, 'error');
  const heard: unknown[] = [];
  client.subscribe('a', () => {
    throw new Error('thrown');
  });
  client.subscribe('a', async () => {
    throw new Error('rejected');
  });
  await client.subscribe('a', ({ data }) => heard.push(data)).ready;
  await client.publish('a', 1);
  await client.publish('a', 2);
  await until(() => errors.length === 4);
  expect(heard).toEqual([1, 2]);
  expect(errors.every(({ code }) => code === 'listenerFailed')).toBe(true);
});

it('a listener can subscribe to its own topic', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const heard: unknown[] = [];
  await client.subscribe('a', ({ data }) => {
    heard.push(data);
    client.subscribe('a', (publication) => heard.push(publication.data));
  }).ready;
  await client.publish('a', 1);
  await until(() => heard.length > 0);
  expect(heard).toEqual([1]);
});

it('a subscription with a listener cannot be read with a loop', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const subscription = client.subscribe('a', () => {});
  expect(() => subscription[Symbol.asyncIterator]()).toThrow(TypeError);
});

it('"ready" rejects if the subscription ends first, without an unhandled rejection if nobody reads it', async () => {
  await using node = await startTestNode();
  await using client = connect(node, { autoConnect: false });
  const subscription = client.subscribe('a');
  subscription.unsubscribe();
  expect(await failure(subscription.ready)).toMatchObject({ code: 'unsubscribed' });
  client.subscribe('b').unsubscribe();
});

it('the client keeps the order of commands for one topic if the node refuses one of them for now', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const left = client.subscribe('a', () => {});
  await left.ready;
  const connection = await node.connection();
  let refusals = 0;
  node.on('unsubscribe', ({ id }, _connection, proceed) => {
    if (refusals++ < 2) connection.error(id, 'rateLimited', 'Slow down.', 1);
    else proceed();
  });
  left.unsubscribe();
  const heard: unknown[] = [];
  const errors: unknown[] = [];
  const again = client.subscribe('a', ({ data }) => heard.push(data));
  again.on('error', (error) => errors.push(error));
  await again.ready;
  expect(connection.commands.map(({ type }) => type)).toEqual([
    ...['connect', 'subscribe', 'unsubscribe', 'unsubscribe', 'unsubscribe', 'subscribe'],
  ]);
  await client.publish('a', 1);
  await until(() => heard.length === 1);
  expect(errors).toEqual([]);
});

it('the client does not repeat a refused subscribe after unsubscribe()', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  let refusal: (() => void) | null = null;
  node.on('subscribe', ({ id, topic }, connection, proceed) => {
    if (topic === 'a' && refusal === null) refusal = () => connection.error(id, 'rateLimited', 'Slow down.', 1);
    else proceed();
  });
  const subscription = client.subscribe('a', () => {});
  const connection = await node.connection();
  await connection.received('subscribe');
  subscription.unsubscribe();
  await connection.received('unsubscribe');
  (refusal as (() => void) | null)?.();
  // The client has read the refusal once it has this reply. It would repeat a refused command before any new one.
  await client.publish('c', 1);
  await client.subscribe('b').ready;
  expect(connection.commands.map(({ type }) => type)).toEqual([
    ...['connect', 'subscribe', 'unsubscribe', 'publish', 'subscribe'],
  ]);
  expect([...connection.topics]).toEqual(['b']);
});

it('the client sends no unsubscribe for a subscribe that it never sent', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  await client.connect();
  const connection = await node.connection();
  for (let round = 0; round < 10; round++) {
    const subscriptions = Array.from({ length: 100 }, (_, index) => client.subscribe(`t.${index}`, () => {}));
    for (const subscription of subscriptions) subscription.unsubscribe();
    const beginnings = Array.from({ length: 100 }, (_, index) => client.subscribe(`h.${index}`, { last: 1 }, () => {}));
    for (const subscription of beginnings) subscription.unsubscribe();
  }
  await client.subscribe('last', () => {}).ready;
  const topicsOf = (name: string): string[] =>
    connection.commands.flatMap((command) => (command.type === name && 'topic' in command ? [command.topic] : []));
  // The first limit of unanswered commands.
  expect(topicsOf('subscribe')).toHaveLength(17);
  expect(topicsOf('unsubscribe').toSorted()).toEqual(topicsOf('subscribe').slice(0, 16).toSorted());
  expect([...connection.topics]).toEqual(['last']);
});

it('drain() drops subscribes that were never sent', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  await client.connect();
  for (let index = 0; index < 40; index++) client.subscribe(`t.${index}`, () => {});
  await client.drain();
  const connection = await node.connection();
  const count = (name: string): number => connection.commands.filter(({ type }) => type === name).length;
  expect([count('subscribe'), count('unsubscribe')]).toEqual([16, 16]);
});

it.each<[string, (subscription: Subscription) => void, number]>([
  ['nothing else', () => {}, 1],
  ['a listener for its errors', (subscription: Subscription) => void subscription.on('error', () => {}), 0],
  ['a wait for ready', (subscription: Subscription) => void subscription.ready.catch(() => {}), 0],
  ['a loop', (subscription: Subscription) => void take(subscription, 1).catch(() => {}), 0],
])('a refused subscription is never silent, with %s', async (_name, use, reports) => {
  await using node = await startTestNode();
  node.on('subscribe', ({ id }, connection) => connection.error(id, 'notPermitted', 'You may not.'));
  await using client = connect(node);
  const errors = record(client, 'error');
  const subscription = client.subscribe('a');
  const ends = record(subscription, 'unsubscribed');
  use(subscription);
  await until(() => ends.length === 1);
  expect(errors).toHaveLength(reports);
  if (reports > 0) expect(errors).toMatchObject([{ code: 'notPermitted', message: 'You may not.' }]);
});

it('subscribe() rejects arguments that it would ignore', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const subscribe = client.subscribe.bind(client) as (...args: unknown[]) => Subscription;
  const listener = (): void => {};
  for (const args of [[listener, { last: 5 }], [listener, listener], [5], ['x'], [[]], [{ last: 5 }, 'x'], [{}, {}]]) {
    const message = expect.stringContaining('options (an object) and a listener (a function)');
    expect(() => subscribe('a', ...args)).toThrow(expect.objectContaining({ code: 'invalidOption', message }));
  }
  for (const args of [[], [undefined], [listener], [undefined, listener], [{}], [{}, listener], [null, null]]) {
    expect(subscribe('a', ...args).topic).toBe('a');
  }
});

it('a subscription that the node still has from before ends with a gap if publications were received meanwhile', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  let refusals = 0;
  node.on('subscribe', ({ id, topic }, connection, proceed) => {
    if (refusals++ > 0) return proceed();
    connection.error(id, 'alreadySubscribed');
    connection.push(topic, ['before']);
  });
  node.on('unsubscribe', ({ topic }, connection, proceed) => {
    // The client has already decided to subscribe again, and does not use it.
    connection.push(topic, ['meanwhile']);
    proceed();
  });
  const seen: unknown[] = [];
  const subscription = client.subscribe('a', ({ data }) => seen.push(data));
  const gaps = record(subscription, 'gap');
  await subscription.ready;
  node.publish('a', 'after');
  await until(() => seen.length === 2);
  expect(seen).toEqual(['before', 'after']);
  expect(gaps).toMatchObject([{ reason: 'reconnected' }]);
});
