/**
 * A node that is about to stop sends goaway: the client moves to another connection, and the application does not
 * notice.
 */
import type { Publication } from '@fanfare/client';
import { describe, expect, it } from 'vitest';
import { connect, failure, record } from './harness.js';
import { jsonPayload, startTestNode, type TestConnection, type TestNode, until } from './test-node.js';

type Client = ReturnType<typeof connect>;

/** Subscribes, and records in order the data of publications and the events. */
async function follow(client: Client, topic: string): Promise<unknown[]> {
  const events: unknown[] = [];
  const subscription = client.subscribe(topic, ({ data }: Publication) => events.push(data));
  await subscription.ready;
  subscription.on('gap', ({ reason }) => events.push(`gap ${reason}`));
  subscription.on('reset', () => events.push('reset'));
  subscription.on('subscribed', ({ recovered }) => events.push(`subscribed ${recovered}`));
  return events;
}

/** Sends goaway; returns the next connection of the client. */
async function moved(node: TestNode, from: TestConnection): Promise<TestConnection> {
  const index = node.connections.length;
  node.name = 'next';
  from.goaway(1);
  return node.connection(index);
}

describe.each(['msgpack', 'json'] as const)('a client that speaks %s', (encoding) => {
  it('moves its subscriptions before it closes the first connection, and emits no event but the state', async () => {
    await using node = await startTestNode({ hasHistory: true });
    await using client = connect(node, { encoding });
    const events = await follow(client, 'a');
    const states = record(client, 'state');
    node.publish('a', 1);
    await until(() => events.length === 1);
    const answers: Array<() => void> = [];
    node.on('subscribe', (_command, _connection, proceed) => answers.push(proceed));
    const first = await node.connection();
    const second = await moved(node, first);
    expect((await second.received('subscribe'))[0]?.since).toEqual({ epoch: 'e1', offset: 1 });
    node.publish('a', 2);
    await until(() => events.length === 2);
    expect(first.closed).toBeNull();
    expect(client.state).toEqual({ name: 'connected', node: 'test' });
    for (const proceed of answers) proceed();
    // Both connections deliver this one.
    node.publish('a', 3);
    await until(() => first.closed !== null);
    node.publish('a', 4);
    await until(() => events.includes(4));
    expect(events).toEqual([1, 2, 3, 4]);
    expect(first.closed?.code).toBe(1000);
    expect(states).toEqual([{ name: 'connected', node: 'next' }]);
    await client.publish('a', 5);
    expect(second.commands.map(({ type }) => type)).toEqual(['connect', 'subscribe', 'publish']);
  });
});

it('a moving client drops repeated publications from either connection', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const events = await follow(client, 'a');
  const first = await node.connection();
  // The move does not end until all topics are moved.
  await follow(client, 'slow');
  node.on('subscribe', ({ topic }, _connection, proceed) => topic !== 'slow' && proceed());
  const second = await moved(node, first);
  await second.received('subscribe', 2);
  // First the second connection is ahead, then the first one.
  node.isLost = (_position, connection) => connection === first;
  node.publish('a', 1, 2);
  await until(() => events.length === 2);
  first.push('a', [1, 2], { epoch: 'e1', offset: 1 });
  node.isLost = (_position, connection) => connection === second;
  node.publish('a', 3, 4);
  await until(() => events.length === 4);
  second.push('a', [2, 3, 4], { epoch: 'e1', offset: 2 });
  node.isLost = null;
  node.publish('a', 5);
  await until(() => events.includes(5));
  expect(events).toEqual([1, 2, 3, 4, 5]);
  expect(first.closed).toBeNull();
});

it('a moving client emits one reset event for a new epoch, even if both connections announce it', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const events = await follow(client, 'a');
  await follow(client, 'slow');
  const first = await node.connection();
  node.on('subscribe', ({ topic }, _connection, proceed) => topic !== 'slow' && proceed());
  const second = await moved(node, first);
  await second.received('subscribe', 2);
  node.publish('a', 1);
  await until(() => events.length === 1);
  second.resetTopic('a', { epoch: 'e2', offset: 1 });
  second.push('a', [2], { epoch: 'e2', offset: 2 });
  await until(() => events.length === 3);
  // The first node learns of the epoch late.
  first.push('a', ['old'], { epoch: 'e1', offset: 2 });
  first.resetTopic('a', { epoch: 'e2', offset: 1 });
  first.push('a', [2, 3], { epoch: 'e2', offset: 2 });
  await until(() => events.includes(3));
  expect(events).toEqual([1, 'reset', 2, 3]);
});

it('a moving client waits for the replies on the first connection before it publishes on the second', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node, { encoding: 'json' });
  await client.connect();
  const first = await node.connection();
  const late: Array<() => void> = [];
  node.on('publish', (_command, connection, proceed) => {
    if (connection === first) late.push(proceed);
    else proceed();
  });
  const published = [client.publish('a', 1), client.publish('a', 2)];
  client.send('a', 3);
  await until(() => late.length === 3);
  const second = await moved(node, first);
  await first.received('ping');
  published.push(client.publish('a', 4));
  client.send('b', 5);
  published.push(client.publish('b', 6));
  for (const proceed of late) proceed();
  await Promise.all(published);
  await until(() => first.closed !== null);
  expect(node.data('a')).toEqual([1, 2, 3, 4]);
  expect(node.data('b')).toEqual([5, 6]);
  expect(first.commands.filter(({ type }) => type === 'publish')).toHaveLength(3);
  expect(second.commands.filter(({ type }) => type === 'publish')).toHaveLength(3);
});

it('a moving client repeats on the second connection the publishes that the first one left unanswered', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node, { encoding: 'json', timeoutMs: 3_000 });
  const events = await follow(client, 'a');
  const states = record(client, 'state');
  const first = await node.connection();
  node.on('publish', (_command, connection, proceed) => {
    if (connection !== first) return proceed();
  });
  const published = [client.publish('a', 1), client.publish('a', 2)];
  await first.received('publish', 2);
  await moved(node, first);
  await first.received('ping');
  published.push(client.publish('a', 3));
  first.cut();
  await Promise.all(published);
  await until(() => events.length === 3);
  expect(events).toEqual([1, 2, 3]);
  expect(states.map(({ name }) => name)).toEqual(['connected']);
});

it('a moving client does not wait forever for a reply from the stopping node', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node, { encoding: 'json', timeoutMs: 100 });
  await client.subscribe('a').ready;
  const first = await node.connection();
  node.on('publish', (_command, connection, proceed) => {
    if (connection !== first) proceed();
  });
  const published = client.publish('a', 1, { timeoutMs: 10_000 });
  await first.received('publish');
  await moved(node, first);
  await published;
  await until(() => first.closed !== null);
  expect(node.data('a')).toEqual([1]);
});

it('a moving client moves topics without history last, and emits a gap event', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const events = await follow(client, 'fast');
  const first = await node.connection();
  const second = await moved(node, first);
  await until(() => events.length === 2);
  expect(events).toEqual(['gap reconnected', 'subscribed false']);
  await until(() => first.closed !== null);
  await client.publish('fast', 1);
  await until(() => events.includes(1));
  expect(events).toEqual(['gap reconnected', 'subscribed false', 1]);
  expect(await second.received('subscribe')).toHaveLength(1);
});

it('a moving client retries while it cannot connect, and uses the first connection meanwhile', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node, { encoding: 'json' });
  const events = await follow(client, 'a');
  const states = record(client, 'state');
  const first = await node.connection();
  node.refuseWith = 503;
  const { upgrades } = node;
  first.goaway();
  await until(() => node.upgrades >= upgrades + 3);
  await client.publish('a', 1);
  await until(() => events.length === 1);
  expect(states).toEqual([]);
  node.refuseWith = null;
  await until(() => first.closed !== null);
  await client.publish('a', 2);
  await until(() => events.length === 2);
  expect(events).toEqual([1, 2]);
  expect(states.map(({ name }) => name)).toEqual(['connected']);
});

it('a moving client keeps the first connection if the second one breaks, and moves to the next one', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node, { encoding: 'json' });
  const events = await follow(client, 'a');
  const first = await node.connection();
  let moves = 0;
  node.on('ping', (_command, connection, proceed) => {
    if (connection !== first || moves++ >= 2) return proceed();
    // The move waits only for this ping, and publications are held back.
    node.refuseWith = 503;
    node.connections.at(-1)?.cut();
  });
  first.goaway();
  await until(() => moves === 1);
  node.publish('a', 1);
  await client.publish('a', 2);
  node.refuseWith = null;
  await until(() => moves === 2);
  node.refuseWith = null;
  await until(() => first.closed !== null);
  await client.publish('a', 3);
  await until(() => events.length === 3);
  expect(events).toEqual([1, 2, 3]);
  expect(moves).toBe(3);
  expect(node.connections).toHaveLength(4);
});

it('a moving client reconnects if the first connection is closed before there is a second', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const events = await follow(client, 'a');
  const states = record(client, 'state');
  const first = await node.connection();
  node.ignoreUpgrades = true;
  const { upgrades } = node;
  first.goaway();
  await until(() => node.upgrades === upgrades + 1);
  node.ignoreUpgrades = false;
  first.close('draining');
  await until(() => states.length === 2);
  node.publish('a', 1);
  await until(() => events.length === 2);
  expect(events).toEqual(['subscribed true', 1]);
  expect(states).toMatchObject([{ name: 'connecting', code: 'draining' }, { name: 'connected' }]);
});

it('a moving client reconnects if the first connection is closed before the second node has replied to connect', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const events = await follow(client, 'a');
  const states = record(client, 'state');
  const first = await node.connection();
  node.on('connect', () => {});
  const second = await moved(node, first);
  await second.received('subscribe');
  node.publish('a', 1);
  await until(() => events.length === 1);
  node.reset('connect');
  first.close('draining');
  await until(() => states.length === 2 && events.length === 2);
  node.publish('a', 2);
  await until(() => events.length === 3);
  expect(events).toEqual([1, 'subscribed true', 2]);
  expect(states).toMatchObject([{ name: 'connecting', code: 'draining' }, { name: 'connected' }]);
  await until(() => second.closed !== null);
});

it('a moving client continues on the second connection if the first one is closed too early', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const events = await follow(client, 'a');
  await follow(client, 'b');
  const states = record(client, 'state');
  const first = await node.connection();
  const answers: Array<() => void> = [];
  node.on('subscribe', (_command, _connection, proceed) => answers.push(proceed));
  const second = await moved(node, first);
  await second.received('subscribe', 2);
  await until(() => answers.length === 2);
  node.publish('a', 1);
  await until(() => events.length === 1);
  first.cut();
  await until(() => states.length === 1);
  node.publish('a', 2);
  for (const proceed of answers) proceed();
  await until(() => events.length === 3);
  expect(events).toEqual([1, 2, 'subscribed true']);
  expect(states).toEqual([{ name: 'connected', node: 'next' }]);
  expect(node.connections).toHaveLength(2);
});

it('a client moves again if the next node stops, too', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const events = await follow(client, 'a');
  const states = record(client, 'state');
  node.on('connect', (_command, connection, proceed) => {
    node.name = String(node.connections.length);
    proceed();
    if (node.connections.length < 4) connection.goaway();
  });
  (await node.connection()).goaway();
  await until(() => node.connections.length === 4 && node.connections[2]?.closed?.code === 1000);
  node.publish('a', 1);
  await until(() => events.length === 1);
  expect(events).toEqual([1]);
  expect(states).toEqual(['2', '3', '4'].map((name) => ({ name: 'connected', node: name })));
});

it('a moving client accepts subscribe(), unsubscribe() and publish()', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const kept = await follow(client, 'kept');
  const left = client.subscribe('left');
  await left.ready;
  const first = await node.connection();
  const answers: Array<() => void> = [];
  node.on('subscribe', (_command, _connection, proceed) => answers.push(proceed));
  const second = await moved(node, first);
  await second.received('subscribe', 2);
  // The second subscription to the topic waits for the reply to the unsubscribe of the first one.
  left.unsubscribe();
  const again: unknown[] = [];
  const back = client.subscribe('left', ({ data: value }) => again.push(value));
  const added: unknown[] = [];
  client.subscribe('added', ({ data: value }) => added.push(value));
  await second.received('subscribe', 3);
  // Only the ended subscription would have received it.
  node.publish('left', 'for the old one');
  await client.publish('kept', 1);
  node.reset('subscribe');
  for (const proceed of answers) proceed();
  await back.ready;
  await until(() => first.closed !== null);
  node.publish('left', 'for the new one');
  node.publish('added', 2);
  await client.publish('kept', 3);
  await until(() => kept.length === 2 && again.length > 0 && added.length > 0);
  expect(kept).toEqual([1, 3]);
  expect(again).toEqual(['for the new one']);
  expect(added).toEqual([2]);
  expect(first.commands.some(({ type }) => type === 'unsubscribe')).toBe(true);
});

it('a moving client emits no event if the second node refuses a subscription for now', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  const subscription = client.subscribe('a');
  const events = [record(subscription, 'error'), record(subscription, 'gap'), record(client, 'error')];
  await subscription.ready;
  const confirmed = record(subscription, 'subscribed');
  const first = await node.connection();
  let refusals = 0;
  node.on('subscribe', ({ id }, connection, proceed) => {
    if (refusals++ < 2) connection.error(id, 'unavailable');
    else proceed();
  });
  await moved(node, first);
  await until(() => first.closed !== null);
  expect(refusals).toBe(3);
  expect(subscription.state.name).toBe('subscribed');
  expect([...events, confirmed]).toEqual([[], [], [], []]);
});

it.each(['before', 'after'] as const)(
  'a moving client moves a subscription that the first node confirms %s the second node replies to connect',
  async (when) => {
    await using node = await startTestNode({ hasHistory: true });
    await using client = connect(node);
    await client.connect();
    const first = await node.connection();
    const [answers, welcomes]: Array<() => void>[] = [[], []];
    node.on('subscribe', (_command, connection, proceed) => {
      if (connection === first) answers?.push(proceed);
      else proceed();
    });
    node.on('connect', (_command, _connection, proceed) => welcomes?.push(proceed));
    const events: unknown[] = [];
    const subscription = client.subscribe('a', ({ data: value }) => events.push(value));
    subscription.on('gap', ({ reason }) => events.push(reason));
    await until(() => answers?.length === 1);
    const second = await moved(node, first);
    await second.received('connect');
    if (when === 'after') for (const proceed of welcomes ?? []) proceed();
    for (const proceed of answers ?? []) proceed();
    await subscription.ready;
    node.publish('a', 1);
    for (const proceed of welcomes ?? []) proceed();
    await second.received('subscribe');
    await until(() => first.closed !== null);
    node.publish('a', 2);
    await until(() => events.includes(2));
    expect(events).toEqual([1, 2]);
  },
);

it('a draining client does not subscribe again on the second connection', async () => {
  await using node = await startTestNode({ hasHistory: true });
  const client = connect(node);
  await follow(client, 'a');
  const first = await node.connection();
  const answers: Array<() => void> = [];
  node.on('unsubscribe', (_command, _connection, proceed) => answers.push(proceed));
  const drained = client.drain();
  await until(() => answers.length === 1);
  const second = await moved(node, first);
  await second.received('connect');
  for (const proceed of answers) proceed();
  await drained;
  expect(second.commands.some(({ type }) => type === 'subscribe')).toBe(false);
});

it.each(['delay', 'dialling', 'moving'] as const)(
  'close() and drain() end both connections of a move: %s',
  async (stage) => {
    for (const end of ['close', 'drain'] as const) {
      await using node = await startTestNode({ hasHistory: true });
      const client = connect(node, { encoding: 'json' });
      await follow(client, 'a');
      const first = await node.connection();
      if (stage === 'dialling') node.on('connect', () => {});
      if (stage === 'moving') node.on('subscribe', () => {});
      first.goaway(stage === 'delay' ? 60_000 : 0);
      if (stage !== 'delay') await (await node.connection(1)).received(stage === 'moving' ? 'subscribe' : 'connect');
      const published = client.publish('a', 1).catch(() => {});
      await client[end]();
      await published;
      await until(() => node.connections.every(({ closed }) => closed !== null));
      expect(node.connections).toHaveLength(stage === 'delay' ? 1 : 2);
      expect(client.state.name).toBe('disconnected');
      if (end === 'drain') expect(node.data('a')).toEqual([1]);
    }
  },
);

it('close() rejects publishes that wait for the move', async () => {
  await using node = await startTestNode({ hasHistory: true });
  const client = connect(node);
  await client.connect();
  const first = await node.connection();
  node.on('ping', () => {});
  await moved(node, first);
  await first.received('ping');
  const waiting = failure(client.publish('a', 1));
  await client.close();
  expect(await waiting).toMatchObject({ code: 'closed', maybeDelivered: false });
});

it('a client receives each publication once over many moves while it and others publish', async () => {
  await using node = await startTestNode({ hasHistory: true, maxPublications: 10 });
  await using client = connect(node, { encoding: 'json' });
  const events = await follow(client, 'a');
  const own: Promise<unknown>[] = [];
  let count = 0;
  for (let move = 0; move < 10; move++) {
    const current = node.connections.at(-1);
    current?.goaway(move % 3);
    for (let round = 0; round < 200 && current?.closed === null; round++) {
      own.push(client.publish('a', ++count));
      node.append('a', jsonPayload(++count));
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (move % 4 === 3) node.connections.at(-1)?.cut();
    await until(() => current?.closed !== null);
  }
  await Promise.all(own);
  await until(() => events.filter((each) => typeof each === 'number').length >= count);
  const heard = events.filter((each) => typeof each === 'number');
  expect(heard).toEqual(node.data('a'));
  expect(new Set(heard).size).toBe(count);
  expect(heard).toHaveLength(count);
  expect(events.some((each) => /gap|reset/.test(String(each)))).toBe(false);
});
