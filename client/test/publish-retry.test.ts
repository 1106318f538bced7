/** publish(): once accepted, whatever happens on the way; never twice on a topic with history. */
import { describe, expect, it, vi } from 'vitest';
import { connect, failure, record } from './harness.js';
import { startTestNode, type TestNode, until } from './test-node.js';

/** Cuts the connection at the next publish; that, and what comes in the same frame, is carried out or not, and not answered. */
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
  it('publishes again, as the same publication, when the connection broke', async () => {
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
    'publishes again what the node answers with %s',
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

it('says so when it repeats what may have been published', async () => {
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
    // Nobody got it, then nobody knows.
    if (refusals++ < 2) connection.error(id, refusals === 1 ? 'unavailable' : 'unconfirmed');
    else proceed();
  });
  await client.publish('a', 2);
  const publishes = await (await node.connection(1)).received('publish', 4);
  expect(publishes.map(({ repeat }) => repeat)).toEqual([true, false, false, true]);
});

it('publishes again with a token that may only publish', async () => {
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

it('does not repeat what may have been published on a topic without history: unknown topic', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  await client.connect();
  cutAtPublish(node, true);
  expect(await failure(client.publish('a', 1))).toMatchObject({
    name: 'ConnectionError',
    code: 'connectionLost',
    maybeDelivered: true,
  });
  // It knows by now: this one is not sent again.
  node.on('publish', ({ id }, connection) => connection.error(id, 'internal'));
  expect(await failure(client.publish('a', 2))).toMatchObject({ code: 'internal', maybeDelivered: true });
  const { commands } = await node.connection(1);
  expect(commands).toMatchObject([{ type: 'connect' }, { type: 'publish', repeat: true }, { repeat: false }]);
});

it('does not repeat what may have been published on a topic without history: known topic', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  await client.publish('a', 0);
  cutAtPublish(node, true);
  node.refuseWith = 503;
  // At once: there is nothing to wait for.
  expect(await failure(client.publish('a', 1))).toMatchObject({ code: 'connectionLost', maybeDelivered: true });
  node.refuseWith = null;
  node.reset('publish');
  await client.publish('a', 2);
  expect(await (await node.connection(1)).received('publish')).toHaveLength(1);
});

it('repeats what nobody got on a topic without history, and stops where that is no longer certain', async () => {
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

it('slows down where it sends more than it may, and keeps the order', async () => {
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

it('takes as much while the rate is exceeded as otherwise while connected', async () => {
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
  // The client has read the refusals once it has this answer.
  await client.subscribe('b').ready;
  for (let value = 0; value < 100; value++) publish(value);
  await client.close();
  await until(() => codes.length === 195);
  expect(new Set(codes)).toEqual(new Set(['closed']));
});

it('says that it was the rate where the turn of a publication has not come in time', async () => {
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

it('slows down where the node refuses what send() has sent', async () => {
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

it('does not repeat what the node may have forgotten to have published', async () => {
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

it('says that it may have been published where a later attempt was refused for good', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  let count = 0;
  node.on('publish', ({ id }, connection) => connection.error(id, count++ === 0 ? 'unconfirmed' : 'malformed'));
  expect(await failure(client.publish('a', 1))).toMatchObject({ code: 'malformed', maybeDelivered: true });
});

it('gives up after timeoutMs, with the last failure as the cause', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node);
  node.on('publish', ({ id }, connection) => connection.error(id, 'unconfirmed'));
  expect(await failure(client.publish('a', 1, { timeoutMs: 2_000 }))).toMatchObject({
    code: 'timeout',
    maybeDelivered: true,
    cause: { code: 'unconfirmed' },
  });
  // Once, so that none is on its way when the time is up.
  node.on('publish', ({ id }, connection) => {
    connection.error(id, 'unavailable');
    node.refuseWith = 503;
    connection.close('draining');
  });
  expect(await failure(client.publish('a', 1, { timeoutMs: 2_000 }))).toMatchObject({
    code: 'timeout',
    message: expect.stringMatching(/^No answer in time \(2000 ms\)\. Because\. No connection to ws:.*: HTTP 503$/),
    maybeDelivered: false,
    cause: { code: 'unavailable' },
  });
  node.refuseWith = null;
  node.reset('publish');
  await client.publish('a', 2);
  await client.publish('b', 2);
});

it('can be aborted, and ended by close(), while it waits to publish again', async () => {
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
  // The answer to this one comes behind the refusals.
  await client.publish('c', 1);
  abort.abort('why');
  expect(await aborted).toMatchObject({ code: 'aborted', cause: 'why', maybeDelivered: false });
  await client.close();
  expect(await closed).toMatchObject({ code: 'closed', maybeDelivered: false, cause: { code: 'unavailable' } });
});

it('keeps the order: what is published later waits behind what has failed', async () => {
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
  // The answer to this one comes behind the refusal. Other topics do not wait.
  await client.publish('b', 'b');
  const rest = [client.publish('a', 2), client.publish('a', 3)];
  client.send('a', 4);
  await Promise.all([first, ...rest]);
  await until(() => node.log('a').payloads.length === 4);
  expect(node.data('a')).toEqual([1, 2, 3, 4]);
});

it('keeps the order of many that failed together, also where the first is refused again', async () => {
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

it('bounds what waits behind a failed publication', async () => {
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
  // The first of them may be on its way again just now.
  const full = [5, 6].map(publish);
  expect(await full[1]).toMatchObject({ code: 'queueFull', maybeDelivered: false });
  node.reset('publish');
  await client.publish('b', 2);
  await Promise.all(published);
  await client.publish('a', 7);
});

it('goes on with the others if one that failed is given up', async () => {
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

it('drain() waits for what is published again', async () => {
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

it('publishes each once, in order, over connections that break all the time', async () => {
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
  // One after the other: the order of those that are under way together is not promised where one of them is refused.
  for (const value of values) await client.publish('a', value);
  expect(node.data('a')).toEqual(values);
  expect(errors).toEqual([]);
});
