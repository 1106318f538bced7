/** Traces of publications, as a collector receives them from nodes. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@fanfare/client';
import { findFreePort, startNode as startProcess } from '@fanfare/local-cluster';
import { type Topic, TraceSampler, traceOf } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import { createLog, loadConfig } from '../src/index.js';
import { Tracing } from '../src/node/tracing.js';
import { type LogLine, startCluster } from './harness.js';
import { until, within } from './wait.js';

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

/** OTLP/JSON writes int64 as text. */
function attributeOf(attributes: readonly Attribute[], key: string): unknown {
  const [value] = Object.values(attributes.find((attribute) => attribute.key === key)?.value ?? {});
  return value;
}

/** Accepts spans like an OpenTelemetry collector. */
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

/** Accepts requests like a collector. `answer` controls the answers. */
class UnfinishedAnswers implements AsyncDisposable {
  readonly url: string;
  /** Requests that the node has given up. */
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

type Answer = (response: ServerResponse) => void;

function byteByByte(response: ServerResponse): void {
  response.writeHead(200, { 'Content-Type': 'application/json' }).write('{');
  const trickle = setInterval(() => response.write(' '), 20);
  response.on('close', () => clearInterval(trickle));
}

const traced = (collector: { readonly url: string }, more: Readonly<Record<string, string>> = {}) => ({
  FANFARE_TRACING_URL: collector.url,
  FANFARE_TRACING_RATIO: '1',
  ...more,
});

/** Tracing without a node, with short pauses: the way it treats a collector does not depend on the node. */
class TracingAlone implements AsyncDisposable {
  readonly counters = { spans: 0, spansDropped: 0 };
  readonly log: LogLine[] = [];
  readonly #tracing: Tracing;
  #offset = 0;

  constructor(url: string) {
    const log = createLog(loadConfig({}), { write: (line) => void this.log.push(JSON.parse(line)) });
    const settings = { tracingUrl: url, tracingRatio: 1, nodeName: 'n', sendIntervalMs: 10, timeoutMs: 500 };
    this.#tracing = new Tracing(settings, log, this.counters);
  }

  /** Records one span. */
  publish(): void {
    const position = { epoch: 'epoch', offset: ++this.#offset };
    this.#tracing.published({ topic: 'news' as Topic, position, count: 1, beganAt: performance.now(), redis: null });
  }

  /** On a busy machine, the collector may take longer than the timeout for some requests. */
  async publishUntilBack(): Promise<void> {
    await until('the return of the collector is logged', () => {
      this.publish();
      return this.events('tracingBack').length > 0;
    });
  }

  events(event: string): LogLine[] {
    return this.log.filter((line) => line.event === event);
  }

  close(): Promise<void> {
    return within('tracing is closed', this.#tracing.close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#tracing.close();
  }
}

describe('a traced publication', () => {
  it('is one trace from the node that accepted it, through Redis, to each node that delivered it', async () => {
    await using collector = await Collector.start();
    await using cluster = await startCluster({ nodes: 2, env: traced(collector) });
    const [one, other] = [cluster.node(0), cluster.node(1)];
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
    if (position === null) throw new Error('The topic keeps no history.');
    await until('both nodes have delivered it', () => seen.length === 2);
    expect(seen).toEqual([
      { topic: 'orders.7', ...position },
      { topic: 'orders.7', ...position },
    ]);

    const ids = traceOf('orders.7', position);
    await until('all four spans have arrived', () => collector.of(ids.traceId).length === 4);
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
        { name: 'publish', kind: 4, node: 'node-0', parent: null },
        { name: 'EVALSHA', kind: 3, node: 'node-0', parent: ids.spanId },
        { name: 'deliver', kind: 5, node: 'node-0', parent: ids.spanId },
        { name: 'deliver', kind: 5, node: 'node-1', parent: ids.spanId },
      ]),
    );
    const root = spans.find(({ name }) => name === 'publish');
    const roundTrip = spans.find(({ name }) => name === 'EVALSHA');
    expect(root?.spanId).toBe(ids.spanId);
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(4);
    expect(root?.traceState).toBe('ot=th:0');
    expect(attributeOf(root?.attributes ?? [], 'messaging.destination.name')).toBe('orders.7');
    expect(attributeOf(root?.attributes ?? [], 'messaging.message.id')).toBe(`${position.epoch}-${position.offset}`);
    const delivery = spans.find(({ name, node }) => name === 'deliver' && node === 'node-1')?.attributes ?? [];
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

  it('is selected by all nodes alike if only some are traced', async () => {
    await using collector = await Collector.start();
    await using cluster = await startCluster({ nodes: 2, env: traced(collector, { FANFARE_TRACING_RATIO: '0.2' }) });
    const [one, other] = [cluster.node(0), cluster.node(1)];
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
    await until('all publications are delivered', () => got === 100);
    await until('their spans have arrived', () => collector.spans.length >= 3 * expected.length);

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

  it('is traced without Redis too, but not on topics of level fast', async () => {
    await using collector = await Collector.start();
    const FANFARE_TOPICS = '{"prices.>":{"level":"fast"}}';
    await using cluster = await startCluster({ env: traced(collector, { FANFARE_TOPICS }) });
    await using client = createClient(cluster.node().url);
    await Promise.all(['news', 'prices.eur'].map((topic) => client.subscribe(topic, () => undefined).ready));
    await client.publish('prices.eur', 1);
    const { position } = await client.publish('news', 1);
    // A node that has stopped has sent all of its spans.
    await cluster.node().broker.drain();
    expect(collector.spans.map(({ name }) => name).toSorted()).toEqual(['deliver', 'publish']);
    expect(collector.spans[0]?.traceId).toBe(traceOf('news', position ?? { epoch: '', offset: 0 }).traceId);
  });
});

// Concurrent: they wait for timeouts.
describe.concurrent('a collector that is down', () => {
  it('is logged once, counted, and logged again when it is back', async () => {
    const port = await findFreePort();
    await using tracing = new TracingAlone(`http://127.0.0.1:${port}/v1/traces`);
    tracing.publish();
    await until('the outage is logged', () => tracing.events('tracingFailed').length > 0);
    const dropped = tracing.counters.spansDropped;
    expect(dropped).toBeGreaterThan(0);
    tracing.publish();
    await until('more spans are dropped', () => tracing.counters.spansDropped > dropped);
    expect(tracing.events('tracingFailed').length).toBe(1);
    await using collector = await Collector.start(port);
    await tracing.publishUntilBack();
    expect(collector.spans.length).toBeGreaterThan(0);
    expect(tracing.counters.spans).toBeGreaterThan(0);
  });

  it('does not prevent a node from publishing and stopping', async () => {
    // It accepts the connection and never answers.
    await using silent = await UnfinishedAnswers.start(() => undefined);
    await using cluster = await startCluster({ env: traced(silent) });
    await using client = createClient(cluster.node().url);
    await client.publish('news', 1);
    await client.close();
    await within('the node stops', cluster.node().broker.drain());
    expect(cluster.node().log.some(({ event }) => event === 'tracingFailed')).toBe(true);
  });
});

describe.concurrent('a collector whose answers do not end', () => {
  it('is disconnected, logged once, and logged again when it is back', async () => {
    await using trickle = await UnfinishedAnswers.start(byteByByte);
    await using tracing = new TracingAlone(trickle.url);
    tracing.publish();
    await until('the outage is logged', () => tracing.events('tracingFailed').length > 0);
    expect(tracing.events('tracingFailed')[0]).toMatchObject({ reason: 'no complete answer within 500 ms' });
    await until('the connection is cut', () => trickle.cut === 1);
    tracing.publish();
    await until('the node gives up the next request', () => trickle.cut === 2);
    await until('both spans are dropped', () => tracing.counters.spansDropped === 2);
    expect(tracing.counters.spans).toBe(0);
    expect(tracing.events('tracingFailed').length).toBe(1);
    trickle.answerWith((response) => response.end('{}'));
    await tracing.publishUntilBack();
  });

  it('delays the end of tracing by at most one answer', async () => {
    await using trickle = await UnfinishedAnswers.start(byteByByte);
    await using tracing = new TracingAlone(trickle.url);
    tracing.publish();
    await tracing.close();
    await until('the connection is cut', () => trickle.cut === 1);
  });
});

describe('a node', () => {
  /** The tracing modules that the node has loaded before it stopped, as counted by V8. */
  async function loaded(env: Readonly<Record<string, string>>): Promise<readonly string[]> {
    const folder = await mkdtemp(join(tmpdir(), 'fanfare-coverage-'));
    try {
      await using node = await startProcess({
        env: { ...env, NODE_V8_COVERAGE: folder, FANFARE_DRAIN_WINDOW_MS: '0' },
      });
      expect(await node.stop()).toBe(0);
      const [file = ''] = await readdir(folder);
      const { result } = JSON.parse(await readFile(join(folder, file), 'utf8')) as { result: Array<{ url: string }> };
      // prom-client loads the API, which does nothing without the rest.
      return result
        .map(({ url }) => url)
        .filter((url) => /@opentelemetry\/(?!api\/)|broker\/.*\/tracing\.js/.test(url));
    } finally {
      await rm(folder, { recursive: true });
    }
  }

  it('loads no tracing modules unless it traces', async () => {
    await using collector = await Collector.start();
    const [off, on] = await Promise.all([
      loaded(traced(collector, { FANFARE_TRACING_RATIO: '0' })),
      loaded(traced(collector)),
    ]);
    expect(off).toEqual([]);
    expect(on.length).toBeGreaterThan(1);
  });
});
