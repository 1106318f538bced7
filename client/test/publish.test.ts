/** Publishing: waiting for a connection, answers, deadlines, limits. */
import { expect, it } from 'vitest';
import { connect, failure, record } from './harness.js';
import { startTestNode, until } from './test-node.js';

it('sends what was published without a connection once there is one, in order, behind the subscriptions', async () => {
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

it('refuses at once what goes beyond the queue: count', async () => {
  await using node = await startTestNode();
  await using client = connect(node, { autoConnect: false, maxQueuedPublications: 2 });
  const published = [client.publish('a', 1), client.publish('a', 2)];
  expect(await failure(client.publish('a', 3))).toMatchObject({ code: 'queueFull', maybeDelivered: false });
  expect(() => client.send('a', 3)).toThrow(expect.objectContaining({ code: 'queueFull' }));
  await client.connect();
  await Promise.all(published);
  await client.publish('a', 4);
});

it('refuses at once what goes beyond the queue: bytes', async () => {
  await using node = await startTestNode();
  await using client = connect(node, { autoConnect: false, maxQueuedBytes: 1_000 });
  const published = client.publish('a', 'x'.repeat(600));
  expect(await failure(client.publish('a', 'x'.repeat(600)))).toMatchObject({ code: 'queueFull' });
  await client.connect();
  await published;
});

it('refuses what goes beyond the bytes that the socket may hold', async () => {
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

it('sends no more than may be unanswered, and the rest in order as answers come', async () => {
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
  // One that is larger than all that may be unanswered waits for all others, and goes alone.
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

it('refuses with queueFull what waits for answers beyond maxUnsentBytes', async () => {
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

it('gives up after timeoutMs what never left, and takes it back', async () => {
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

it('gives up after timeoutMs what is not answered, and ignores a late answer', async () => {
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

it('rejects what was unanswered when the connection broke, and keeps what had not left', async () => {
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

it('can be aborted before and after it has left', async () => {
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

it('refuses topics that break the grammar, and sends nothing', async () => {
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

it.each(['msgpack', 'json'] as const)('splits a long turn into frames that the node takes (%s)', async (encoding) => {
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
});

it.each(['msgpack', 'json'] as const)('refuses a publication longer than a frame (%s)', async (encoding) => {
  await using node = await startTestNode({ maxFrameBytes: 500 });
  await using client = connect(node, { encoding });
  await client.connect();
  expect(await failure(client.publish('a', 'ü'.repeat(260)))).toMatchObject({ code: 'frameTooLarge' });
  await client.publish('a', 'ü'.repeat(200));
});

it('sends thousands of publications of one turn', async () => {
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
])('refuses a timeoutMs that makes no sense: %o', async (options) => {
  await using node = await startTestNode();
  await using client = connect(node);
  const message = `timeoutMs must be a number from 0 to 2147483647, not ${options.timeoutMs}.`;
  expect(await failure(client.publish('a', 1, options))).toMatchObject({ code: 'invalidOption', message });
  await client.publish('a', 2);
  expect((await node.connection()).commands.map(({ type }) => type)).toEqual(['connect', 'publish']);
});

it('refuses options that publish() does not have', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  const options = { timeout: 1_000 } as object;
  expect(await failure(client.publish('a', 1, options))).toMatchObject({
    code: 'invalidOption',
    message: 'publish() has no option "timeout". Use one of timeoutMs, signal.',
  });
});

it('goes on after publications that were never answered', async () => {
  await using node = await startTestNode();
  await using client = connect(node);
  await client.connect();
  node.on('publish', () => {});
  // As many as may be unanswered at first.
  const lost = Array.from({ length: 16 }, () => failure(client.publish('a', 1, { timeoutMs: 50 })));
  for (const error of await Promise.all(lost)) expect(error).toMatchObject({ code: 'timeout' });
  node.reset('publish');
  await client.publish('a', 2);
});
