/** Publishing and reading over HTTP on running nodes: outcomes, order, idempotency, permissions, limits and faults. */
import { once } from 'node:events';
import { Agent, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { FaultProxy, startRedis } from '@fanfare/local-cluster';
import { SignJWT } from 'jose';
import { pack } from 'msgpackr';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { maxBatchPublications } from '../src/http/batch-request.js';
import { maxCommands } from '../src/http/commands-request.js';
import { maxOpenRequestsOfOwner } from '../src/http/open-requests.js';
import { startCluster, startNode, type TestCluster, type TestNode } from './harness.js';
import { until, within } from './wait.js';

type Members = Readonly<Record<string, unknown>>;

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Members;
}

function urlOf(node: TestNode, path: string): string {
  return `http://127.0.0.1:${node.broker.port}${path}`;
}

async function send(
  node: TestNode,
  path: string,
  init: RequestInit & { readonly duplex?: 'half' } = {},
): Promise<Answer> {
  const response = await fetch(urlOf(node, path), init);
  const body = await response.text();
  return { status: response.status, headers: response.headers, body: body === '' ? {} : (JSON.parse(body) as Members) };
}

const json = { 'Content-Type': 'application/json' };

function post(node: TestNode, topic: string, data: string, headers: Record<string, string> = {}): Promise<Answer> {
  return send(node, `/v1/topics/${topic}/publications`, {
    method: 'POST',
    body: data,
    headers: { ...json, ...headers },
  });
}

function batch(node: TestNode, publications: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const body = JSON.stringify({ publications });
  return send(node, '/v1/publications', { method: 'POST', body, headers: { ...json, ...headers } });
}

async function dataOf(node: TestNode, topic: string): Promise<unknown[]> {
  const { body } = await send(node, `/v1/topics/${topic}/publications?limit=1000`);
  return (body['publications'] as { data: unknown }[]).map(({ data }) => data);
}

describe('publishing', () => {
  let cluster: TestCluster;
  let here: TestNode;
  let there: TestNode;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 2, env: { FANFARE_TOPICS: '{"fast.>":{"level":"fast"}}' } });
    [here, there] = [cluster.node(0), cluster.node(1)];
  });
  afterAll(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  it('answers with the position, and a repeat at another node with the same one', async () => {
    const key = { 'Idempotency-Key': 'order-1' };
    const first = await post(here, 'orders.1', '{"state":"paid"}', key);
    expect(first).toMatchObject({
      status: 200,
      body: { topic: 'orders.1', offset: 1, messageId: 'order-1', duplicate: false },
    });
    const repeat = await post(there, 'orders.1', '{"state":"paid"}', { 'Idempotency-Key': '"order-1"' });
    expect(repeat).toMatchObject({ status: 200, body: { ...first.body, duplicate: true } });
    expect(await dataOf(there, 'orders.1')).toEqual([{ state: 'paid' }]);
  });

  it('makes a key if there is none, and each one is another', async () => {
    const ids = await Promise.all(['1', '1'].map(async (data) => (await post(here, 'keys', data)).body['messageId']));
    expect(ids).toEqual([expect.stringMatching(/^[\w-]{21}$/), expect.stringMatching(/^[\w-]{21}$/)]);
    expect(new Set(ids).size).toBe(2);
    expect(await dataOf(here, 'keys')).toEqual([1, 1]);
  });

  it('hands the text to subscribers character for character', async () => {
    const subscriber = await cluster.subscriber('exact', 1, 'json');
    const frames: string[] = [];
    subscriber.socket.on('message', (data) => frames.push(String(data)));
    const exact = '{ "id": 12345678901234567890, "pi":3.10, "text":"\\u00e9\\n" }';
    await post(here, 'exact', `\n ${exact} `);
    await subscriber.take('exact', 1);
    expect(frames.find((frame) => frame.includes('publications'))).toContain(`{"data":${exact}}`);
  });

  it('takes MessagePack, and JSON subscribers get it as JSON', async () => {
    const subscriber = await cluster.subscriber('packed', 1, 'json');
    const headers = { 'Content-Type': 'application/msgpack' };
    const body = new Uint8Array(pack({ a: [1, 'b', null] }));
    expect(await send(here, '/v1/topics/packed/publications', { method: 'POST', body, headers })).toMatchObject({
      status: 200,
    });
    expect(await subscriber.take('packed', 1)).toEqual([{ a: [1, 'b', null] }]);
    for (const wrong of [body.slice(0, -1), new Uint8Array([...body, 0]), new Uint8Array([0xc1]), new Uint8Array()]) {
      const answer = await send(here, '/v1/topics/packed/publications', { method: 'POST', body: wrong, headers });
      expect(answer).toMatchObject({
        status: 400,
        body: { code: 'malformed', detail: 'The body is not exactly one MessagePack value.' },
      });
    }
  });

  it('to a topic of level fast has no position, and no key of its own', async () => {
    const subscriber = await cluster.subscriber('fast.a', 1);
    expect((await post(here, 'fast.a', '1')).body).toEqual({ topic: 'fast.a' });
    expect((await post(here, 'fast.a', '2', { 'Idempotency-Key': 'k' })).body).toEqual({
      topic: 'fast.a',
      messageId: 'k',
    });
    expect(await subscriber.take('fast.a', 2)).toEqual([1, 2]);
  });

  it('takes a key from the query and from the items of a batch, and history and held requests have it', async () => {
    const path = '/v1/topics/keyed/publications';
    const publish = (query: string, data: string): Promise<Answer> =>
      send(here, path + query, { method: 'POST', body: data, headers: json });
    expect(await publish('?key=42', '1')).toMatchObject({ status: 200, body: { offset: 1 } });
    expect(await publish('?remove=false', '2')).toMatchObject({ status: 200 });
    const items = [
      { topic: 'keyed', data: null, key: 'a"b', remove: true },
      { topics: ['keyed', 'fast.keyed'], data: 4, key: null, remove: null },
      { topic: 'keyed', data: 5, key: '~' },
    ];
    expect(await batch(here, items)).toMatchObject({ status: 200 });
    const publications = [
      { offset: 1, data: 1, key: '42' },
      { offset: 2, data: 2 },
      { offset: 3, data: null, key: 'a"b', remove: true },
      { offset: 4, data: 4 },
      { offset: 5, data: 5, key: '~' },
    ];
    const { body } = await send(there, path);
    expect(body['publications']).toEqual(publications);
    const held = send(there, `${path}?since=${String(body['next'])}&wait=10`);
    await publish('?key=42&remove=true', '6');
    expect((await held).body['publications']).toEqual([{ offset: 6, data: 6, key: '42', remove: true }]);
  });

  it.each([
    ['?key=', '"key" must be 1 to 64 characters of printable ASCII without spaces.'],
    ['?key=a%20b', '"key" must be 1 to 64 characters of printable ASCII without spaces.'],
    [`?key=${'x'.repeat(65)}`, '"key" must be 1 to 64 characters of printable ASCII without spaces.'],
    ['?remove=true', '"remove" needs a "key": it removes what was published with that key.'],
    ['?key=a&remove=1', 'remove must be "true" or "false".'],
    ['?keys=a', 'The query has the unknown parameter "keys"; did you mean key?'],
  ])('refuses the query %s', async (query, detail) => {
    const answer = await send(here, `/v1/topics/keyed/publications${query}`, {
      method: 'POST',
      body: '1',
      headers: json,
    });
    expect(answer).toMatchObject({ status: 400, body: { code: 'malformed', detail } });
  });

  it.each([
    [{ key: 7 }, '"key" must be 1 to 64 characters of printable ASCII without spaces.'],
    [{ key: 'a b' }, '"key" must be 1 to 64 characters of printable ASCII without spaces.'],
    [{ key: 'a', remove: 'yes' }, '"remove" must be true or false.'],
    [{ remove: true }, '"remove" needs a "key": it removes what was published with that key.'],
  ])('refuses an item of a batch with %j', async (members, rule) => {
    const answer = await batch(here, [
      { topic: 'a', data: 1 },
      { topic: 'a', data: 1, ...members },
    ]);
    expect(answer).toMatchObject({ status: 400, body: { code: 'malformed', detail: `publications[1]: ${rule}` } });
  });

  it('keeps the order of one HTTP connection', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const subscriber = await cluster.subscriber('ordered', 1);
    const all = Array.from({ length: 200 }, async (_, index) => {
      const request = httpRequest(urlOf(here, '/v1/topics/ordered/publications'), {
        method: 'POST',
        agent,
        headers: json,
      });
      request.end(String(index));
      const [response] = await once(request, 'response');
      await text(response);
      return response.statusCode;
    });
    expect(new Set(await Promise.all(all))).toEqual(new Set([200]));
    agent.destroy();
    expect(await subscriber.take('ordered', 200)).toEqual(Array.from({ length: 200 }, (_, index) => index));
  });

  it.each([
    ['a body that is not JSON', 'orders.1', '{"a":', json, 400, 'malformed', /^The body is not JSON: .*\.$/],
    ['an empty body', 'orders.1', '', json, 400, 'malformed', /^The body is not JSON: .*\.$/],
    [
      'a form',
      'orders.1',
      'a=1',
      { 'Content-Type': 'application/x-www-form-urlencoded' },
      415,
      'unsupportedMediaType',
      /is not supported\. The data is application\/json or application\/msgpack\.$/,
    ],
    [
      'the text of a stream object',
      'orders.1',
      '[object ReadableStream]',
      json,
      400,
      'malformed',
      /^The body is not JSON/,
    ],
    [
      'data nested too deep',
      'orders.1',
      '['.repeat(129) + ']'.repeat(129),
      json,
      400,
      'malformed',
      /^The data is nested deeper than 128 levels\.$/,
    ],
    ['an invalid topic', 'a..b', '1', json, 400, 'invalidTopic', /has an empty segment\.$/],
    ['an invalid topic in percent-encoding', '%2Fetc', '1', json, 400, 'invalidTopic', /has a character outside/],
    [
      'a key that is too long',
      'orders.1',
      '1',
      { ...json, 'Idempotency-Key': 'k'.repeat(65) },
      400,
      'malformed',
      /^Idempotency-Key must be 1 to 64 characters/,
    ],
    [
      'a key with a space',
      'orders.1',
      '1',
      { ...json, 'Idempotency-Key': 'a b' },
      400,
      'malformed',
      /^Idempotency-Key must be 1 to 64 characters/,
    ],
    [
      'data that is too long',
      'orders.1',
      JSON.stringify('x'.repeat(70_000)),
      json,
      413,
      'contentTooLarge',
      /^The body is longer than 65536 bytes\.$/,
    ],
  ] as const)('refuses %s, and publishes nothing', async (_, topic, data, headers, status, code, detail) => {
    const answer = await post(here, topic, data, headers);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer).toMatchObject({
      status,
      body: { code, detail: expect.stringMatching(detail), maybeDelivered: false },
    });
    expect(await dataOf(here, 'orders.1')).toEqual([{ state: 'paid' }]);
  });

  it('answers a body that is too long before it has arrived, and the client can read the answer', async () => {
    const socket = connect(here.broker.port, '127.0.0.1');
    socket.write('POST /v1/topics/long/publications HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n');
    socket.write(`Content-Length: 1000000000\r\n\r\n${'1'.repeat(70_000)}`);
    const [head] = await within('the answer arrives', once(socket, 'data'));
    expect(String(head)).toMatch(/^HTTP\/1\.1 413 /);
    socket.destroy();
  });

  it('answers preflights, and other methods with 405', async () => {
    const preflight = await fetch(urlOf(here, '/v1/topics/a/publications'), {
      method: 'OPTIONS',
      headers: { Origin: 'https://a.test', 'Access-Control-Request-Method': 'POST' },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-headers')).toContain('Idempotency-Key');
    expect(preflight.headers.get('access-control-allow-methods')).toContain('POST');
    const wrong = await send(here, '/v1/publications', { method: 'PUT', body: '1' });
    expect(wrong).toMatchObject({ status: 405, body: { code: 'methodNotAllowed' } });
    expect(wrong.headers.get('allow')).toBe('POST, OPTIONS');
  });

  it('answers other paths with 404', async () => {
    expect(await send(here, '/v1/topic/a')).toMatchObject({
      status: 404,
      body: {
        code: 'notFound',
        detail: 'Not found. GET /v1/openapi.json lists the paths; the WebSocket endpoint is /ws.',
      },
    });
  });

  it('returns traceparent, unless it is invalid', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    expect((await post(here, 'traced', '1', { traceparent })).headers.get('traceparent')).toBe(traceparent);
    expect((await post(here, 'traced', '1', { traceparent: 'mine' })).headers.get('traceparent')).toBeNull();
  });
});

describe('a batch', () => {
  let cluster: TestCluster;
  let node: TestNode;
  beforeAll(async () => {
    cluster = await startCluster({ env: { FANFARE_TOPICS: '{"fast.>":{"level":"fast"}}' } });
    node = cluster.node();
  });
  afterAll(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  it('publishes in order, to one topic or several, and names each result', async () => {
    const { status, body } = await batch(node, [
      { topic: 'a', data: 1, messageId: 'one' },
      { topics: ['a', 'b', 'fast.c'], data: { x: 2 }, messageId: 'two' },
      { topic: 'a', data: 3 },
    ]);
    expect(status).toBe(200);
    expect(body['results']).toMatchObject([
      { topic: 'a', offset: 1, messageId: 'one', duplicate: false, status: 200 },
      { topic: 'a', offset: 2, messageId: 'two', status: 200 },
      { topic: 'b', offset: 1, messageId: 'two', status: 200 },
      { topic: 'fast.c', messageId: 'two', status: 200 },
      { topic: 'a', offset: 3, status: 200 },
    ]);
    expect(await dataOf(node, 'a')).toEqual([1, { x: 2 }, 3]);
    const again = await batch(node, [{ topics: ['a', 'b'], data: { x: 2 }, messageId: 'two' }]);
    expect(again.body['results']).toMatchObject([
      { topic: 'a', offset: 2, duplicate: true },
      { topic: 'b', offset: 1, duplicate: true },
    ]);
  });

  it('may be one item per line, and keeps the text of its data', async () => {
    const lines = '{"topic":"lines","data":1.10}\r\n\n  {"data":{"data":[2]},"topic":"lines"}\n';
    const headers = { 'Content-Type': 'application/x-ndjson' };
    const answer = await send(node, '/v1/publications', { method: 'POST', body: lines, headers });
    expect(answer).toMatchObject({ status: 200, body: { results: [{ offset: 1 }, { offset: 2 }] } });
    const history = await (await fetch(urlOf(node, '/v1/topics/lines/publications'))).text();
    expect(history).toContain('{"offset":1,"data":1.10},{"offset":2,"data":{"data":[2]}}');
  });

  it('takes the last of two members of one name, as JSON.parse does', async () => {
    const body = '{"publications":[],"publicat\\u0069ons":[{"topic":"last","data":1,"d\\u0061ta":2}]}';
    expect(await send(node, '/v1/publications', { method: 'POST', body, headers: json })).toMatchObject({
      status: 200,
    });
    expect(await dataOf(node, 'last')).toEqual([2]);
  });

  it('may be empty, but not a body without any line', async () => {
    expect(await batch(node, [])).toMatchObject({ status: 200, body: { results: [] } });
    const headers = { 'Content-Type': 'application/x-ndjson' };
    for (const body of ['', ' \n\r\n'.repeat(10_000)]) {
      expect(await send(node, '/v1/publications', { method: 'POST', body, headers })).toMatchObject({
        status: 400,
        body: { detail: 'The body has no item. Write one per line.' },
      });
    }
  });

  it.each<[string, unknown, number, RegExp]>([
    ['an item that is no object', [1], 400, /^publications\[0\] must be an object/],
    ['a misspelled member', [{ topic: 't', data: 1, message_id: 'm' }], 400, /unknown member "message_id".*messageId/],
    ['an item without a topic', [{ data: 1 }], 400, /^publications\[0\] must have either "topic" or "topics"\.$/],
    ['an item with both', [{ data: 1, topic: 'a', topics: ['b'] }], 400, /either "topic" or "topics"/],
    ['no topics', [{ data: 1, topics: [] }], 400, /an array of 1 to 100 topics/],
    ['a topic twice', [{ data: 1, topics: ['a', 'a'] }], 400, /names a topic twice/],
    ['an invalid topic', [{ data: 1, topic: 'a b' }], 400, /^publications\[0\]: The topic "a b"/],
    ['an item without data', [{ topic: 't' }], 400, /^publications\[0\] needs "data"\.$/],
    ['an invalid messageId', [{ topic: 't', data: 1, messageId: 'a b' }], 400, /has a messageId that is not/],
    [
      'too many',
      Array.from({ length: maxBatchPublications + 1 }, () => ({ topic: 't', data: 1 })),
      413,
      /more than 1000 publications/,
    ],
    [
      'long data',
      [{ topic: 't', data: 'x'.repeat(70_000) }],
      413,
      /^publications\[0\] has data of more than 65536 bytes/,
    ],
    [
      'much data for many topics',
      [{ topics: Array.from({ length: 70 }, (_, index) => `t${index}`), data: 'x'.repeat(60_000) }],
      413,
      /^The data of all publications is longer than 4194304 bytes\. Send several batches\.$/,
    ],
    ['something else than an array', 1, 400, /^The body must be \{"publications"/],
  ])('with %s publishes nothing, not even the items before', async (_, publications, status, detail) => {
    const items = Array.isArray(publications) ? publications : publications;
    const wrong = await batch(node, items);
    expect(wrong).toMatchObject({ status, body: { detail: expect.stringMatching(detail), maybeDelivered: false } });
    if (!Array.isArray(publications)) return;
    const behind = await batch(node, [{ topic: 'untouched', data: 1 }, ...publications]);
    expect(behind.status).toBe(status);
    expect(await dataOf(node, 'untouched')).toEqual([]);
  });

  it('names the line that is wrong', async () => {
    const headers = { 'Content-Type': 'application/x-ndjson' };
    const body = '{"topic":"untouched","data":1}\n\n{"topic":"untouched"';
    expect(await send(node, '/v1/publications', { method: 'POST', body, headers })).toMatchObject({
      status: 400,
      body: { detail: expect.stringMatching(/^Line 3 is not JSON: /) },
    });
  });
});

describe('commands', () => {
  it('are carried out in order, and answered by their ids; those without one only if they fail', async () => {
    await using cluster = await startCluster({ env: { FANFARE_TOPICS: '{"fast":{"level":"fast"}}' } });
    const commands = [
      { type: 'connect', id: 1 },
      { type: 'publish', topic: 't', data: 'a' },
      { type: 'publish', id: 2, topic: 't', data: 'b' },
      { type: 'history', id: 3, topic: 't' },
      { type: 'publish', topic: 'a b', data: 1 },
      { type: 'subscribe', id: 4, topic: 't' },
      { type: 'ping', id: 5 },
    ];
    const answer = await send(cluster.node(), '/v1/commands', {
      method: 'POST',
      body: JSON.stringify(commands),
      headers: json,
    });
    expect(answer.status).toBe(207);
    expect(answer.body).toMatchObject([
      { type: 'connected', id: 1, node: 'node-0' },
      { type: 'published', id: 2, offset: 2 },
      { type: 'history', id: 3 },
      { type: 'error', code: 'invalidTopic' },
      { type: 'error', id: 4, code: 'unknownCommand' },
      { type: 'pong', id: 5 },
    ]);
    const ping = await send(cluster.node(), '/v1/commands', {
      method: 'POST',
      body: '{"type":"ping","id":9}',
      headers: json,
    });
    expect(ping).toMatchObject({ status: 200, body: [{ type: 'pong', id: 9 }] });
  });
});

describe('too many commands', () => {
  it('are refused, and none is carried out', async () => {
    await using cluster = await startCluster({ env: { FANFARE_MAX_FRAME_BYTES: '1048576' } });
    const commands = Array.from({ length: maxCommands + 1 }, (_, index) => ({
      type: 'publish',
      id: index + 1,
      topic: 't',
      data: 1,
    }));
    const ask = (body: unknown): Promise<Answer> =>
      send(cluster.node(), '/v1/commands', { method: 'POST', body: JSON.stringify(body), headers: json });
    expect(await ask(commands)).toMatchObject({
      status: 413,
      body: { code: 'contentTooLarge', maybeDelivered: false },
    });
    expect(await dataOf(cluster.node(), 't')).toEqual([]);
    expect(await ask(commands.slice(1))).toMatchObject({ status: 200 });
    expect(await dataOf(cluster.node(), 't')).toHaveLength(maxCommands);
  });
});

describe('history', () => {
  it('is read in pages, forward and backward, from any node', async () => {
    await using cluster = await startCluster({ nodes: 2 });
    await batch(
      cluster.node(0),
      Array.from({ length: 25 }, (_, index) => ({ topic: 'h', data: index })),
    );
    for (const [direction, expected] of [
      ['forward', [0, 24]],
      ['backward', [24, 0]],
    ] as const) {
      const seen: number[] = [];
      let since: string | null = '';
      for (let pages = 0; since !== null && pages < 10; pages++) {
        const from = since === '' ? '' : `&since=${since}`;
        const { body, headers } = await send(
          cluster.node(1),
          `/v1/topics/h/publications?limit=10&direction=${direction}${from}`,
        );
        const page = (body['publications'] as { data: number; offset: number }[]).map(({ data, offset }) => {
          expect(offset).toBe(data + 1);
          return data;
        });
        seen.push(...(direction === 'forward' ? page : page.toReversed()));
        since = body['next'] as string | null;
        expect(headers.get('fanfare-position')).toBe(since);
        if (direction === 'forward' && page.length === 0) break;
      }
      expect([seen.length, seen[0], seen.at(-1)]).toEqual([25, ...expected]);
    }
    const now = await send(cluster.node(1), '/v1/topics/h/publications?since=now');
    expect(now.body).toMatchObject({ publications: [], offset: 25, next: expect.stringMatching(/-25$/) });
  });

  it.each([
    ['since=yesterday', /^since must be "now" or a position/],
    ['limit=0', /^limit must be an integer from 1 to 1000\.$/],
    ['limit=1001', /^limit must be/],
    ['direction=up', /^direction must be "forward" or "backward"\.$/],
    ['sinse=1-2', /unknown parameter "sinse".*since/],
    ['limit=1&limit=2', /has limit twice/],
    ['wait=5&direction=backward', /wait cannot be combined/],
  ])('refuses %s', async (query, detail) => {
    await using cluster = await startCluster();
    expect(await send(cluster.node(), `/v1/topics/h/publications?${query}`)).toMatchObject({
      status: 400,
      body: { code: 'malformed', detail: expect.stringMatching(detail) },
    });
  });
});

describe('with authentication', () => {
  const secret = 'a secret that is known to this test only';
  const serviceKey = 'fk_orders_Hq3sT6vW9yZ2bC5dE8fG1hJ4kL7mN0pR';
  const adminKey = 'fk_admin_Vd2rV1cW0e5vG8hJ3kM6nP9qS2tU5wX8';
  let cluster: TestCluster;
  let node: TestNode;

  async function sha256(key: string): Promise<string> {
    return Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(key))).toString('hex');
  }

  function tokenOf(sub: string, seconds = 60): Promise<string> {
    const now = Math.floor(Date.now() / 1_000);
    return new SignJWT({ fanfare: { publish: ['user.>'], history: ['user.>'] } })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer('https://id.test')
      .setAudience('fanfare')
      .setSubject(sub)
      .setIssuedAt(now - 10)
      .setExpirationTime(now + seconds)
      .sign(Buffer.from(secret));
  }

  const as = (token: string): Record<string, string> => ({ Authorization: `Bearer ${token}` });

  let auth: object;
  beforeAll(async () => {
    auth = {
      issuers: [
        { issuer: 'https://id.test', audience: 'fanfare', clockSkewSeconds: 0, keys: [{ algorithm: 'HS256', secret }] },
      ],
      apiKeys: [
        {
          id: 'orders',
          sha256: await sha256(serviceKey),
          permissions: { publish: ['orders.>'], history: ['orders.>'] },
        },
        { id: 'admin', sha256: await sha256(adminKey), permissions: {}, admin: true },
      ],
    };
    const env = {
      FANFARE_AUTH: JSON.stringify(auth),
      FANFARE_PUBLISH_RATE: '10',
      FANFARE_COMMAND_RATE: '5',
      FANFARE_HANDSHAKES_PER_SECOND: '50',
      FANFARE_MAX_SUBSCRIPTIONS: '20',
      FANFARE_ORIGINS: 'https://app.test',
    };
    cluster = await startCluster({ env });
    node = cluster.node();
  });
  afterAll(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  it('needs a token, and says so in WWW-Authenticate', async () => {
    const none = await post(node, 'user.a', '1');
    expect(none).toMatchObject({ status: 401, body: { code: 'unauthenticated' } });
    expect(none.headers.get('www-authenticate')).toBe('Bearer');
    const wrong = await post(node, 'user.a', '1', as('not-a-token'));
    expect(wrong).toMatchObject({ status: 401, body: { code: 'invalidToken' } });
    expect(wrong.headers.get('www-authenticate')).toMatch(/^Bearer error="invalid_token", error_description=".+"$/);
    expect(await post(node, 'user.a', '1', as(await tokenOf('eve', -1)))).toMatchObject({
      body: { code: 'tokenExpired' },
    });
  });

  it('permits what the token permits, also in a batch', async () => {
    const token = as(await tokenOf('ada'));
    expect(await post(node, 'user.a', '1', token)).toMatchObject({ status: 200 });
    expect(await post(node, 'orders.a', '1', token)).toMatchObject({ status: 403, body: { code: 'notPermitted' } });
    expect(await post(node, 'orders.a', '1', as(serviceKey))).toMatchObject({ status: 200 });
    const some = await batch(node, [{ topics: ['user.b', 'orders.b'], data: 1 }], token);
    expect(some).toMatchObject({
      status: 207,
      body: {
        results: [
          { topic: 'user.b', status: 200 },
          { topic: 'orders.b', status: 403, code: 'notPermitted' },
        ],
      },
    });
    const nothing = await batch(node, [{ topics: ['orders.a', 'orders.b'], data: 1 }], token);
    expect(nothing).toMatchObject({
      status: 403,
      body: { code: 'notPermitted', results: [{ status: 403 }, { status: 403 }] },
    });
    expect(await send(node, '/v1/topics/orders.a/publications', { headers: token })).toMatchObject({ status: 403 });
  });

  it('gives each publication of a batch its part of the rate, in order', async () => {
    const token = as(await tokenOf('grace'));
    const { status, body } = await batch(
      node,
      Array.from({ length: 40 }, (_, index) => ({ topic: 'user.rate', data: index })),
      token,
    );
    expect(status).toBe(207);
    const statuses = (body['results'] as { status: number }[]).map((result) => result.status);
    // The burst is two seconds of the rate. What follows a refused publication to the topic waits for it.
    expect(statuses.slice(0, 20)).toEqual(Array.from({ length: 20 }, () => 200));
    expect(statuses[20]).toBe(429);
    expect(statuses.slice(20).filter((each) => each === 200)).toEqual([]);
    // At once: a slow machine stays below the rate.
    const answers = await Promise.all(Array.from({ length: 60 }, () => post(node, 'user.rate', '1', token)));
    const single = answers.find((answer) => answer.status === 429) as Answer;
    expect(single).toMatchObject({ status: 429, body: { code: 'rateLimited', retryable: true } });
    expect(Number(single.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(single.body['retryAfterMs']).toBeGreaterThan(0);
  });

  it('refuses a remembered token as soon as it is revoked, or has expired', async () => {
    const token = as(await tokenOf('mallory'));
    expect(await post(node, 'user.m', '1', token)).toMatchObject({ status: 200 });
    const revoke = { method: 'POST', body: '{"subject":"mallory"}', headers: as(adminKey) };
    expect((await send(node, '/v1/revocations', revoke)).status).toBe(202);
    expect(await post(node, 'user.m', '1', token)).toMatchObject({ status: 401, body: { code: 'invalidToken' } });
    const short = as(await tokenOf('kim', 2));
    expect(await post(node, 'user.k', '1', short)).toMatchObject({ status: 200 });
    await until('the token has expired', async () => (await post(node, 'user.k', '1', short)).status === 401);
  });

  it('refuses a token that is revoked while the body arrives', async () => {
    const token = await tokenOf('slow');
    expect(await post(node, 'user.s', '1', as(token))).toMatchObject({ status: 200 });
    const socket = connect({ port: node.broker.port, host: '127.0.0.1', noDelay: true });
    socket.setEncoding('latin1');
    const lines = ['Host: x', `Authorization: Bearer ${token}`, 'Content-Type: application/json', 'Content-Length: 2'];
    socket.write(`POST /v1/topics/user.s/publications HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n4`);
    // Answered behind it, so the node has read it.
    expect(await post(node, 'user.s', '1', as(token))).toMatchObject({ status: 200 });
    const revoke = { method: 'POST', body: '{"subject":"slow"}', headers: as(adminKey) };
    expect((await send(node, '/v1/revocations', revoke)).status).toBe(202);
    socket.write('2');
    const [answer] = await within('the request is answered', once(socket, 'data'));
    expect(String(answer)).toMatch(/^HTTP\/1\.1 401 /);
    socket.destroy();
  });

  it('counts incomplete bodies of a user, whose token is known, and serves others', async () => {
    const token = await tokenOf('greedy');
    expect(await post(node, 'user.g', '1', as(token))).toMatchObject({ status: 200 });
    const lines = ['Host: x', `Authorization: Bearer ${token}`, 'Content-Type: application/json', 'Content-Length: 9'];
    const head = `POST /v1/topics/user.g/publications HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`;
    const answers: string[] = [];
    const sockets = Array.from({ length: maxOpenRequestsOfOwner + 1 }, () => {
      const socket = connect({ port: node.broker.port, host: '127.0.0.1', noDelay: true });
      socket.setEncoding('latin1').on('data', (piece) => answers.push(String(piece).slice(9, 12)));
      socket.write(`${head}1`);
      return socket;
    });
    await until('one is refused', () => answers.includes('429'));
    expect(answers).toEqual(['429']);
    expect(await post(node, 'user.g', '1', as(await tokenOf('other')))).toMatchObject({ status: 200 });
    for (const socket of sockets) socket.destroy();
  });

  it('charges wrong bodies and long histories to the command rate', async () => {
    const wrong = as(await tokenOf('wrong'));
    // At once: a slow machine stays below the rate.
    const bodies = await Promise.all(Array.from({ length: 60 }, () => batch(node, [{ topic: 'user.w' }], wrong)));
    expect(new Set(bodies.map(({ status }) => status))).toEqual(new Set([400, 429]));
    const reader = as(await tokenOf('reader'));
    const read = (): Promise<Answer> => send(node, '/v1/topics/user.long/publications', { headers: reader });
    const write = { topic: 'user.long', data: 'x'.repeat(60_000) };
    await batch(node, [write, write, write, write], as(await tokenOf('writer')));
    const startedAt = performance.now();
    let pages = 0;
    await until('reading is refused', async () => {
      // At once: the rate pays for five pages in four seconds.
      const statuses = (await Promise.all(Array.from({ length: 5 }, read))).map(({ status }) => status);
      pages += statuses.filter((status) => status === 200).length;
      return statuses.includes(429);
    });
    const seconds = (performance.now() - startedAt) / 1_000;
    // Each page of 240 KB costs four commands. Their burst is two seconds of the rate, and the subscriptions.
    expect(pages).toBeLessThan(20 + 2 * seconds);
  });

  it('says exactly when to retry after too many requests with unknown tokens', async () => {
    // With the default limit, a slow machine would never reach it.
    await using few = await startNode({ FANFARE_AUTH: JSON.stringify(auth), FANFARE_HANDSHAKES_PER_SECOND: '10' });
    const ada = as(await tokenOf('ada'));
    expect(await post(few, 'user.a', '1', ada)).toMatchObject({ status: 200 });
    await until('a request is refused', async () => {
      const all = await Promise.all(
        Array.from({ length: 100 }, (_, index) => post(few, 'user.a', '1', as(`unknown-${index}`))),
      );
      const refused = all.find(({ status }) => status === 503);
      if (refused === undefined) return false;
      expect(refused.body).toMatchObject({ code: 'overloaded', retryAfterMs: 1_000 });
      return true;
    });
    // A known token is not.
    expect(await post(few, 'user.a', '1', ada)).toMatchObject({ status: 200 });
  });

  it('serves pages of allowed origins only', async () => {
    const token = as(await tokenOf('ada'));
    const allowed = await post(node, 'user.o', '1', { ...token, Origin: 'https://app.test' });
    expect(allowed.status).toBe(200);
    expect(allowed.headers.get('access-control-allow-origin')).toBe('*');
    expect(await post(node, 'user.o', '1', { ...token, Origin: 'https://evil.test' })).toMatchObject({
      status: 403,
      body: { code: 'originNotAllowed' },
    });
  });

  it('does not mix up the keys of two senders', async () => {
    const key = { 'Idempotency-Key': 'same' };
    const [one, two] = [as(await tokenOf('one')), as(await tokenOf('two'))];
    expect(await post(node, 'user.mixed', '1', { ...one, ...key })).toMatchObject({ body: { duplicate: false } });
    expect(await post(node, 'user.mixed', '2', { ...two, ...key })).toMatchObject({
      body: { duplicate: false, offset: 2 },
    });
    expect(await post(node, 'user.mixed', '1', { ...one, ...key })).toMatchObject({
      body: { duplicate: true, offset: 1 },
    });
  });
});

describe('while Redis fails', () => {
  it('answers 503 while nobody can have it, 504 if the outcome is unknown, and a repeat publishes once', async () => {
    const redis = await startRedis();
    await using _redis = redis;
    await using way = await FaultProxy.start({ targetPort: redis.port });
    await using node = await startNode({
      FANFARE_REDIS_URL: `redis://${way.address}`,
      FANFARE_REDIS_TIMEOUT_MS: '2000',
      FANFARE_TOPICS: '{"fast.>":{"level":"fast"}}',
    });
    await until('the node is ready', async () => (await node.readiness()).status === 200);
    expect(await post(node, 't', '1', { 'Idempotency-Key': 'first' })).toMatchObject({ status: 200 });
    // The answer of Redis is lost, but not the publication.
    way.block('toClient');
    const unknown = await post(node, 't', '2', { 'Idempotency-Key': 'second' });
    expect(unknown).toMatchObject({
      status: 504,
      body: { code: 'unconfirmed', retryable: true, maybeDelivered: true, messageId: 'second', topic: 't' },
    });
    await until('nothing is accepted any more', async () => {
      const { status, headers, body } = await post(node, 't', '3', { 'Idempotency-Key': 'third' });
      if (status !== 503) return false;
      expect(body).toMatchObject({ code: 'unavailable', retryable: true, maybeDelivered: false });
      expect(headers.get('retry-after')).toBe('1');
      return true;
    });
    const all = await batch(node, [{ topic: 't', data: 3, messageId: 'third' }]);
    expect(all).toMatchObject({ status: 503, body: { code: 'unavailable', results: [{ status: 503 }] } });
    await way.heal();
    way.reset();
    await until('the node is ready', async () => (await node.readiness()).status === 200);
    expect(await post(node, 't', '2', { 'Idempotency-Key': 'second' })).toMatchObject({
      status: 200,
      body: { duplicate: true, offset: 2 },
    });
    expect((await post(node, 't', '3', { 'Idempotency-Key': 'third' })).status).toBe(200);
    expect(new Set(await dataOf(node, 't'))).toEqual(new Set([1, 2, 3]));
    expect(await dataOf(node, 't')).toHaveLength(3);
  });
});

describe('a node that stops', () => {
  it('answers requests that wait for Redis, although it has no connection', async () => {
    const redis = await startRedis();
    await using _redis = redis;
    await using way = await FaultProxy.start({ targetPort: redis.port });
    const node = await startNode({ FANFARE_REDIS_URL: `redis://${way.address}`, FANFARE_REDIS_TIMEOUT_MS: '5000' });
    await until('the node is ready', async () => (await node.readiness()).status === 200);
    way.block('toClient');
    const answers = Promise.all(['1', '2', '3'].map((data) => post(node, 't', data)));
    await until('the requests have arrived', async () => (await node.metric('fanfare_publications_in_total')) === 3);
    const drained = node.broker.drain();
    await way.heal();
    expect((await answers).map(({ status }) => status)).toEqual([200, 200, 200]);
    await drained;
  });

  it('answers every request that it has read, and asks clients to close', async () => {
    await using cluster = await startCluster({ nodes: 2, env: { FANFARE_DRAIN_WINDOW_MS: '2000' } });
    const node = cluster.node(0);
    // Keeps the window open.
    const guest = await cluster.subscriber('t', 0);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ask = async (data: string): Promise<{ status: number | undefined; connection: string | undefined }> => {
      const options = { method: 'POST', agent, headers: json };
      const request = httpRequest(urlOf(node, '/v1/topics/t/publications'), options).end(data);
      const [response] = await once(request, 'response');
      await text(response);
      return { status: response.statusCode, connection: response.headers.connection };
    };
    expect(await ask('1')).toEqual({ status: 200, connection: undefined });
    const drained = node.broker.drain();
    // The connection is open already.
    expect(await ask('2')).toEqual({ status: 200, connection: 'close' });
    await guest.close();
    await drained;
    agent.destroy();
    expect(await dataOf(cluster.node(1), 't')).toEqual([1, 2]);
  });
});
