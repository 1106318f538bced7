/** Publishing: waiting for a connection, answers, deadlines, limits. */
import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { connect, failure, record } from './harness.js';
import { startTestNode, until } from './test-node.js';

it('once connected, the client sends earlier publications in order, after the subscriptions', async () => {
  await using node = await startTestNode();
  await using client = connect(node, { autoConnect: false });
  const heard: unknown[] = [];
  const published = [client.publish('a', 1), client.publish('a', 2)];
  client.send('a', 3);
  client.subscribe('a', ({ data }) => heard.push(data));
  await client.connect();
  await Promise.all(published);
  await until(() => heard.length === 3);
  expect(heard).toEqual([1, 2, 3]);
  const { frames } = await node.connection();
  expect(frames.map((frame) => frame.map(({ type }) => type))).toEqual([
    ['connect', 'subscribe'],
    ['publish', 'publish', 'publish'],
  ]);
});

it('publish() rejects at once if the queue has too many publications', async () => {
  await using node = await startTestNode();
  await using client = connect(node, { autoConnect: false, maxQueuedPublications: 2 });
  const published = [client.publish('a', 1), client.publish('a', 2)];
  expect(await failure(client.publish('a', 3))).toMatchObject({ code: 'queueFull', maybeDelivered: false });
  expect(() => client.send('a', 3)).toThrow(expect.objectContaining({ code: 'queueFull' }));
  await client.connect();
  await Promise.all(published);
  await client.publish('a', 4);
});

it('publish() rejects at once if the queue has too many bytes', async () => {
  await using node = await startTestNode();
  await using client = connect(node, { autoConnect: false, maxQueuedBytes: 1_000 });
  const published = client.publish('a', 'x'.repeat(600));
  expect(await failure(client.publish('a', 'x'.repeat(600)))).toMatchObject({ code: 'queueFull' });
  await client.connect();
  await published;
});

it('publish() rejects if the socket buffers too many bytes', async () => {
  await using node = await startTestNode();
  await using client = connect(node, { maxUnsentBytes: 100_000 });
  await client.connect();
  (await node.connection()).webSocket.pause();
  const fill = (): void => {
    for (let index = 0; index < 1_000; index++) client.send('a', 'x'.repeat(10_000));
  };
  expect(fill).toThrow(expect.objectContaining({ code: 'queueFull' }));
  expect(await failure(client.publish('a', 'x'.repeat(60_000)))).toMatchObject({ code: 'queueFull' });
});

it('the client limits unanswered publications, and sends the waiting ones in order as replies arrive', async () => {
  await using node = await startTestNode({ hasHistory: true });
  await using client = connect(node, { encoding: 'json', maxInFlightBytes: 10_000 });
  await client.connect();
  const held: Array<() => void> = [];
  node.on('publish', (_command, _connection, proceed) => held.push(proceed));
  const topics = ['a', 'b', 'c'] as const;
  const pad = 'x'.repeat(1_000);
  const published = Array.from({ length: 60 }, (_, number) =>
    client.publish(topics[number % 3] as 'a', { number, pad }),
  );
  await until(() => held.length === 9);
  // A publication above the whole limit waits until all others are answered. The client then sends it alone.
  const large = client.publish('large', 'x'.repeat(20_000));
  for (let answered = 0; answered < 61; answered++) {
    await until(() => held.length > answered);
    expect(held.length - answered).toBeLessThan(10);
    held[answered]?.();
  }
  await Promise.all([...published, large]);
  for (const [index, topic] of topics.entries()) {
    const numbers = node.data(topic).map((each) => (each as { number: number }).number);
    expect(numbers).toEqual(Array.from({ length: 20 }, (_, at) => at * 3 + index));
  }
});

it('publish() rejects with queueFull if more than maxUnsentBytes wait for replies', async () => {
  await using node = await startTestNode();
  await using client = connect(node, { maxInFlightBytes: 1_000, maxUnsentBytes: 10_000, maxQueuedPublications: 3 });
  await client.connect();
  const held: Array<() => void> = [];
  node.on('publish', (_command, _connection, proceed) => held.push(proceed));
  const published = Array.from({ length: 12 }, () => client.publish('a', 'x'.repeat(800)));
  expect(await failure(client.publish('a', 'x'.repeat(1_900)))).toMatchObject({ code: 'queueFull' });
  node.reset('publish');
  held[0]?.();
  await Promise.all(published);
});

it('publish() times out before the publication was sent, and the client does not send it later', async () => {
  await using node = await startTestNode();
  await using client = connect(node, { autoConnect: false });
  expect(await failure(client.publish('a', 1, { timeoutMs: 20 }))).toMatchObject({
    code: 'timeout',
    maybeDelivered: false,
  });
  await client.connect();
  await client.publish('a', 2);
  expect(await (await node.connection()).received('publish')).toHaveLength(1);
});

it('publish() times out without a reply, and the client ignores a late reply', async () => {
  await using node = await startTestNode();
  await using client = connect(node, { timeoutMs: 200 });
  await client.connect();
  const errors = record(client, 'error');
  const late: Array<() => void> = [];
  node.on('publish', (_command, _connection, proceed) => late.push(proceed));
  expect(await failure(client.publish('a', 1))).toMatchObject({ code: 'timeout', maybeDelivered: true });
  for (const proceed of late) proceed();
  node.reset('publish');
  await client.publish('a', 2, { timeoutMs: 5_000 });
  expect(errors).toEqual([]);
});

it('a broken connection rejects unanswered publications, and keeps unsent ones', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  await client.connect();
  node.on('publish', () => {});
  const unanswered = failure(client.publish('a', 'sent'));
  const connection = await node.connection();
  await connection.received('publish');
  node.reset('publish');
  connection.cut();
  expect(await unanswered).toMatchObject({ name: 'ConnectionError', code: 'connectionLost', maybeDelivered: true });
  await client.publish('a', 'queued');
  const publishes = await (await node.connection(1)).received('publish');
  expect(publishes.map(({ repeat }) => repeat)).toEqual([true, false]);
});

it('publish() can be aborted before and after the publication was sent', async () => {
  await using node = await startTestNode();
  await using client = connect(node, { autoConnect: false });
  const signal = AbortSignal.abort('why');
  expect(await failure(client.publish('a', 1, { signal }))).toMatchObject({ code: 'aborted', cause: 'why' });
  const waiting = new AbortController();
  const queued = failure(client.publish('a', 2, { signal: waiting.signal }));
  waiting.abort('enough');
  expect(await queued).toMatchObject({ code: 'aborted', cause: 'enough', maybeDelivered: false });
  node.on('publish', () => {});
  await client.connect();
  const sent = new AbortController();
  const unanswered = failure(client.publish('a', 3, { signal: sent.signal }));
  await (await node.connection()).received('publish');
  sent.abort();
  expect(await unanswered).toMatchObject({ code: 'aborted', maybeDelivered: true });
  expect(await (await node.connection()).received('publish')).toHaveLength(1);
});

it('publish() listens to a signal only until it has its outcome', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const { signal } = new AbortController();
  const publishes = [1, 2, 3].map((data) => client.publish('a', data, { signal }));
  expect(getEventListeners(signal, 'abort')).toHaveLength(1);
  await Promise.all(publishes);
  expect(getEventListeners(signal, 'abort')).toHaveLength(0);
});

it('publish() rejects invalid topics, and sends nothing', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  await client.connect();
  for (const topic of ['', 'a..b', 'a.*', '$sys', 'ä', 'x'.repeat(201)]) {
    expect(await failure(client.publish(topic, 1))).toMatchObject({ code: 'invalidTopic' });
    expect(() => client.send(topic, 1)).toThrow(expect.objectContaining({ code: 'invalidTopic' }));
    expect(() => client.subscribe(topic)).toThrow(expect.objectContaining({ code: 'invalidTopic' }));
  }
  expect((await node.connection()).frames).toHaveLength(1);
});

it.each(['msgpack', 'json'] as const)(
  'the client splits the publications of one turn into frames that the node accepts (%s)',
  async (encoding) => {
    await using node = await startTestNode({ maxFrameBytes: 500 });
    await using client = connect(node, { encoding });
    await client.connect();
    const connection = await node.connection();
    await Promise.all(
      Array.from({ length: 50 }, (_, index) => client.publish('a', `ü${index}`.repeat(1 + (index % 20)))),
    );
    expect(await connection.received('publish')).toHaveLength(50);
    expect(Math.max(...connection.sizes)).toBeLessThanOrEqual(500);
    expect(connection.sizes.length).toBeLessThan(30);
  },
);

it.each(['msgpack', 'json'] as const)('publish() rejects a publication longer than a frame (%s)', async (encoding) => {
  await using node = await startTestNode({ maxFrameBytes: 500 });
  await using client = connect(node, { encoding });
  await client.connect();
  expect(await failure(client.publish('a', 'ü'.repeat(260)))).toMatchObject({ code: 'frameTooLarge' });
  await client.publish('a', 'ü'.repeat(200));
});

it('the client sends thousands of publications of one turn', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  await client.connect();
  await Promise.all(Array.from({ length: 5_000 }, (_, index) => client.publish('a', { index })));
  expect(await (await node.connection()).received('publish')).toHaveLength(5_000);
});

it.each([
  { timeoutMs: Number.POSITIVE_INFINITY },
  { timeoutMs: Number.NaN },
  { timeoutMs: 3_000_000_000 },
  { timeoutMs: -1 },
  { timeoutMs: '50' as unknown as number },
])('publish() rejects an invalid timeoutMs: %o', async (options) => {
  await using node = await startTestNode();
  await using client = connect(node);
  const message = `timeoutMs must be a number from 0 to 2147483647, not ${options.timeoutMs}.`;
  expect(await failure(client.publish('a', 1, options))).toMatchObject({ code: 'invalidOption', message });
  await client.publish('a', 2);
  expect((await node.connection()).commands.map(({ type }) => type)).toEqual(['connect', 'publish']);
});

it('publish() rejects unknown options', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const options = { timeout: 1_000 } as object;
  expect(await failure(client.publish('a', 1, options))).toMatchObject({
    code: 'invalidOption',
    message: 'publish() has no option "timeout". Use one of timeoutMs, signal, key, remove.',
  });
});

it('the client continues after publications that got no reply', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  await client.connect();
  node.on('publish', () => {});
  // The client has at most 16 unanswered publications at first.
  const lost = Array.from({ length: 16 }, () => failure(client.publish('a', 1, { timeoutMs: 50 })));
  for (const error of await Promise.all(lost)) expect(error).toMatchObject({ code: 'timeout' });
  node.reset('publish');
  await client.publish('a', 2);
});
