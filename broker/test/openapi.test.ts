/**
 * The OpenAPI document of a node: an independent validator accepts it, a real node produces each answer that it
 * describes, and no answer that it does not describe.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { startRedis } from '@fanfare/local-cluster';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { env as issuerEnv, tokenOf } from '../../test/tokens.js';
import { createApiKey } from '../src/auth/api-keys.js';
import { maxBatchBytes, maxBatchPublications } from '../src/http/batch-request.js';
import { maxCommands } from '../src/http/commands-request.js';
import { maxOpenRequestsOfOwner } from '../src/http/open-requests.js';
import { startCluster, type TestCluster, type TestNode } from './harness.js';
import { until } from './wait.js';

type Json = Readonly<Record<string, unknown>>;

interface Answer {
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly content?: Readonly<Record<string, { readonly schema: Json }>>;
}

interface Operation {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, Answer>>;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Json>> };
}

/** An answer of the document: its operation, status, and code if it is a problem. */
const named = (operation: string, status: number | string, code: unknown): string =>
  [operation, status, ...(code === undefined ? [] : [code])].join(' ');

/** The same schema, which refuses members that it does not describe. */
function strict(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(strict);
  if (typeof schema !== 'object' || schema === null) return schema;
  const parts = Object.fromEntries(Object.entries(schema).map(([name, part]) => [name, strict(part)]));
  return 'properties' in schema && 'type' in schema ? { ...parts, unevaluatedProperties: false } : parts;
}

/** Compares answers with the document, and remembers them. */
class Contract {
  readonly seen = new Set<string>();
  readonly #ajv = new Ajv2020({ allowUnionTypes: true, validateFormats: false, allErrors: true });
  readonly #validators = new Map<Json, ValidateFunction>();

  constructor(private readonly document: Document) {
    const problem = document.components.schemas['Problem'] as object;
    this.#ajv.addVocabulary(['components']);
    // Referred to in the document's own notation.
    this.#ajv.addSchema({ $id: 'document', components: { schemas: { Problem: strict(problem) as object } } });
  }

  /** All answers of the document. */
  get answers(): string[] {
    return Object.values(this.document.paths).flatMap((path) =>
      Object.values(path).flatMap(({ operationId, responses }) =>
        Object.entries(responses).flatMap(([status, { content }]) => {
          const { properties } = content?.['application/problem+json']?.schema ?? {};
          const codes = (properties as { code?: { enum: readonly string[] } } | undefined)?.code?.enum ?? [undefined];
          return codes.map((code) => named(operationId, status, code));
        }),
      ),
    );
  }

  operationOf(method: string, path: string): Operation {
    const found = Object.entries(this.document.paths).find(([template]) =>
      new RegExp(`^${template.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path.split('?')[0] ?? ''),
    );
    const operation = found?.[1][method.toLowerCase()];
    if (operation === undefined) throw new Error(`The document has no operation ${method} ${path}.`);
    return operation;
  }

  check(operation: Operation, status: number, headers: Headers, body: string, isGet = false): void {
    const answer = operation.responses[status];
    const shown = `${operation.operationId} ${status}: ${body}`;
    expect(answer, shown).toBeDefined();
    const { content = {}, headers: documented = {} } = answer as Answer;
    for (const name of Object.keys(documented)) expect(headers.get(name), `${shown}: ${name}`).not.toBeNull();
    // Caches do not keep successful answers to POST. Varnish would attach a second subscriber to the stream of the first.
    if (isGet || status >= 400) expect(headers.get('cache-control'), shown).toMatch(/^no-store(?:, no-transform)?$/);
    const [mediaType = null] = Object.keys(content);
    expect(headers.get('content-type'), shown).toBe(mediaType);
    const schema = mediaType === null ? undefined : content[mediaType]?.schema;
    if (schema === undefined) expect(body, shown).toBe('');
    if (schema === undefined || mediaType === 'text/event-stream') {
      this.seen.add(named(operation.operationId, status, undefined));
      return;
    }
    const value = JSON.parse(body) as Json;
    const validate = this.#validatorOf(schema);
    expect(validate(value) ? null : validate.errors, shown).toBeNull();
    this.seen.add(named(operation.operationId, status, mediaType?.includes('problem') ? value['code'] : undefined));
  }

  #validatorOf(schema: Json): ValidateFunction {
    const known = this.#validators.get(schema);
    if (known !== undefined) return known;
    const text = JSON.stringify(strict({ type: 'object', ...schema })).replaceAll('"#/', '"document#/');
    const validate = this.#ajv.compile(JSON.parse(text) as object);
    this.#validators.set(schema, validate);
    return validate;
  }
}

const service = createApiKey('shop');
const admin = createApiKey('admin');
const auth = {
  ...(JSON.parse(issuerEnv.FANFARE_AUTH) as object),
  apiKeys: [
    { ...service.entry, permissions: { publish: ['>'], history: ['>'], subscribe: ['>'] } },
    { ...admin.entry, permissions: {}, admin: true },
  ],
};
const page = 'https://app.example.com';
const env = {
  FANFARE_AUTH: JSON.stringify(auth),
  FANFARE_ORIGINS: page,
  FANFARE_TOPICS: '{"fast.>":{"level":"fast"},"safe.>":{"level":"durable"}}',
  FANFARE_DURABLE_TIMEOUT_MS: '50',
  FANFARE_HANDSHAKES_PER_SECOND: '100000',
};

const everything = { publish: ['>'], history: ['>'], subscribe: ['>'] };
const aJson = { 'Content-Type': 'application/json' };

async function documentOf(node: TestNode): Promise<Document> {
  const response = await fetch(`http://127.0.0.1:${node.broker.port}/v1/openapi.json`);
  return (await response.json()) as Document;
}

it('is valid for an independent validator, with and without authentication', async () => {
  await using open = await startCluster();
  await using closed = await startCluster({ env });
  for (const node of [open.node(), closed.node()]) {
    const validator = new Validator();
    const result = await validator.validate((await documentOf(node)) as unknown as Record<string, unknown>);
    expect(result).toMatchObject({ valid: true });
    expect(validator.version).toBe('3.1');
  }
});

it('describes no tokens and no tickets on a node without authentication', async () => {
  await using cluster = await startCluster();
  const document = await documentOf(cluster.node());
  expect(JSON.stringify(document.paths)).not.toContain('WWW-Authenticate');
  expect(Object.keys(document.paths)).not.toContain('/v1/tickets');
});

describe('a node with authentication', () => {
  let cluster: TestCluster;
  let contract: Contract;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 1, redis: true, env });
    contract = new Contract(await documentOf(cluster.node()));
  });
  afterAll(() => cluster[Symbol.asyncDispose]());

  interface Request {
    readonly node?: TestNode;
    readonly method?: 'GET' | 'POST';
    readonly path: string;
    readonly token?: string | null;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string | Uint8Array;
  }

  /** Sends a request, and compares its answer with the document. */
  async function ask({ node = cluster.node(), path, token = service.key, headers = {}, body, ...more }: Request) {
    const { method = body === undefined ? 'GET' : 'POST' } = more;
    const response = await fetch(`http://127.0.0.1:${node.broker.port}${path}`, {
      method,
      headers: { ...(token === null ? {} : { Authorization: `Bearer ${token}` }), ...headers },
      ...(body === undefined ? {} : { body: body as BodyInit }),
    });
    const answer = await response.text();
    contract.check(contract.operationOf(method, path), response.status, response.headers, answer, method === 'GET');
    const value = response.headers.get('content-type')?.includes('json') === true ? JSON.parse(answer) : null;
    return { status: response.status, headers: response.headers, value };
  }

  /** A valid request of each operation. */
  const valid: Readonly<Record<string, Request>> = {
    publish: { path: '/v1/topics/orders.42/publications', headers: aJson, body: '{"state":"paid"}' },
    publishBatch: {
      path: '/v1/publications',
      headers: aJson,
      body: '{"publications":[{"topic":"orders.42","data":1},{"topics":["orders.43","fast.1"],"data":[]}]}',
    },
    history: { path: '/v1/topics/orders.42/publications' },
    topicInfo: { path: '/v1/topics/orders.42' },
    topics: { path: '/v1/topics?prefix=orders.' },
    // It ends at once, because something was published after this position.
    events: { path: '/v1/events?topic=orders.42&wait=1&since=another-epoch-1' },
    commands: { path: '/v1/commands', headers: aJson, body: '[{"type":"ping","id":1},{"type":"connect","id":2}]' },
    createTicket: { method: 'POST', path: '/v1/tickets' },
    revoke: { path: '/v1/revocations', token: admin.key, headers: aJson, body: '{"subject":"mallory"}' },
    openapi: { path: '/v1/openapi.json', token: null },
  };
  const of = (name: string, changes: Partial<Request> = {}): Request => ({ ...(valid[name] as Request), ...changes });
  const withTokens = Object.keys(valid).filter((name) => name !== 'openapi');
  const withOrigins = ['publish', 'publishBatch', 'history', 'commands', 'topicInfo', 'topics', 'events'];
  const posts = ['publish', 'publishBatch', 'commands', 'revoke'];

  it.each(Object.keys(valid))('answers a valid request as described: %s', async (name) => {
    const { status, headers } = await ask(of(name));
    expect(status).toBeLessThan(203);
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    expect(headers.get('traceparent')).toBeNull();
    expect(
      (await ask(of(name, { headers: { ...valid[name]?.headers, traceparent } }))).headers.get('traceparent'),
    ).toBe(traceparent);
  });

  it.each(['history', 'topicInfo', 'topics', 'events', 'openapi'])(
    'answers HEAD like GET, without a body: %s',
    async (name) => {
      const { path, token } = of(name);
      const headers = token === null ? {} : { Authorization: `Bearer ${service.key}` };
      const response = await fetch(`http://127.0.0.1:${cluster.node().broker.port}${path}`, {
        method: 'HEAD',
        headers,
      });
      expect([response.status, await response.text()]).toEqual([200, '']);
      expect(response.headers.get('content-type')).toBe(name === 'events' ? 'text/event-stream' : 'application/json');
    },
  );

  it('answers what succeeds in part with 207', async () => {
    const body = '{"publications":[{"topic":"orders.1","data":1},{"topic":"secret.1","data":1}]}';
    const token = tokenOf('ada', { publish: ['orders.>'] }, 60);
    expect((await ask(of('publishBatch', { token, body }))).status).toBe(207);
    expect((await ask(of('commands', { body: '[{"type":"ping","id":1},{"type":"dance","id":2}]' }))).status).toBe(207);
  });

  it.each(withTokens)('answers wrong tokens as described: %s', async (name) => {
    const { status, headers } = await ask(of(name, { token: null }));
    expect([status, headers.get('www-authenticate')]).toEqual([401, 'Bearer']);
    for (const token of [tokenOf('ada', everything, -10), tokenOf('ada', everything, 60).slice(0, -4)])
      expect((await ask(of(name, { token }))).headers.get('www-authenticate')).toContain('error="invalid_token"');
  });

  it.each(withOrigins)('answers pages of other origins as described: %s', async (name) => {
    const headers = { ...valid[name]?.headers, Origin: 'https://evil.example.com' };
    expect(await ask(of(name, { headers }))).toMatchObject({ status: 403, value: { code: 'originNotAllowed' } });
    const allowed = await ask(of(name, { headers: { ...headers, Origin: page } }));
    expect([allowed.status, allowed.headers.get('access-control-allow-origin')]).toEqual([200, '*']);
  });

  it.each<[string, number, Request]>([
    ['malformed', 400, of('publish', { body: '{' })],
    ['malformed', 400, of('publish', { body: '[object ReadableStream]' })],
    ['malformed', 400, of('publish', { headers: { ...aJson, 'Idempotency-Key': 'a b' } })],
    [
      'malformed',
      400,
      of('publish', { headers: { 'Content-Type': 'application/msgpack' }, body: Uint8Array.of(0xc1) }),
    ],
    ['invalidTopic', 400, of('publish', { path: '/v1/topics/a..b/publications' })],
    ['unsupportedMediaType', 415, of('publish', { headers: { 'Content-Type': 'text/plain' } })],
    ['notPermitted', 403, of('publish', { token: tokenOf('ada', {}, 60) })],
    ['contentTooLarge', 413, of('publish', { body: `"${'x'.repeat(70_000)}"` })],
    ['unconfirmed', 504, of('publish', { path: '/v1/topics/safe.1/publications' })],
    ['malformed', 400, of('publishBatch', { body: '[]' })],
    // It would have no effect, and the sender would rely on it.
    ['malformed', 400, of('publishBatch', { headers: { ...aJson, 'Idempotency-Key': 'a' } })],
    ['malformed', 400, of('publishBatch', { body: '{"publications":[{"topic":"a"}]}' })],
    ['invalidTopic', 400, of('publishBatch', { body: '{"publications":[{"topic":"a..b","data":1}]}' })],
    ['unsupportedMediaType', 415, of('publishBatch', { headers: {} })],
    ['notPermitted', 403, of('publishBatch', { token: tokenOf('ada', {}, 60) })],
    ['contentTooLarge', 413, of('publishBatch', { body: ' '.repeat(maxBatchBytes + 1) })],
    [
      'contentTooLarge',
      413,
      of('publishBatch', {
        headers: { 'Content-Type': 'application/x-ndjson' },
        body: '{"topic":"a","data":1}\n'.repeat(maxBatchPublications + 1),
      }),
    ],
    ['unconfirmed', 504, of('publishBatch', { body: '{"publications":[{"topic":"safe.1","data":1}]}' })],
    ['malformed', 400, of('history', { path: '/v1/topics/a/publications?since=42' })],
    ['malformed', 400, of('history', { path: '/v1/topics/a/publications?sinse=now' })],
    ['invalidTopic', 400, of('history', { path: '/v1/topics/a..b/publications' })],
    ['notPermitted', 403, of('history', { token: tokenOf('ada', {}, 60) })],
    ['noHistory', 404, of('history', { path: '/v1/topics/fast.1/publications' })],
    ['malformed', 400, of('history', { path: '/v1/topics/a/publications?wait=56' })],
    ['malformed', 400, of('topicInfo', { path: '/v1/topics/a?since=now' })],
    ['invalidTopic', 400, of('topicInfo', { path: '/v1/topics/a..b' })],
    ['notPermitted', 403, of('topicInfo', { token: tokenOf('ada', {}, 60) })],
    ['malformed', 400, of('topics', { path: '/v1/topics?prefix=*' })],
    ['notPermitted', 403, of('topics', { token: tokenOf('ada', everything, 60) })],
    ['malformed', 400, of('events', { path: '/v1/events' })],
    ['malformed', 400, of('events', { headers: { 'Last-Event-ID': 'a-1.b-2' } })],
    ['invalidTopic', 400, of('events', { path: '/v1/events?topic=a..b' })],
    ['tooManySubscriptions', 400, of('events', { path: `/v1/events?${'topic=a&'.repeat(33)}` })],
    ['notPermitted', 403, of('events', { token: tokenOf('ada', {}, 60) })],
    ['malformed', 400, of('commands', { body: '{' })],
    ['unsupportedMediaType', 415, of('commands', { headers: {} })],
    ['contentTooLarge', 413, of('commands', { body: ' '.repeat(70_000) })],
    ['contentTooLarge', 413, of('commands', { body: JSON.stringify(Array(maxCommands + 1).fill({ type: 'ping' })) })],
    ['contentTooLarge', 413, of('createTicket', { body: ' '.repeat(5_000) })],
    ['malformed', 400, of('revoke', { body: '{"subject":1}' })],
    ['notPermitted', 403, of('revoke', { token: service.key })],
    ['contentTooLarge', 413, of('revoke', { body: ' '.repeat(5_000) })],
  ])('answers a wrong request with %s, %d', async (code, status, request) => {
    expect(await ask(request)).toMatchObject({
      status,
      value: { code, status, maybeDelivered: code === 'unconfirmed' },
    });
  });

  it('answers a page of history, a following one, and a long poll without news', async () => {
    await ask(of('publish', { path: '/v1/topics/pages/publications' }));
    await ask(
      of('publish', {
        path: '/v1/topics/pages/publications',
        headers: { 'Content-Type': 'application/msgpack' },
        body: Uint8Array.of(0x81, 0x01, 0x02),
      }),
    );
    const first = await ask({ path: '/v1/topics/pages/publications?limit=1' });
    expect(first.value).toMatchObject({ publications: [{ offset: 1, data: { state: 'paid' } }] });
    const { value } = await ask({ path: `/v1/topics/pages/publications?since=${first.value.next}` });
    expect(value).toMatchObject({ publications: [{ offset: 2 }], recovered: true });
    expect((await ask({ path: '/v1/topics/pages/publications?direction=backward' })).value.next).not.toBeNull();
    const empty = await ask({ path: `/v1/topics/pages/publications?wait=1&since=${value.next}` });
    expect([empty.status, empty.headers.get('fanfare-position')]).toEqual([204, value.next]);
  });

  it('answers over the rate limit of a subject as described', async () => {
    await using limited = await startCluster({
      env: { ...env, FANFARE_PUBLISH_RATE: '1', FANFARE_COMMAND_RATE: '1', FANFARE_MAX_SUBSCRIPTIONS: '1' },
    });
    const node = limited.node();
    for (const name of ['publish', 'publishBatch', 'history', 'topicInfo', 'events', 'createTicket']) {
      const token = tokenOf(name, everything, 60);
      const body = name === 'publishBatch' ? '{"publications":[{"topic":"a","data":1}]}' : valid[name]?.body;
      const request = of(name, { node, token, ...(body === undefined ? {} : { body }) });
      const answers = await Promise.all(Array.from({ length: 30 }, () => ask(request)));
      const limitedOnes = answers.filter(({ status }) => status === 429);
      expect(limitedOnes.length, name).toBeGreaterThan(0);
      for (const { headers, value } of limitedOnes)
        expect(Number(headers.get('retry-after')) * 1_000).toBeGreaterThanOrEqual(value.retryAfterMs ?? 1);
    }
  });

  it('answers as described if a node gets too many requests at once', async () => {
    await using busy = await startCluster({ env: { ...env, FANFARE_HANDSHAKES_PER_SECOND: '1' } });
    for (const name of withTokens) {
      await until('a request is refused', async () => {
        // A token that is not known yet.
        const token = tokenOf(randomUUID(), everything, 60);
        return (await ask(of(name, { node: busy.node(), token }))).status === 503;
      });
    }
  });

  it('answers as described while it cannot reach Redis', async () => {
    const redis = await startRedis();
    await redis.kill();
    await using alone = await startCluster({ redis, env, waitReady: false });
    for (const name of withTokens)
      expect(await ask(of(name, { node: alone.node() })), name).toMatchObject({
        status: 503,
        value: { code: 'unavailable', retryable: true },
      });
    await redis[Symbol.asyncDispose]();
  });

  it('answers as described if the authorization hook refuses', async () => {
    const hook = createServer((_, response) => response.end('{"allow":false}')).listen(0, '127.0.0.1');
    await once(hook, 'listening');
    const { port } = hook.address() as AddressInfo;
    const settings = { ...auth, hook: { url: `http://127.0.0.1:${port}/`, events: ['connect'] } };
    await using guarded = await startCluster({ env: { ...env, FANFARE_AUTH: JSON.stringify(settings) } });
    const token = tokenOf('ada', everything, 60);
    for (const name of withOrigins)
      expect(await ask(of(name, { node: guarded.node(), token }))).toMatchObject({ status: 403 });
    hook.closeAllConnections();
    hook.close();
  });

  it('answers as described if bodies do not arrive, and if an address has too many such requests', async () => {
    await using slow = await startCluster({ env: { ...env, FANFARE_TRUSTED_PROXIES: '127.0.0.1' } });
    const { port } = slow.node().broker;
    const withBodies = [...posts, 'createTicket'];
    const answers = withBodies.flatMap((name, index) =>
      Array.from({ length: maxOpenRequestsOfOwner + 1 }, async () => {
        const { path, headers } = valid[name] as Request;
        const request = httpRequest({ port, path, method: 'POST', agent: false });
        for (const [header, value] of Object.entries({
          ...headers,
          'Content-Length': '10',
          'X-Forwarded-For': `192.0.2.${index}`,
        }))
          request.setHeader(header, value);
        // A token that is not known yet: a known one is not counted.
        const token = name === 'revoke' || name === 'createTicket' ? admin.key : tokenOf(randomUUID(), everything, 60);
        request.setHeader('Authorization', `Bearer ${token}`);
        request.write('{');
        const [response] = (await once(request, 'response')) as [IncomingMessage];
        const operation = contract.operationOf('POST', path);
        const { statusCode = 0 } = response;
        contract.check(operation, statusCode, new Headers(response.headers as HeadersInit), await text(response));
        return statusCode;
      }),
    );
    expect(new Set(await Promise.all(answers))).toEqual(new Set([408, 429]));
  });

  it('has answered everything that the document describes, except a bug', () => {
    const missing = contract.answers.filter((answer) => !contract.seen.has(answer) && !answer.endsWith(' internal'));
    expect(missing).toEqual([]);
  });
});
