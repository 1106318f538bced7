/** Behavior that is the same in both encodings. */
import { createClient } from '@fanfare/client';
import { createClient as createJsonClient } from '@fanfare/client/json';
import { describe, expect, it } from 'vitest';
import { connect, failure, record, take } from './harness.js';
import { msgpackPayload, payloadOf, startTestNode, until } from './test-node.js';

describe.each(['msgpack', 'json'] as const)('a client that speaks %s', (encoding) => {
  it('connects with its subprotocol, and emits its states', async () => {
    await using node = await startTestNode();
    await using client = connect(node, { encoding });
    const states = record(client, 'state');
    expect(client.state).toEqual({
      name: 'connecting',
      attempt: 0,
      code: 'connectCalled',
      reason: expect.any(String),
      closeCode: null,
    });
    await client.connect();
    expect(client.state).toEqual({ name: 'connected', node: 'test' });
    expect(states).toEqual([{ name: 'connected', node: 'test' }]);
    expect(node.connections[0]?.webSocket.protocol).toBe(`fanfare.v1.${encoding}`);
  });

  it('delivers publications to a loop and to a listener', async () => {
    await using node = await startTestNode();
    await using client = connect(node, { encoding });
    const heard: unknown[] = [];
    client.subscribe('news', (publication) => heard.push(publication));
    const loop = client.subscribe('news');
    await loop.ready;
    const values = [{ title: 'hello', tags: ['a', 'ü'] }, null, 0, -1.5, 'text', [], 4_294_967_296];
    for (const value of values) expect(await client.publish('news', value)).toEqual({ position: null });
    expect(await take(loop, values.length)).toEqual(values);
    expect(heard).toEqual(values.map((data) => ({ topic: 'news', data, position: null })));
  });

  it('carries keys, in pushes and in the history', async () => {
    await using node = await startTestNode({ hasHistory: true });
    await using client = connect(node, { encoding });
    const heard: unknown[] = [];
    await client.subscribe('orders', (publication) => heard.push(publication)).ready;
    await client.publish('orders', { state: 'paid' }, { key: '42' });
    await client.publish('orders', 'none', { key: undefined, remove: false });
    client.send('orders', null, { key: 'a"b\\', remove: true });
    const position = (offset: number): object => ({ epoch: 'e1', offset });
    const publications = [
      { topic: 'orders', data: { state: 'paid' }, position: position(1), key: '42' },
      { topic: 'orders', data: 'none', position: position(2) },
      { topic: 'orders', data: null, position: position(3), key: 'a"b\\', remove: true },
    ];
    await until(() => heard.length === 3);
    expect(heard).toStrictEqual(publications);
    expect((await client.history('orders')).publications).toStrictEqual(publications);
  });

  it('sends a key again with the publication', async () => {
    await using node = await startTestNode({ hasHistory: true });
    await using client = connect(node, { encoding });
    let refusals = 0;
    node.on('publish', ({ id }, connection, proceed) => {
      if (refusals++ === 0) connection.error(id, 'unconfirmed');
      else proceed();
    });
    await client.publish('orders', 1, { key: '42', remove: true });
    const commands = await (await node.connection()).received('publish', 2);
    expect(commands.map(({ key, remove, repeat }) => ({ key, remove, repeat }))).toEqual([
      { key: '42', remove: true, repeat: false },
      { key: '42', remove: true, repeat: true },
    ]);
  });

  it.each([
    ...[{ key: '' }, { key: 'a b' }, { key: 'ü' }, { key: 'x'.repeat(65) }, { key: 7 as unknown as string }],
    ...[{ key: 'a', remove: 1 as unknown as boolean }, { remove: true }],
  ])('refuses the key of %j', async (options) => {
    const message =
      'key must be 1 to 64 printable ASCII characters without spaces; remove must be a boolean and needs a key.';
    await using node = await startTestNode();
    await using client = connect(node, { encoding });
    expect(await failure(client.publish('a', 1, options))).toMatchObject({ code: 'invalidOption', message });
    expect(() => client.send('a', 1, options)).toThrow(message);
  });

  it('sends the commands of one turn in one frame', async () => {
    await using node = await startTestNode();
    await using client = connect(node, { encoding });
    await client.connect();
    const connection = await node.connection();
    connection.frames.length = 0;
    const subscription = client.subscribe('a');
    const published = [client.publish('a', 1), client.publish('a', 2)];
    client.send('a', 3);
    await Promise.all(published);
    expect(connection.frames.map((frame) => frame.map(({ type }) => type))).toEqual([
      ['subscribe', 'publish', 'publish', 'publish'],
    ]);
    expect(await take(subscription, 3)).toEqual([1, 2, 3]);
  });

  it('gives each acknowledged publication its own messageId, and others none', async () => {
    await using node = await startTestNode();
    await using client = connect(node, { encoding });
    await Promise.all([client.publish('a', 1), client.publish('a', 2)]);
    client.send('a', 3);
    const commands = await (await node.connection()).received('publish', 3);
    const [first, second, third] = commands.map(({ messageId }) => messageId);
    expect(first).toMatch(/^[!-~]{21,}$/);
    expect(second).toMatch(/^[!-~]{21,}$/);
    expect(first).not.toBe(second);
    expect(third).toBeNull();
    expect(commands.map(({ id }) => id === null)).toEqual([false, false, true]);
  });

  it('passes positions to the application', async () => {
    await using node = await startTestNode();
    await using client = connect(node, { encoding });
    node.on('publish', ({ id }, connection) =>
      connection.reply({ type: 'published', id, position: { epoch: 'e', offset: 7 } }),
    );
    expect(await client.publish('a', 1)).toEqual({ position: { epoch: 'e', offset: 7 } });
    const heard: unknown[] = [];
    await client.subscribe('a', ({ data, position }) => heard.push([data, position?.offset])).ready;
    (await node.connection()).push('a', ['x', 'y'], { epoch: 'e', offset: 8 });
    await until(() => heard.length === 2);
    expect(heard).toEqual([
      ['x', 8],
      ['y', 9],
    ]);
  });

  it("rejects with the node's error", async () => {
    await using node = await startTestNode();
    await using client = connect(node, { encoding });
    node.on('publish', ({ id }, connection) => connection.error(id, 'malformed', 'Nonsense.'));
    expect(await failure(client.publish('a', 1))).toMatchObject({
      name: 'ReplyError',
      code: 'malformed',
      message: 'Nonsense.',
      retryable: false,
      maybeDelivered: false,
    });
    node.on('publish', ({ id, repeat }, connection, proceed) =>
      repeat ? proceed() : connection.error(id, 'unconfirmed'),
    );
    expect(await failure(client.publish('a', 1))).toMatchObject({ code: 'unconfirmed', maybeDelivered: true });
  });

  it('reports a publication that cannot be decoded, and continues', async () => {
    await using node = await startTestNode();
    await using client = connect(node, { encoding });
    const subscription = client.subscribe('a');
    const errors = record(subscription, 'error');
    await subscription.ready;
    const regularExpression = Uint8Array.of(0xd4, 0x78, 0, 0x92, 0xa1, 0x61, 0xa0);
    (await node.connection()).pushPayloads('a', [
      msgpackPayload('before'),
      payloadOf('msgpack', regularExpression),
      msgpackPayload('after'),
    ]);
    expect(await take(subscription, 2)).toEqual(['before', 'after']);
    expect(errors).toEqual([expect.objectContaining({ name: 'DataError', code: 'undecodable', topic: 'a' })]);
  });

  it('reports an error of the node about a publication from send()', async () => {
    await using node = await startTestNode();
    await using client = connect(node, { encoding });
    const errors = record(client, 'error');
    node.on('publish', ({ id }, connection) => connection.error(id, 'malformed'));
    client.send('a', 1);
    await until(() => errors.length === 1);
    expect(errors[0]).toMatchObject({ name: 'ReplyError', code: 'malformed' });
  });

  it('ignores unknown messages of a newer node', async () => {
    await using node = await startTestNode();
    await using client = connect(node, { encoding });
    await client.connect();
    const connection = await node.connection();
    connection.raw(encoding === 'json' ? '{"type":"tomorrow","x":1}' : Uint8Array.of(0x92, 0x7f, 0xa1, 0x78));
    await client.publish('a', 1);
    expect(node.connections).toHaveLength(1);
  });

  it('reconnects after a frame that it cannot read', async () => {
    await using node = await startTestNode();
    await using client = connect(node, { encoding });
    await client.connect();
    const states = record(client, 'state');
    (await node.connection()).raw(encoding === 'json' ? '{"type":' : Uint8Array.of(0xc1));
    await until(() => states.at(-1)?.name === 'connected');
    expect(states[0]).toMatchObject({ name: 'connecting', attempt: 1, code: 'protocolError' });
  });

  it('rejects data that the encoding cannot carry, and sends nothing', async () => {
    await using node = await startTestNode();
    await using client = connect(node, { encoding });
    await client.connect();
    const loop: unknown[] = [];
    loop.push(loop);
    expect(await failure(client.publish('a', loop))).toMatchObject({ name: 'DataError', code: 'invalidData' });
    expect(await failure(client.publish('a', () => 1))).toMatchObject({ code: 'invalidData' });
    expect(await failure(client.publish('a', 2n ** 70n))).toMatchObject({ code: 'invalidData' });
    await client.publish('a', undefined);
    expect(await (await node.connection()).received('publish')).toHaveLength(1);
  });
});

it('reads publications of JSON clients like those of MessagePack clients', async () => {
  await using node = await startTestNode();
  await using reader = createClient(node.url);
  await using writer = createJsonClient(node.url);
  const subscription = reader.subscribe('a');
  await subscription.ready;
  await writer.publish('a', { from: 'json', list: [1, 2.5, 'ü'] });
  expect(await take(subscription, 1)).toEqual([{ from: 'json', list: [1, 2.5, 'ü'] }]);
});
