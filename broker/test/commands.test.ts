import type { Encoding } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import { fastTopics, startCluster } from './harness.js';

const encodings: readonly Encoding[] = ['msgpack', 'json'];

describe.each(encodings)('a client that speaks %s', (encoding) => {
  it('receives the name of its node and the limits when it connects', async () => {
    await using cluster = await startCluster({ env: { FANFARE_PING_INTERVAL_MS: '12000' } });
    const client = await cluster.connect(0, encoding);
    expect(await client.request({ type: 'connect', token: null })).toEqual({
      type: 'connected',
      id: 1,
      node: 'node-0',
      pingIntervalMs: 12_000,
      maxFrameBytes: 65_536,
      expiresInMs: null,
    });
  });

  it('gets publications of the topics it subscribed to, and nothing else', async () => {
    await using cluster = await startCluster();
    const reader = await cluster.subscriber('news', 0, encoding);
    const writer = await cluster.connect(0, encoding);
    expect(await writer.publish('weather', 'rain')).toMatchObject({ type: 'published', position: { offset: 1 } });
    expect(await writer.publish('news', { title: 'hello' })).toMatchObject({
      type: 'published',
      position: { offset: 1 },
    });
    expect(await reader.take('news', 1)).toEqual([{ title: 'hello' }]);
    expect(reader.inbox.waiting).toEqual([]);
  });

  it('gets its own publications if it is subscribed', async () => {
    await using cluster = await startCluster();
    const client = await cluster.subscriber('news', 0, encoding);
    await client.publish('news', 1);
    expect(await client.take('news', 1)).toEqual([1]);
  });

  it('gets no reply if it publishes without acknowledgement', async () => {
    await using cluster = await startCluster();
    const reader = await cluster.subscriber('news');
    const writer = await cluster.connect(0, encoding);
    writer.post('news', 'a', 'b', 'c');
    expect(await reader.take('news', 3)).toEqual(['a', 'b', 'c']);
    await writer.settle();
    expect(writer.inbox.waiting).toEqual([]);
  });

  it('gets no publications of a topic after the reply to unsubscribe', async () => {
    await using cluster = await startCluster();
    const reader = await cluster.subscriber('news', 0, encoding);
    const writer = await cluster.connect(0, encoding);
    writer.post('news', ...Array.from({ length: 100 }, (_, index) => index));
    const reply = await reader.unsubscribe('news');
    expect(reply).toMatchObject({ type: 'unsubscribed', topic: 'news' });
    const before = reader.inbox.waiting.length;
    await writer.publish('news', 'late');
    await reader.settle();
    expect(reader.inbox.waiting.length).toBe(before);
  });

  it('sends several commands in one frame', async () => {
    await using cluster = await startCluster();
    const client = await cluster.connect(0, encoding);
    client.send(
      { type: 'connect', id: 1, token: null },
      { type: 'subscribe', id: 2, topic: 'a', since: null },
      { type: 'subscribe', id: 3, topic: 'b', since: { epoch: 'x', offset: 7 } },
      { type: 'publish', id: 4, topic: 'b', data: [1, 2], messageId: 'm-1' },
      { type: 'ping', id: 5 },
    );
    expect(await client.next('connected')).toMatchObject({ id: 1 });
    expect(await client.next('subscribed')).toMatchObject({ id: 2, topic: 'a', recovered: false, publications: [] });
    expect(await client.next('subscribed')).toMatchObject({
      id: 3,
      topic: 'b',
      position: { offset: 0 },
      recovered: false,
    });
    expect(await client.next('published')).toMatchObject({ id: 4 });
    expect(await client.next('pong')).toMatchObject({ id: 5 });
    expect(await client.take('b', 1)).toEqual([[1, 2]]);
  });

  it('gets a pong even if its ping has no id', async () => {
    await using cluster = await startCluster();
    const client = await cluster.connect(0, encoding);
    client.send({ type: 'ping', id: null });
    expect(await client.next('pong')).toEqual({ type: 'pong', id: null });
  });

  it('gets an error if it subscribes twice, or unsubscribes from a topic without a subscription', async () => {
    await using cluster = await startCluster();
    const client = await cluster.subscriber('news', 0, encoding);
    expect(await client.subscribe('news')).toMatchObject({
      type: 'error',
      code: 'alreadySubscribed',
      retryable: false,
    });
    expect(await client.unsubscribe('weather')).toMatchObject({
      type: 'error',
      code: 'notSubscribed',
      retryable: false,
    });
    await client.publish('news', 'still there');
    expect(await client.take('news', 1)).toEqual(['still there']);
  });

  it('may repeat a publish only if the node can detect repeated publications', async () => {
    await using cluster = await startCluster({ env: { FANFARE_TOPICS: '{"fast.>":{"level":"fast"}}' } });
    const reader = await cluster.subscriber('kept', 0, encoding);
    await reader.subscribe('fast.t');
    const again = (topic: string) => reader.request({ type: 'publish', topic, data: 1, messageId: 'm', repeat: true });
    const refused = { type: 'error', code: 'noHistory', retryable: false };
    expect(await again('fast.t')).toMatchObject(refused);
    const accepted = await again('kept');
    expect(accepted).toMatchObject({ type: 'published', position: { offset: 1 } });
    expect(await again('kept')).toMatchObject({ position: { offset: 1 } });
    expect(await reader.take('kept', 1)).toEqual([1]);
    expect(reader.inbox.waiting).toEqual([]);
  });

  it('gets an error with the rule that a topic breaks, and stays connected', async () => {
    await using cluster = await startCluster();
    const client = await cluster.connect(0, encoding);
    expect(await client.subscribe('news.*')).toMatchObject({ type: 'error', code: 'invalidTopic', retryable: false });
    expect(await client.publish('', 1)).toMatchObject({
      type: 'error',
      code: 'invalidTopic',
      message: 'The topic is empty.',
    });
    await client.settle();
  });

  it('gets an error for a subscription beyond the limit, and keeps the others', async () => {
    await using cluster = await startCluster({ env: { FANFARE_MAX_SUBSCRIPTIONS: '2' } });
    const client = await cluster.subscriber('a', 0, encoding);
    await client.subscribe('b');
    expect(await client.subscribe('c')).toMatchObject({
      type: 'error',
      code: 'tooManySubscriptions',
      retryable: false,
    });
    await client.unsubscribe('a');
    expect(await client.subscribe('c')).toMatchObject({ type: 'subscribed' });
    await client.publish('b', 1);
    expect(await client.take('b', 1)).toEqual([1]);
  });

  it('gets a large publication whole, in a frame of its own', async () => {
    await using cluster = await startCluster();
    const reader = await cluster.subscriber('big', 0, encoding);
    const large = 'x'.repeat(60_000);
    reader.post('big', 'before', large.slice(0, 40_000), 'after');
    expect(await reader.take('big', 3)).toEqual(['before', large.slice(0, 40_000), 'after']);
  });

  it('gets many publications in order, in any number of frames', async () => {
    await using cluster = await startCluster();
    const reader = await cluster.subscriber('many', 0, encoding);
    const writer = await cluster.connect(0, encoding);
    const numbers = Array.from({ length: 5_000 }, (_, index) => index);
    for (let at = 0; at < numbers.length; at += 500) writer.post('many', ...numbers.slice(at, at + 500));
    expect(await reader.take('many', numbers.length)).toEqual(numbers);
  });
});

describe('JSON and MessagePack clients of one topic', () => {
  const values = [null, true, 0, -1, 1.5, 'täxt "quoted" \u2028', [1, [2]], { a: { b: [] } }, 9_007_199_254_740_991];

  it.each(encodings)('all get publications of a %s client', async (encoding) => {
    await using cluster = await startCluster();
    const json = await cluster.subscriber('t', 0, 'json');
    const msgpack = await cluster.subscriber('t', 0, 'msgpack');
    const writer = await cluster.connect(0, encoding);
    writer.post('t', ...values);
    expect(await json.take('t', values.length)).toEqual(values);
    expect(await msgpack.take('t', values.length)).toEqual(values);
  });

  it('keep JSON text character for character', async () => {
    await using cluster = await startCluster({ env: fastTopics });
    const reader = await cluster.subscriber('t', 0, 'json');
    const frames: string[] = [];
    reader.socket.on('message', (data) => frames.push(Buffer.from(data as ArrayBuffer).toString()));
    reader.sendRaw('{"type":"publish","topic":"t","data":{"n": 12345678901234567890,\n "x":1.0}}');
    await reader.take('t', 1);
    expect(frames).toEqual([
      '{"type":"publications","topic":"t","items":[{"data":{"n": 12345678901234567890,\n "x":1.0}}]}',
    ]);
  });

  it('get a marker for data that cannot be converted to JSON, and all other publications', async () => {
    await using cluster = await startCluster();
    const json = await cluster.subscriber('t', 0, 'json');
    const msgpack = await cluster.connect();
    // publish ["good", a bin that is not a MessagePack value, "good"]
    msgpack.post('t', 'good');
    msgpack.sendRaw(Uint8Array.of(0x94, 4, 0xc0, 0xa1, 0x74, 0xc4, 1, 0xc1));
    msgpack.post('t', 'good');
    expect(await json.take('t', 3)).toEqual(['good', { error: 'undecodable' }, 'good']);
  });
});
