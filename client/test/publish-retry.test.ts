/**
 * publish(): the client retries until the publication is accepted, and never publishes twice to a topic with history.
 */
import { describe, expect, it, vi } from 'vitest';
import { connect, failure, record } from './harness.js';
import { startTestNode, type TestNode, until } from './test-node.js';

/**
 * Cuts the connection at the next publish. That publish and others in its frame get no reply; `isCarriedOut` decides if
 * the node carries them out.
 */
function cutAtPublish(node: TestNode, isCarriedOut: boolean): void {
  let cut: unknown = null;
  node.on('publish', (_command, connection, proceed) => {
    if (cut === null) connection.cut();
    cut ??= connection;
    if (cut !== connection || isCarriedOut) proceed();
  });
}

const json = { encoding: 'json' } as const;

describe.each(['msgpack', 'json'] as const)('a client that speaks %s', (encoding) => {
  it('repeats a publish with the same messageId if the connection broke', async () => {
    await using node = await startTestNode({ hasHistory: true });
    await using client = connect(node, { encoding });
    await client.publish('a', 0);
    for (const isCarriedOut of [true, false]) {
      const before = node.log('a').payloads.length;
      cutAtPublish(node, isCarriedOut);
      expect(await client.publish('a', 1)).toEqual({ position: { epoch: 'e1', offset: before + 1 } });
      expect(node.log('a').payloads).toHaveLength(before + 1);
    }
    const ids = node.connections.flatMap(({ commands }) =>
      commands.flatMap((command) => (command.type === 'publish' ? [command.messageId] : [])),
    );
    expect(ids).toHaveLength(5);
    expect(new Set(ids).size).toBe(3);
  });

  it.each(['unavailable', 'overloaded', 'rateLimited', 'unconfirmed', 'internal'] as const)(
    'repeats a publish that the node answers with %s',
    async (code) => {
      await using node = await startTestNode({ hasHistory: true });
      await using client = connect(node, { encoding });
      let refusals = 0;
      node.on('publish', ({ id }, connection, proceed) => {
        if (refusals++ < 3) connection.error(id, code);
        else proceed();
      });
      expect(await client.publish('a', 1)).toEqual({ position: { epoch: 'e1', offset: 1 } });
      expect(refusals).toBe(4);
      expect(node.connections).toHaveLength(1);
    },
  );
});

it('the client marks a publish as a repeat if the node may already have published it', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  await client.connect();
  cutAtPublish(node, true);
  await client.publish('a', 1);
  expect(node.log('a').payloads).toHaveLength(1);
  const { commands } = await node.connection(1);
  expect(commands).toMatchObject([{ type: 'connect' }, { type: 'publish', topic: 'a', repeat: true }]);
  let refusals = 0;
  node.on('publish', ({ id }, connection, proceed) => {
    // The first refusal means not published; the second means unknown.
    if (refusals++ < 2) connection.error(id, refusals === 1 ? 'unavailable' : 'unconfirmed');
    else proceed();
  });
  await client.publish('a', 2);
  const publishes = await (await node.connection(1)).received('publish', 4);
  expect(publishes.map(({ repeat }) => repeat)).toEqual([true, false, false, true]);
});

it('the client repeats a publish with a token that may only publish', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  await client.connect();
  for (const type of ['history', 'subscribe'] as const) {
    node.on(type, ({ id }, connection) => connection.error(id, 'notPermitted'));
  }
  cutAtPublish(node, true);
  const published = Array.from({ length: 12 }, (_, index) => client.publish(`orders.${index}`, index));
  await Promise.all(published);
  for (let index = 0; index < 12; index++) expect(node.log(`orders.${index}`).payloads).toHaveLength(1);
});

it('a publish that may have been accepted fails if the reply to its repeat shows that the topic keeps no history', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  await client.connect();
  cutAtPublish(node, true);
  expect(await failure(client.publish('a', 1))).toMatchObject({
    name: 'ConnectionError',
    code: 'connectionLost',
    maybeDelivered: true,
  });
  // The client knows now that the topic keeps no history: it does not repeat this one.
  node.on('publish', ({ id }, connection) => connection.error(id, 'internal'));
  expect(await failure(client.publish('a', 2))).toMatchObject({ code: 'internal', maybeDelivered: true });
  const { commands } = await node.connection(1);
  expect(commands).toMatchObject([{ type: 'connect' }, { type: 'publish', repeat: true }, { repeat: false }]);
});

it('a publish that may have been accepted fails at once if the client knows that the topic keeps no history', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  await client.publish('a', 0);
  cutAtPublish(node, true);
  node.refuseWith = 503;
  // The publish fails at once: a reconnect cannot help.
  expect(await failure(client.publish('a', 1))).toMatchObject({ code: 'connectionLost', maybeDelivered: true });
  node.refuseWith = null;
  node.reset('publish');
  await client.publish('a', 2);
  expect(await (await node.connection(1)).received('publish')).toHaveLength(1);
});

it('on a topic without history, the client repeats a publish only while it is certain that nobody received it', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  await client.publish('a', 0);
  let refusals = 0;
  node.on('publish', ({ id }, connection, proceed) => {
    if (refusals++ < 2) connection.error(id, 'unavailable');
    else proceed();
  });
  await client.publish('a', 1);
  const answers = ['overloaded', 'unconfirmed'] as const;
  let count = 0;
  node.on('publish', ({ id }, connection) => connection.error(id, answers[count++] ?? 'unavailable'));
  expect(await failure(client.publish('a', 2))).toMatchObject({ code: 'unconfirmed', maybeDelivered: true });
  expect(count).toBe(2);
});

it('the client slows down if it exceeds its rate, and keeps the order', async () => {
  await using node = await startTestNode();
  await using client = connect(node, json);
  const heard: unknown[] = [];
  await client.subscribe('a', ({ data }) => heard.push(data)).ready;
  let room = 3;
  node.on('publish', ({ id }, connection, proceed) => (room-- > 0 ? proceed() : connection.error(id, 'rateLimited')));
  const published = Array.from({ length: 10 }, (_, index) => client.publish('a', index));
  await published[2];
  await until(() => room < -3);
  room = 100;
  await Promise.all(published);
  await until(() => heard.length === 10);
  expect(heard).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(node.connections).toHaveLength(1);
});

it('the client queues as many publications while it exceeds its rate as at other times', async () => {
  await using node = await startTestNode();
  await using client = connect(node, { maxQueuedPublications: 10 });
  await client.connect();
  let published = 0;
  node.on('publish', ({ id }, connection, proceed) => {
    if (++published <= 5) proceed();
    else connection.error(id, 'rateLimited', 'Slow down.', 600_000);
  });
  const codes: unknown[] = [];
  const publish = (value: number): void => {
    client.publish('a', value).catch(({ code }) => codes.push(code));
  };
  for (let value = 0; value < 100; value++) publish(value);
  // The client has read the refusals once it has this reply.
  await client.subscribe('b').ready;
  for (let value = 0; value < 100; value++) publish(value);
  await client.close();
  await until(() => codes.length === 195);
  expect(new Set(codes)).toEqual(new Set(['closed']));
});

it('a publish that times out because of the rate has rateLimited as its cause', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  await client.connect();
  let published = 0;
  node.on('publish', ({ id }, connection, proceed) => {
    if (++published <= 8) proceed();
    else connection.error(id, 'rateLimited', 'Rate limit exceeded.', 600_000);
  });
  const all = Array.from({ length: 60 }, (_, value) => client.publish('a', value, { timeoutMs: 500 }));
  const failed = (await Promise.allSettled(all)).flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
  expect(failed).toHaveLength(52);
  for (const error of failed) {
    expect(error).toMatchObject({ code: 'timeout', maybeDelivered: false, cause: { code: 'rateLimited' } });
    expect(error.message).toContain('Rate limit exceeded.');
  }
});

it('the client slows down if the node refuses a publication from send()', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const errors = record(client, 'error');
  await client.connect();
  node.on('publish', (_command, connection) => connection.error(null, 'rateLimited', 'Slow down.', 600_000));
  client.send('a', 1);
  await until(() => errors.length === 1);
  expect(errors[0]).toMatchObject({ code: 'rateLimited' });
  const late = await failure(client.publish('a', 2, { timeoutMs: 50 }));
  expect(late).toMatchObject({ code: 'timeout', cause: { code: 'rateLimited' } });
  await client.subscribe('b').ready;
  expect((await node.connection()).commands.filter(({ type }) => type === 'publish')).toHaveLength(1);
});

it('the client does not repeat a publish whose messageId the node may have forgotten', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  await client.publish('a', 0);
  node.refuseWith = 503;
  cutAtPublish(node, true);
  const published = failure(client.publish('a', 1));
  await until(() => client.state.name === 'connecting');
  const now = performance.now.bind(performance);
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + 101_000);
  try {
    node.refuseWith = null;
    expect(await published).toMatchObject({ code: 'connectionLost', maybeDelivered: true });
  } finally {
    clock.mockRestore();
  }
  await client.publish('a', 2);
  expect(node.log('a').payloads).toHaveLength(3);
});

it('a refused publish has maybeDelivered if an earlier attempt may have succeeded', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  let count = 0;
  node.on('publish', ({ id }, connection) => connection.error(id, count++ === 0 ? 'unconfirmed' : 'malformed'));
  expect(await failure(client.publish('a', 1))).toMatchObject({ code: 'malformed', maybeDelivered: true });
});

it('publish() times out after timeoutMs, with the last failure as the cause', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  node.on('publish', ({ id }, connection) => connection.error(id, 'unconfirmed'));
  expect(await failure(client.publish('a', 1, { timeoutMs: 2_000 }))).toMatchObject({
    code: 'timeout',
    maybeDelivered: true,
    cause: { code: 'unconfirmed' },
  });
  // Only once, so that no publish is in flight when the time is up.
  node.on('publish', ({ id }, connection) => {
    connection.error(id, 'unavailable');
    node.refuseWith = 503;
    connection.close('draining');
  });
  expect(await failure(client.publish('a', 1, { timeoutMs: 5_000 }))).toMatchObject({
    code: 'timeout',
    message: expect.stringMatching(/^No answer in time \(5000 ms\)\. Because\. No connection to ws:.*: HTTP 503$/),
    maybeDelivered: false,
    cause: { code: 'unavailable' },
  });
  node.refuseWith = null;
  node.reset('publish');
  await client.publish('a', 2);
  await client.publish('b', 2);
});

it('publish() can be aborted, and close() ends it, while it waits to retry', async () => {
  await using node = await startTestNode({ hasHistory: true });
  const client = connect(node, { random: () => 0.99 });
  let refusals = 0;
  node.on('publish', ({ id, topic }, connection, proceed) => {
    if (topic === 'c') return proceed();
    refusals++;
    connection.error(id, 'unavailable');
  });
  const abort = new AbortController();
  const aborted = failure(client.publish('a', 1, { signal: abort.signal }));
  const closed = failure(client.publish('b', 1));
  await until(() => refusals >= 4);
  // The reply to this command arrives after the refusals.
  await client.publish('c', 1);
  abort.abort('why');
  expect(await aborted).toMatchObject({ code: 'aborted', cause: 'why', maybeDelivered: false });
  await client.close();
  expect(await closed).toMatchObject({ code: 'closed', maybeDelivered: false, cause: { code: 'unavailable' } });
});

it('the client keeps the order: later publications wait until a failed one is accepted', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node, json);
  await client.connect();
  let refusals = 0;
  node.on('publish', ({ id, topic }, connection, proceed) => {
    if (topic === 'a' && refusals++ < 4) connection.error(id, 'unavailable');
    else proceed();
  });
  const first = client.publish('a', 1);
  await until(() => refusals >= 1);
  // The reply to this publish arrives after the refusal. Other topics do not wait.
  await client.publish('b', 'b');
  const rest = [client.publish('a', 2), client.publish('a', 3)];
  client.send('a', 4);
  await Promise.all([first, ...rest]);
  await until(() => node.log('a').payloads.length === 4);
  expect(node.data('a')).toEqual([1, 2, 3, 4]);
});

it('the client keeps the order of publications that failed together, even if the first is refused again', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node, json);
  await client.subscribe('a').ready;
  let received = 0;
  let refusals = 0;
  node.on('publish', ({ id }, connection, proceed) => {
    received++;
    if (received === 5) connection.cut();
    else if (received > 5 && refusals++ < 2) connection.error(id, 'overloaded');
    else if (received > 5) proceed();
  });
  const published = [1, 2, 3, 4, 5].map((value) => client.publish('a', value));
  await until(() => received >= 5);
  published.push(client.publish('a', 6));
  await Promise.all(published);
  expect(node.data('a')).toEqual([1, 2, 3, 4, 5, 6]);
});

it('the client limits the publications that wait behind a failed one', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node, { maxQueuedPublications: 3, random: () => 0.99 });
  node.on('publish', ({ id, topic }, connection, proceed) => {
    if (topic === 'a') connection.error(id, 'unavailable');
    else proceed();
  });
  const publish = (value: number): Promise<unknown> => client.publish('a', value).catch((error: unknown) => error);
  const published = [publish(1)];
  await (await node.connection()).received('publish');
  await client.publish('b', 1);
  published.push(...[2, 3, 4].map(publish));
  // The first of them may be in flight again.
  const full = [5, 6].map(publish);
  expect(await full[1]).toMatchObject({ code: 'queueFull', maybeDelivered: false });
  node.reset('publish');
  await client.publish('b', 2);
  await Promise.all(published);
  await client.publish('a', 7);
});

it('the client continues with the other publications if a failed one is abandoned', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node, json);
  let refused: string | null = null;
  node.on('publish', ({ id, messageId }, connection, proceed) => {
    refused ??= messageId;
    if (messageId === refused) connection.error(id, 'unavailable');
    else proceed();
  });
  const connection = await node.connection();
  const first = failure(client.publish('a', 1, { timeoutMs: 500 }));
  await connection.received('publish');
  const second = client.publish('a', 2);
  expect(await first).toMatchObject({ code: 'timeout' });
  await second;
  expect(node.data('a')).toEqual([2]);
});

it('drain() waits for repeated publishes', async () => {
  await using node = await startTestNode({ hasHistory: true });
  const client = connect(node, json);
  await client.subscribe('a').ready;
  cutAtPublish(node, true);
  const published = [client.publish('a', 1), client.publish('a', 2)];
  client.send('a', 3);
  await client.drain();
  await Promise.all(published);
  expect(node.data('a').slice(0, 2)).toEqual([1, 2]);
});

it('the client publishes each value once, in order, over connections that break all the time', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node, json);
  const errors = record(client, 'error');
  let received = 0;
  node.on('publish', ({ id }, connection, proceed) => {
    received++;
    if (received % 17 === 0) connection.cut();
    else if (received % 11 === 0) connection.error(id, 'unconfirmed');
    else proceed();
  });
  const values = Array.from({ length: 200 }, (_, index) => index);
  // One after the other: the client does not guarantee the order of concurrent publications if one of them is refused.
  for (const value of values) await client.publish('a', value);
  expect(node.data('a')).toEqual(values);
  expect(errors).toEqual([]);
});
