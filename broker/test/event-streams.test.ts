/** Event streams: the same guarantees as a WebSocket, for clients that only read. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import { fastTopics, shortTimes, startCluster, startNode, type TestCluster } from './harness.js';
import { nameInRedis } from './redis-names.js';
import { TestStream } from './test-stream.js';
import { until, within } from './wait.js';

const streams: TestStream[] = [];
afterEach(async () => {
  for (const stream of streams.splice(0)) await stream[Symbol.asyncDispose]();
});

async function open(
  cluster: TestCluster,
  query: string,
  { node = 0, headers = {} }: { node?: number; headers?: Record<string, string> } = {},
): Promise<TestStream> {
  const stream = await TestStream.open(cluster.node(node).broker.port, `/v1/events?${query}`, headers);
  streams.push(stream);
  return stream;
}

function redisOf(cluster: TestCluster): AsyncDisposable & { readonly client: Redis } {
  const client = new Redis(cluster.redisUrl);
  return { client, [Symbol.asyncDispose]: async () => client.disconnect() };
}

const resume = (lastId: string): { headers: Record<string, string> } => ({ headers: { 'Last-Event-ID': lastId } });

/** Publishes JSON texts unchanged. */
async function publish(
  cluster: TestCluster,
  topic: string,
  texts: readonly string[],
  node = 0,
  query = '',
): Promise<void> {
  for (const body of texts) {
    const answer = await fetch(
      `http://127.0.0.1:${cluster.node(node).broker.port}/v1/topics/${topic}/publications${query}`,
      {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body,
      },
    );
    expect(answer.status).toBe(200);
  }
}

const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, index) => String(from + index));

describe('an event stream', () => {
  it('begins with its headers, a retry, and an event that has an id and no name that a page uses', async () => {
    await using cluster = await startCluster();
    const stream = await open(cluster, 'topic=a');
    expect(stream.status).toBe(200);
    expect(stream.response.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-store, no-transform',
      'x-accel-buffering': 'no',
    });
    const ready = await stream.next('ready');
    expect(ready.id).toMatch(/^\d+-0$/);
    expect(JSON.parse(ready.data)).toEqual({ positions: ready.id, heartbeatMs: 15_000 });
    expect(stream.retryMs).toBeGreaterThanOrEqual(1_000);
    expect(stream.retryMs).toBeLessThanOrEqual(3_000);
  });

  it('gets comments well before the client would ping, whatever their interval is', async () => {
    const env = { FANFARE_SSE_HEARTBEAT_MS: '60000', FANFARE_PING_INTERVAL_MS: '5000' };
    await using cluster = await startCluster({ env });
    const stream = await open(cluster, 'topic=a');
    expect(JSON.parse((await stream.next('ready')).data)).toMatchObject({ heartbeatMs: 3_000 });
  });

  it('gets the publications of one topic as they are, with their positions as ids', async () => {
    await using cluster = await startCluster();
    const stream = await open(cluster, 'topic=a');
    const { id } = await stream.next('ready');
    await publish(cluster, 'a', ['{"n":  1}', '{\n  "n": 2,\r\n  "m": 3\r}', '12345678901234567890']);
    const [first, second, third] = [await stream.next(), await stream.next(), await stream.next()];
    expect(first).toEqual({ name: 'message', data: '{"n":  1}', id: id.replace(/0$/, '1') });
    expect(second).toEqual({ name: 'message', data: '{\n  "n": 2,\n  "m": 3\n}', id: id.replace(/0$/, '2') });
    expect(third.data).toBe('12345678901234567890');
  });

  it('gets MessagePack as JSON, and an event for data that has no form in JSON', async () => {
    await using cluster = await startCluster();
    const [bare, envelope] = [await open(cluster, 'topic=a'), await open(cluster, 'topic=a&envelope=1')];
    const { id } = await bare.next('ready');
    await envelope.next('ready');
    const [epoch] = id.split('-');
    const connection = await cluster.connect();
    await connection.publish('a', { bytes: Uint8Array.of(1, 2), at: 'line\nbreak' });
    // An undefined key of a map has no form in JSON.
    await connection.publish('a', new Map([[1.5, 1]]));
    expect((await bare.next()).data).toBe('{"bytes":"AQI=","at":"line\\nbreak"}');
    expect(await bare.next('undecodable')).toEqual({
      name: 'undecodable',
      data: `{"topic":"a","epoch":"${epoch}","offset":2}`,
      id: `${epoch}-2`,
    });
    expect((await envelope.next()).data).toBe(
      `{"topic":"a","epoch":"${epoch}","offset":1,"data":{"bytes":"AQI=","at":"line\\nbreak"}}`,
    );
    expect((await envelope.next()).data).toBe(`{"topic":"a","epoch":"${epoch}","offset":2,"error":"undecodable"}`);
  });

  it('gets keys in envelopes', async () => {
    await using cluster = await startCluster();
    const [bare, envelope] = [await open(cluster, 'topic=a'), await open(cluster, 'topic=a&envelope=1')];
    await bare.next('ready');
    const { id } = await envelope.next('ready');
    const head = `{"topic":"a","epoch":"${id.split('-')[0]}","offset":`;
    await publish(cluster, 'a', ['1'], 0, '?key=42');
    await publish(cluster, 'a', ['null'], 0, '?key=%22&remove=true');
    const past = await open(cluster, `topic=a&envelope=1&since=${id}`);
    await past.next('ready');
    for (const stream of [envelope, past]) {
      expect((await stream.next()).data).toBe(`${head}1,"data":1,"key":"42"}`);
      expect((await stream.next()).data).toBe(`${head}2,"data":null,"key":"\\"","remove":true}`);
    }
    expect([(await bare.next()).data, (await bare.next()).data]).toEqual(['1', 'null']);
  });

  it('of several topics gets envelopes, and ids with the positions of all of them', async () => {
    await using cluster = await startCluster({ env: { FANFARE_TOPICS: '{"fast.>":{"level":"fast"}}' } });
    const stream = await open(cluster, 'topic=a&topic=fast.x&topic=b');
    const [a, , b] = (await stream.next('ready')).id.split('.').map((position) => position.split('-')[0]);
    await publish(cluster, 'b', ['1', '2']);
    await publish(cluster, 'fast.x', ['3']);
    await publish(cluster, 'a', ['4']);
    const taken = [await stream.next(), await stream.next(), await stream.next(), await stream.next()];
    expect(taken.map(({ data, id }) => [JSON.parse(data), id])).toEqual([
      [{ topic: 'b', epoch: b, offset: 1, data: 1 }, `${a}-0.*.${b}-1`],
      [{ topic: 'b', epoch: b, offset: 2, data: 2 }, `${a}-0.*.${b}-2`],
      [{ topic: 'fast.x', data: 3 }, `${a}-0.*.${b}-2`],
      [{ topic: 'a', epoch: a, offset: 1, data: 4 }, `${a}-1.*.${b}-2`],
    ]);
  });

  it('gets everything once and in order, together with others and with WebSockets', async () => {
    await using cluster = await startCluster({ nodes: 2 });
    const all = await Promise.all([
      open(cluster, 'topic=a'),
      open(cluster, 'topic=a', { node: 1 }),
      open(cluster, 'topic=a&topic=b', { node: 1 }),
      open(cluster, 'topic=a&envelope=1'),
    ]);
    const socket = await cluster.subscriber('a', 1);
    const publisher = await cluster.connect(0);
    for (let index = 0; index < 500; index++) publisher.post('a', index);
    const expected = Array.from({ length: 500 }, (_, index) => index);
    expect(await socket.take('a', 500)).toEqual(expected);
    for (const stream of all) {
      const data = (await stream.take(500)).map((item) =>
        typeof item === 'number' ? item : (item as { data: number }).data,
      );
      expect(data).toEqual(expected);
    }
  });

  it('resumes on another node after its last event, from the header and from the URL', async () => {
    await using cluster = await startCluster({ nodes: 2 });
    const first = await open(cluster, 'topic=a');
    await first.next('ready');
    await publish(cluster, 'a', numbers(1, 3));
    expect(await first.take(2)).toEqual([1, 2]);
    const id = first.lastId.replace(/\d+$/, '2');
    first.close();
    await publish(cluster, 'a', numbers(4, 6));
    const byHeader = await open(cluster, 'topic=a&since=now', { node: 1, ...resume(id) });
    const byUrl = await open(cluster, `topic=a&since=${id}`, { node: 1 });
    expect((await byHeader.next('ready')).id).toBe(id);
    await publish(cluster, 'a', ['7']);
    expect(await byHeader.take(5)).toEqual([3, 4, 5, 6, 7]);
    expect(await byUrl.take(5)).toEqual([3, 4, 5, 6, 7]);
  });

  it('resumes through more history than one answer holds', async () => {
    await using cluster = await startCluster({
      nodes: 2,
      env: { FANFARE_TOPICS: '{">":{"historySize":5000}}' },
    });
    const first = await open(cluster, 'topic=a');
    const { id } = await first.next('ready');
    first.close();
    const publisher = await cluster.connect(0);
    for (let index = 0; index < 3_000; index++) publisher.post('a', index);
    await publisher.settle();
    const last = await publisher.publish('a', 3_000);
    expect(last).toMatchObject({ type: 'published', position: { offset: 3_001 } });
    const back = await open(cluster, 'topic=a', { node: 1, ...resume(id) });
    publisher.post('a', 3_001);
    expect(await back.take(3_002)).toEqual(Array.from({ length: 3_002 }, (_, index) => index));
  });

  it('reports publications that the history no longer has, and another history', async () => {
    await using cluster = await startCluster({
      nodes: 1,
      redis: true,
      env: { FANFARE_TOPICS: '{">":{"historySize":10}}' },
    });
    const first = await open(cluster, 'topic=a');
    const { id } = await first.next('ready');
    const [epoch] = id.split('-');
    first.close();
    const publisher = await cluster.connect(0);
    for (let index = 1; index <= 1_000; index++) await publisher.publish('a', index);
    const late = await open(cluster, 'topic=a', resume(id));
    const gap = await late.next('gap');
    const { offset } = JSON.parse(gap.data) as { offset: number };
    expect(gap).toMatchObject({
      data: `{"topic":"a","epoch":"${epoch}","offset":${offset}}`,
      id: `${epoch}-${offset}`,
    });
    expect(await late.take(1_000 - offset)).toEqual(
      Array.from({ length: 1_000 - offset }, (_, index) => offset + 1 + index),
    );
    const other = await open(cluster, 'topic=a', resume('another-7'));
    expect(await other.next('reset')).toMatchObject({
      data: `{"topic":"a","epoch":"${epoch}","offset":1000}`,
      id: `${epoch}-1000`,
    });
    const ahead = await open(cluster, 'topic=a', resume(`${epoch}-1001`));
    expect((await ahead.next('reset')).id).toBe(`${epoch}-1000`);
    await publisher.publish('a', 'new');
    for (const stream of [other, ahead]) expect(await stream.take(1)).toEqual(['new']);
  });

  it('reports a reset, and does not read Redis again and again, if Redis has lost the history', async () => {
    // Without memory, each stream reads from Redis what it has missed.
    await using cluster = await startCluster({ redis: true, env: { FANFARE_RECENT_BYTES: '0' } });
    await using redis = redisOf(cluster);
    const staying = await open(cluster, 'topic=a');
    const { id } = await staying.next('ready');
    await publish(cluster, 'a', ['1', '2', '3']);
    expect(await staying.take(3)).toEqual([1, 2, 3]);
    await redis.client.del(nameInRedis('a'));
    await redis.client.config('RESETSTAT');
    const back = await open(cluster, 'topic=a', resume(id));
    const resets = [await back.next('reset'), await staying.next('reset')];
    for (const reset of resets) expect(reset.id).not.toContain(id.split('-')[0]);
    const [, reads] = /cmdstat_evalsha:calls=(\d+)/.exec(await redis.client.info('commandstats')) ?? [];
    expect(Number(reads)).toBeLessThan(20);
    await publish(cluster, 'a', ['4']);
    expect([await back.take(1), await staying.take(1)]).toEqual([[4], [4]]);
  });

  it('reports that it may have missed publications of a fast topic', async () => {
    await using cluster = await startCluster({ env: fastTopics });
    const first = await open(cluster, 'topic=a');
    expect((await first.next('ready')).id).toBe('*');
    expect(first.inbox.waiting).toEqual([]);
    const back = await open(cluster, 'topic=a', resume('*'));
    expect(await back.next('gap')).toEqual({ name: 'gap', data: '{"topic":"a"}', id: '*' });
    await publish(cluster, 'a', ['1']);
    expect(await first.take(1)).toEqual([1]);
    expect(await back.take(1)).toEqual([1]);
  });

  it('begins with the last value of a topic that gives it', async () => {
    await using cluster = await startCluster({ env: { FANFARE_TOPICS: '{">":{"lastValue":true}}' } });
    await publish(cluster, 'a', ['1', '2']);
    const stream = await open(cluster, 'topic=a');
    expect((await stream.next('ready')).id).toMatch(/-1$/);
    await publish(cluster, 'a', ['3']);
    expect(await stream.take(2)).toEqual([2, 3]);
    const quiet = await open(cluster, 'topic=a&since=now', resume(stream.lastId));
    await publish(cluster, 'a', ['4']);
    expect(await quiet.take(1)).toEqual([4]);
  });

  it('gets a comment when nothing else is sent', async () => {
    await using cluster = await startCluster({ env: { FANFARE_SSE_HEARTBEAT_MS: '1000' } });
    const stream = await open(cluster, 'topic=a');
    await until('two comments have arrived', () => stream.comments >= 2);
    expect(await cluster.node().metric('fanfare_event_streams')).toBe(1);
  });

  it('takes on another topic from now on, and says what the newest positions are', async () => {
    await using cluster = await startCluster();
    await publish(cluster, 'a', ['1', '2']);
    await publish(cluster, 'b', ['1']);
    const first = await open(cluster, 'topic=a&wait=0');
    const { id } = await first.next('ready');
    expect(await within('the stream ends', first.ended)).toEqual({ isClean: true });
    await publish(cluster, 'a', ['3']);
    const second = await open(cluster, `topic=a&topic=b&since=${id}.now`);
    const [a, b] = (JSON.parse((await second.next('ready')).data) as { positions: string }).positions.split('.');
    expect([a, b]).toEqual([expect.stringMatching(/-3$/), expect.stringMatching(/-1$/)]);
    await publish(cluster, 'b', ['4']);
    expect(await second.take(2)).toMatchObject([
      { topic: 'a', data: 3 },
      { topic: 'b', data: 4 },
    ]);
  });

  it('leaves its topics when its client is gone', async () => {
    await using cluster = await startCluster();
    const stream = await open(cluster, 'topic=a&topic=b');
    const node = cluster.node();
    expect(await node.metric('fanfare_subscriptions')).toBe(2);
    expect(await node.metric('fanfare_connections')).toBe(1);
    stream.close();
    await until('the node has noticed', async () => (await node.metric('fanfare_event_streams')) === 0);
    expect(await node.metric('fanfare_subscriptions')).toBe(0);
    expect(await node.metric('fanfare_connections')).toBe(0);
  });

  it('with wait ends after the first news, or when the time is over, and its connection can be used again', async () => {
    await using cluster = await startCluster({ env: { FANFARE_TOPICS: '{"fast.>":{"level":"fast"}}' } });
    const { port } = cluster.node().broker;
    const waiting = await open(cluster, 'topic=a&topic=fast.x&wait=30');
    await waiting.next('ready');
    await publish(cluster, 'fast.x', ['1']);
    expect(await waiting.take(1)).toEqual([{ topic: 'fast.x', data: 1 }]);
    expect(await within('the stream ends', waiting.ended)).toEqual({ isClean: true });
    await publish(cluster, 'a', ['2', '3']);
    // Everything up to now is in one answer. The gap of a fast topic does not end it.
    const behind = await open(cluster, `topic=a&topic=fast.x&wait=30`, resume(waiting.lastId));
    await behind.next('gap');
    expect(await behind.take(2)).toMatchObject([{ data: 2 }, { data: 3 }]);
    expect(await within('the stream ends', behind.ended)).toEqual({ isClean: true });
    // Two requests on one connection.
    const socket = connect(port, '127.0.0.1');
    const received: string[] = [];
    socket.setEncoding('latin1').on('data', (text) => received.push(String(text)));
    await once(socket, 'connect');
    for (const ends of [1, 2]) {
      socket.write('GET /v1/events?topic=a&wait=1 HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await until('the stream has ended', () => received.join('').split('\r\n0\r\n\r\n').length > ends);
    }
    socket.destroy();
    await until('no stream is open', async () => (await cluster.node().metric('fanfare_connections')) === 0);
  });
});

describe('a request for an event stream is refused', () => {
  it.each([
    ['', 400, 'malformed'],
    ['topic=', 400, 'invalidTopic'],
    ['topic=a.*', 400, 'invalidTopic'],
    ['topic=a&topic=a', 400, 'malformed'],
    [
      numbers(1, 33)
        .map((name) => `topic=${name}`)
        .join('&'),
      400,
      'tooManySubscriptions',
    ],
    ['topic=a&since=x', 400, 'malformed'],
    ['topic=a&since=1-1.1-1', 400, 'malformed'],
    ['topic=a&topic=b&since=1-1', 400, 'malformed'],
    ['topic=a&envelope=2', 400, 'malformed'],
    ['topic=a&wait=-1', 400, 'malformed'],
    ['topic=a&wait=56', 400, 'malformed'],
    ['topic=a&sinse=now', 400, 'malformed'],
  ])('if its query is %s', async (query, status, code) => {
    await using cluster = await startCluster();
    const answer = await fetch(`http://127.0.0.1:${cluster.node().broker.port}/v1/events?${query}`);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(await answer.json()).toMatchObject({ status, code, retryable: false });
  });

  it('if its Last-Event-ID is not an id of these topics', async () => {
    await using cluster = await startCluster();
    for (const id of ['x', '1-1.1-2', '1-1,1-2', '1-']) {
      const stream = await open(cluster, 'topic=a', resume(id));
      expect(stream.status).toBe(400);
    }
  });

  it('for a while with status 200, so that an EventSource returns; others get the problem', async () => {
    await using cluster = await startCluster({ env: { FANFARE_MAX_CONNECTIONS: '1' } });
    const only = await open(cluster, 'topic=a');
    await only.next('ready');
    const refused = await open(cluster, 'topic=a');
    expect(refused.status).toBe(200);
    const { data } = await refused.next('unavailable');
    expect(JSON.parse(data)).toMatchObject({ code: 'overloaded' });
    expect(refused.retryMs).toBeGreaterThanOrEqual(2_000);
    expect(refused.retryMs).toBeLessThanOrEqual(10_000);
    expect(await within('the stream ends', refused.ended)).toEqual({ isClean: true });
    for (const headers of [{ 'Fanfare-Client': 'typescript' }, { Accept: '*/*' }] as Record<string, string>[]) {
      const problem = await open(cluster, 'topic=a', { headers });
      expect(problem.status).toBe(503);
      expect(problem.response.headers).toMatchObject({ 'content-type': 'application/problem+json' });
    }
    expect(await cluster.node().metric('fanfare_streams_unavailable_total')).toBe(1);
    // A WebSocket finds no room either.
    await expect(cluster.connect()).rejects.toThrow();
    only.close();
    await until('there is room', async () => (await cluster.node().metric('fanfare_connections')) === 0);
    await (await open(cluster, 'topic=a')).next('ready');
  });

  it('closes the connection of a client that finds no room, so that it does not take the room of handshakes', async () => {
    await using cluster = await startCluster({ env: { FANFARE_MAX_CONNECTIONS: '1' } });
    await (await open(cluster, 'topic=a')).next('ready');
    const events = 'GET /v1/events?topic=a HTTP/1.1\r\nHost: a\r\n';
    const poll = 'GET /v1/topics/a/publications?since=now&wait=9 HTTP/1.1\r\nHost: a\r\n';
    for (const head of [`${events}Accept: text/event-stream\r\n`, events, poll]) {
      const socket = connect(cluster.node().broker.port, '127.0.0.1');
      let answer = '';
      socket.setEncoding('utf8').on('data', (text: string) => {
        answer += text;
      });
      socket.write(`${head}\r\n`);
      // The node closes the socket before the client does.
      await within('the node closes the connection', once(socket, 'end'));
      expect(answer.toLowerCase()).toContain('\r\nconnection: close\r\n');
      expect(answer).toContain('"overloaded"');
    }
  });

  it('while Redis cannot be reached', async () => {
    await using cluster = await startCluster({ redis: true });
    await cluster.redis.stop();
    const stream = await open(cluster, 'topic=a');
    expect(stream.status).toBe(200);
    expect(JSON.parse((await stream.next('unavailable')).data)).toMatchObject({ code: 'unavailable' });
    expect(await cluster.node().metric('fanfare_event_streams')).toBe(0);
  });

  it('if its method is neither GET nor HEAD; HEAD gets the head', async () => {
    await using cluster = await startCluster();
    const url = `http://127.0.0.1:${cluster.node().broker.port}/v1/events?topic=a`;
    const post = await fetch(url, { method: 'POST', body: '1' });
    expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS']);
    const head = await fetch(url, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
    expect(await cluster.node().metric('fanfare_connections')).toBe(0);
  });
});

describe('a slow reader', () => {
  it('gets everything from the history when it reads again, and the node holds little meanwhile', async () => {
    await using cluster = await startCluster({
      env: {
        FANFARE_TOPICS: '{"fast.>":{"level":"fast"},">":{"historySize":100000}}',
        FANFARE_RECENT_BYTES: '268435456',
      },
    });
    const node = cluster.node();
    const [slow, fastOne] = [await open(cluster, 'topic=a&topic=fast.x'), await open(cluster, 'topic=a')];
    await slow.next('ready');
    slow.pause();
    const publisher = await cluster.connect();
    const filler = 'x'.repeat(8_000);
    const pauses = (): Promise<number> => node.metric('fanfare_stream_pauses_total');
    let count = 0;
    // Until the kernel takes no more, and then as much again.
    while ((await pauses()) === 0 || count < 2_000) {
      for (let index = 0; index < 50; index++) publisher.post('a', [count++, filler]);
      await publisher.settle();
    }
    await until('the node has counted what is unread', async () => (await node.metric('fanfare_buffered_bytes')) > 0);
    expect(await node.metric('fanfare_buffered_bytes')).toBeLessThan(100_000);
    await publisher.publish('fast.x', 'missed');
    expect((await fastOne.take(count)).map((item) => (item as [number])[0])).toEqual(
      Array.from({ length: count }, (_, index) => index),
    );
    slow.resume();
    const numbersRead = (await slow.take(count)).map((item) => (item as { data: [number] }).data[0]);
    expect(numbersRead).toEqual(Array.from({ length: count }, (_, index) => index));
    expect((await slow.next('gap')).data).toBe('{"topic":"fast.x"}');
    await publisher.publish('fast.x', 'live');
    expect(await slow.take(1)).toEqual([{ topic: 'fast.x', data: 'live' }]);
  });

  it('is dropped when it has read nothing for the idle timeout', async () => {
    await using cluster = await startCluster({
      env: { FANFARE_TOPICS: '{">":{"historySize":10}}', FANFARE_IDLE_TIMEOUT_SECONDS: '8' },
    });
    const node = cluster.node();
    const slow = await open(cluster, 'topic=a');
    await slow.next('ready');
    slow.pause();
    const publisher = await cluster.connect();
    while ((await node.metric('fanfare_stream_pauses_total')) === 0) {
      for (let index = 0; index < 100; index++) publisher.post('a', 'x'.repeat(8_000));
      await publisher.settle();
    }
    await until('the node drops it', async () => (await node.metric('fanfare_event_streams')) === 0);
    expect(await node.metric('fanfare_slow_subscribers_total')).toBe(1);
  });
});

describe('draining', () => {
  it('ends each stream at its own time with its own retry, and it resumes elsewhere without a gap', async () => {
    await using cluster = await startCluster({ nodes: 2, env: { FANFARE_DRAIN_WINDOW_MS: '2000' }, times: shortTimes });
    const early = await Promise.all(Array.from({ length: 20 }, () => open(cluster, 'topic=a')));
    for (const stream of early) await stream.next('ready');
    await publish(cluster, 'a', ['1'], 1);
    for (const stream of early) expect(await stream.take(1)).toEqual([1]);
    const startedAt = performance.now();
    const drained = cluster.node(0).broker.drain();
    const ends = await Promise.all(
      early.map(async (stream) => {
        await stream.next('goaway');
        expect(await within('the stream ends', stream.ended)).toEqual({ isClean: true });
        return performance.now() - startedAt;
      }),
    );
    expect(new Set(ends.map((ms) => Math.floor(ms / 100))).size).toBeGreaterThan(3);
    expect(new Set(early.map(({ retryMs }) => retryMs)).size).toBeGreaterThan(3);
    await publish(cluster, 'a', ['2'], 1);
    for (const { lastId } of early) {
      const after = await open(cluster, 'topic=a', { node: 1, ...resume(lastId) });
      expect(await after.take(1)).toEqual([2]);
    }
    await within('the node stops', drained);
  });

  it('ends a stream with wait, and closes its connection at the next request; the stream resumes elsewhere', async () => {
    await using cluster = await startCluster({ nodes: 2, env: { FANFARE_DRAIN_WINDOW_MS: '1000' }, times: shortTimes });
    const socket = connect(cluster.node(0).broker.port, '127.0.0.1');
    let answer = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      answer += text;
    });
    const closed = once(socket, 'end');
    const ask = (): unknown => socket.write('GET /v1/events?topic=a&wait=50 HTTP/1.1\r\nHost: a\r\n\r\n');
    ask();
    await until('the stream begins', () => answer.includes('event: ready'));
    const drained = cluster.node(0).broker.drain();
    await until('the stream ends', () => answer.endsWith('\r\n0\r\n\r\n'));
    expect(answer).toContain('event: goaway');
    const lastId = /.*^id: (\S+)/ms.exec(answer)?.[1] ?? '';
    await publish(cluster, 'a', ['1'], 1);
    answer = '';
    ask();
    await within('the node closes the connection', closed);
    expect(answer).toMatch(/^HTTP\/1\.1 503 /);
    expect(answer.toLowerCase()).toContain('\r\nconnection: close\r\n');
    expect(await (await open(cluster, 'topic=a&wait=50', { node: 1, ...resume(lastId) })).take(1)).toEqual([1]);
    await within('the node stops', drained);
  });

  it('a node without Redis ends its streams at once', async () => {
    const node = await startNode({});
    const stream = await TestStream.open(node.broker.port, '/v1/events?topic=a');
    await stream.next('ready');
    await node.broker.drain();
    await stream.next('goaway');
    expect(await stream.ended).toEqual({ isClean: true });
  });
});
