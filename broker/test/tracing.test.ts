/** Traces of publications, as a collector gets them from nodes that are processes of their own. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@fanfare/client';
import { findFreePort, type NodeProcess, startNode, startRedis } from '@fanfare/local-cluster';
import { TraceSampler, traceOf } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import { until } from './wait.js';

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly traceState?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
}

interface Attribute {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

interface Received extends Span {
  /** The node that sent it. */
  readonly node: unknown;
}

interface Request {
  readonly resourceSpans: ReadonlyArray<{
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: ReadonlyArray<{ readonly spans: readonly Span[] }>;
  }>;
}

/** What stands in OTLP/JSON: int64 are texts. */
function attributeOf(attributes: readonly Attribute[], key: string): unknown {
  const [value] = Object.values(attributes.find((attribute) => attribute.key === key)?.value ?? {});
  return value;
}

/** Takes spans as an OpenTelemetry collector does. */
class Collector implements AsyncDisposable {
  readonly spans: Received[] = [];
  readonly url: string;
  readonly #http: Server;

  private constructor(http: Server) {
    this.#http = http;
    this.url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/v1/traces`;
    http.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        this.#take(JSON.parse(Buffer.concat(chunks).toString()) as Request);
        response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}');
      });
    });
  }

  static async start(port = 0): Promise<Collector> {
    const http = createServer();
    await new Promise<void>((resolve) => http.listen(port, '127.0.0.1', resolve));
    return new Collector(http);
  }

  of(traceId: string): Received[] {
    return this.spans.filter((span) => span.traceId === traceId);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  #take({ resourceSpans }: Request): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      const node = attributeOf(resource.attributes, 'service.instance.id');
      for (const { spans } of scopeSpans) this.spans.push(...spans.map((span) => ({ ...span, node })));
    }
  }
}

/** Takes requests as a collector does, and answers as it is told. */
class UnfinishedAnswers implements AsyncDisposable {
  readonly url: string;
  /** Requests that the node has given up on. */
  cut = 0;
  readonly #http: Server;

  private constructor(http: Server, answer: Answer) {
    this.#http = http;
    this.url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    this.answerWith(answer);
  }

  static async start(answer: Answer): Promise<UnfinishedAnswers> {
    const http = createServer();
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    return new UnfinishedAnswers(http, answer);
  }

  answerWith(answer: Answer): void {
    this.#http.removeAllListeners('request');
    this.#http.on('request', (request, response) => {
      response.on('close', () => {
        if (!response.writableFinished) this.cut++;
      });
      request.resume().on('end', () => answer(response));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }
}

/** A node that a collector holds up does not end at all: how long it takes is not what is tested. */
const doesNotHangMs = 15_000;

type Answer = (response: ServerResponse) => void;

function byteByByte(response: ServerResponse): void {
  response.writeHead(200, { 'Content-Type': 'application/json' }).write('{');
  const trickle = setInterval(() => response.write(' '), 1_000);
  response.on('close', () => clearInterval(trickle));
}

const traced = (collector: { readonly url: string }, more: Readonly<Record<string, string>> = {}) => ({
  FANFARE_TRACING_URL: collector.url,
  FANFARE_TRACING_RATIO: '1',
  FANFARE_DRAIN_WINDOW_MS: '0',
  ...more,
});

const events = (node: NodeProcess, event: string): string[] =>
  node.logs().filter((line) => line.includes(`"event":"${event}"`));

async function metric({ adminUrl }: NodeProcess, name: string): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]);
}

describe('a traced publication', () => {
  it('is one trace from the node that took it, through Redis, to each node that delivered it', async () => {
    await using collector = await Collector.start();
    await using redis = await startRedis();
    const start = (name: string) =>
      startNode({ redisUrl: redis.url, env: traced(collector, { FANFARE_NODE_NAME: name }) });
    await using one = await start('one');
    await using other = await start('other');
    await using publisher = createClient(one.url);
    await using near = createClient(one.url, { encoding: 'json' });
    await using far = createClient(other.url);
    const seen: Array<{ topic: string; epoch: string | undefined; offset: number | undefined }> = [];
    const subscriptions = [near, far].map((client) =>
      client.subscribe('orders.7', ({ topic, position }) =>
        seen.push({ topic, epoch: position?.epoch, offset: position?.offset }),
      ),
    );
    await Promise.all(subscriptions.map(({ ready }) => ready));
    const { position } = await publisher.publish('orders.7', { total: 3 });
    if (position === null) throw new Error('The topic keeps history.');
    await until('both have it', () => seen.length === 2);
    expect(seen).toEqual([
      { topic: 'orders.7', ...position },
      { topic: 'orders.7', ...position },
    ]);

    const ids = traceOf('orders.7', position);
    await until('all four spans have come', () => collector.of(ids.traceId).length === 4);
    const spans = collector.of(ids.traceId);
    const shape = spans.map(({ name, kind, node, parentSpanId }) => ({
      name,
      kind,
      node,
      parent: parentSpanId ?? null,
    }));
    expect(shape).toHaveLength(4);
    expect(shape).toEqual(
      expect.arrayContaining([
        { name: 'publish', kind: 4, node: 'one', parent: null },
        { name: 'EVALSHA', kind: 3, node: 'one', parent: ids.spanId },
        { name: 'deliver', kind: 5, node: 'one', parent: ids.spanId },
        { name: 'deliver', kind: 5, node: 'other', parent: ids.spanId },
      ]),
    );
    const root = spans.find(({ name }) => name === 'publish');
    const roundTrip = spans.find(({ name }) => name === 'EVALSHA');
    expect(root?.spanId).toBe(ids.spanId);
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(4);
    expect(root?.traceState).toBe('ot=th:0');
    expect(attributeOf(root?.attributes ?? [], 'messaging.destination.name')).toBe('orders.7');
    expect(attributeOf(root?.attributes ?? [], 'messaging.message.id')).toBe(`${position.epoch}-${position.offset}`);
    const delivery = spans.find(({ name, node }) => name === 'deliver' && node === 'other')?.attributes ?? [];
    expect(Number(attributeOf(delivery, 'fanfare.subscribers'))).toBe(1);
    expect(attributeOf(delivery, 'fanfare.repaired')).toBe(false);
    const timesOf = (span: Span | undefined) => [
      BigInt(span?.startTimeUnixNano ?? 0),
      BigInt(span?.endTimeUnixNano ?? 0),
    ];
    const [began = 0n, ended = 0n] = timesOf(root);
    const [sent = 0n, answered = 0n] = timesOf(roundTrip);
    expect(began <= sent && sent <= answered && answered <= ended).toBe(true);
  });

  it('is chosen by all nodes alike where not all are', async () => {
    await using collector = await Collector.start();
    await using redis = await startRedis();
    const env = traced(collector, { FANFARE_TRACING_RATIO: '0.2' });
    await using one = await startNode({ redisUrl: redis.url, env });
    await using other = await startNode({ redisUrl: redis.url, env });
    await using publisher = createClient(one.url);
    await using far = createClient(other.url);
    let got = 0;
    await far.subscribe('news', () => got++).ready;
    const answers = await Promise.all(Array.from({ length: 100 }, (_, index) => publisher.publish('news', index)));
    const sampler = new TraceSampler(0.2);
    const expected = answers.flatMap(({ position }) =>
      position !== null && sampler.isSampled('news', position) ? [traceOf('news', position).traceId] : [],
    );
    expect(expected.length).toBeGreaterThan(0);
    expect(expected.length).toBeLessThan(100);
    await until('all are delivered', () => got === 100);
    await until('their spans have come', () => collector.spans.length >= 3 * expected.length);

    expect(new Set(collector.spans.map(({ traceId }) => traceId))).toEqual(new Set(expected));
    for (const traceId of expected) {
      expect(
        collector
          .of(traceId)
          .map(({ name }) => name)
          .toSorted(),
      ).toEqual(['EVALSHA', 'deliver', 'publish']);
    }
  });

  it('goes without Redis too, and not at level fast', async () => {
    await using collector = await Collector.start();
    const FANFARE_TOPICS = '{"prices.>":{"level":"fast"}}';
    await using node = await startNode({ env: traced(collector, { FANFARE_TOPICS }) });
    await using client = createClient(node.url);
    await Promise.all(['news', 'prices.eur'].map((topic) => client.subscribe(topic, () => undefined).ready));
    await client.publish('prices.eur', 1);
    const { position } = await client.publish('news', 1);
    // A node that stops has sent all of its spans.
    expect(await node.stop()).toBe(0);
    expect(collector.spans.map(({ name }) => name).toSorted()).toEqual(['deliver', 'publish']);
    expect(collector.spans[0]?.traceId).toBe(traceOf('news', position ?? { epoch: '', offset: 0 }).traceId);
  });
});

describe('a collector that is down', () => {
  it('is said once, harms nobody, and is told of when it is back', async () => {
    const port = await findFreePort();
    const url = `http://127.0.0.1:${port}/v1/traces`;
    await using node = await startNode({ env: traced({ url }) });
    await using client = createClient(node.url);
    await client.publish('news', 1);
    await until('it is said', () => events(node, 'tracingFailed').length > 0);
    const dropped = await metric(node, 'fanfare_spans_dropped_total');
    expect(dropped).toBeGreaterThan(0);
    await client.publish('news', 2);
    await until('more are dropped', async () => (await metric(node, 'fanfare_spans_dropped_total')) > dropped);
    expect(events(node, 'tracingFailed').length).toBe(1);
    await using collector = await Collector.start(port);
    await client.publish('news', 3);
    await until('spans come', () => collector.spans.length > 0);
    await until('that is said', () => events(node, 'tracingBack').length === 1);
    expect(await metric(node, 'fanfare_spans_total')).toBe(collector.spans.length);
  });

  it('holds up no node that stops', async () => {
    // It takes the connection and never answers.
    await using silent = await UnfinishedAnswers.start(() => undefined);
    await using node = await startNode({ env: traced(silent) });
    await using client = createClient(node.url);
    await client.publish('news', 1);
    await client.close();
    expect(await node.stop(doesNotHangMs)).toBe(0);
  });
});

describe('a collector whose answers do not end', () => {
  it('is given up on, said once, and told of when it is back', async () => {
    await using trickle = await UnfinishedAnswers.start(byteByByte);
    await using node = await startNode({ env: traced(trickle) });
    await using client = createClient(node.url);
    await client.publish('news', 1);
    await until('it is said', () => events(node, 'tracingFailed').length > 0);
    expect(events(node, 'tracingFailed')[0]).toContain('no complete answer within 3000 ms');
    await until('the connection is cut', () => trickle.cut === 1);
    await client.publish('news', 2);
    await until('the next one is given up on', () => trickle.cut === 2, 10_000);
    expect(await metric(node, 'fanfare_spans_total')).toBe(0);
    expect(await metric(node, 'fanfare_spans_dropped_total')).toBeGreaterThan(1);
    expect(events(node, 'tracingFailed').length).toBe(1);
    trickle.answerWith((response) => response.end('{}'));
    await client.publish('news', 3);
    await until('it is back', () => events(node, 'tracingBack').length === 1);
  });

  it('holds up a node that stops for the time of one answer', async () => {
    await using trickle = await UnfinishedAnswers.start(byteByByte);
    await using node = await startNode({ env: traced(trickle) });
    await using client = createClient(node.url);
    await client.publish('news', 1);
    await client.close();
    expect(await node.stop(doesNotHangMs)).toBe(0);
    await until('the connection is cut', () => trickle.cut === 1);
  });
});

describe('a node', () => {
  /** The files that trace, of those that the node has loaded until it stopped, as V8 counts them. */
  async function loaded(env: Readonly<Record<string, string>>): Promise<readonly string[]> {
    const folder = await mkdtemp(join(tmpdir(), 'fanfare-coverage-'));
    try {
      await using node = await startNode({ env: { ...env, NODE_V8_COVERAGE: folder, FANFARE_DRAIN_WINDOW_MS: '0' } });
      await using client = createClient(node.url);
      await client.publish('news', 1);
      expect(await node.stop()).toBe(0);
      const [file = ''] = await readdir(folder);
      const { result } = JSON.parse(await readFile(join(folder, file), 'utf8')) as { result: Array<{ url: string }> };
      // prom-client has the API loaded, which does nothing without the rest.
      return result
        .map(({ url }) => url)
        .filter((url) => /@opentelemetry\/(?!api\/)|broker\/dist\/tracing\.js/.test(url));
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  it('loads nothing that traces unless it traces', async () => {
    await using collector = await Collector.start();
    expect(await loaded({})).toEqual([]);
    expect(await loaded({ FANFARE_TRACING_URL: collector.url, FANFARE_TRACING_RATIO: '0' })).toEqual([]);
    expect(collector.spans).toEqual([]);
    expect(await loaded({ FANFARE_TRACING_URL: collector.url })).not.toEqual([]);
  });
});
