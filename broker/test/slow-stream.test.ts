/** An event stream whose client and Redis are slow in an order that real ones have only by chance. */
import { emptyRun, type Position, parseTopic, type Run, type Topic, Writer, writeItem } from '@fanfare/protocol';
import { expect, it, vi } from 'vitest';
import type { Exchange } from '../src/http/exchange.js';
import type { HistoryPage } from '../src/relay/relay.js';
import { CorkedWriter } from '../src/streams/corked-writer.js';
import { EventStream } from '../src/streams/event-stream.js';
import { PagePieces } from '../src/streams/page-pieces.js';
import type { StreamContext } from '../src/streams/stream-context.js';
import type { StreamResponse } from '../src/streams/stream-response.js';
import { EventRun } from '../src/topics/event-run.js';
import { Registry } from '../src/topics/registry.js';
import { json } from './relay.contract.js';
import { until } from './wait.js';

const [kept, fast] = ['kept', 'fast'].map(parseTopic) as [Topic, Topic];

function runOf(values: readonly number[]): Run {
  const writer = new Writer(256);
  for (const value of values) {
    writeItem(writer, json(value));
  }
  return { count: values.length, bytes: writer.view().slice(), hasKeys: false };
}

const newest: Position = { epoch: '1', offset: 5 };

/** A stream of both topics that has to read five publications of `kept` from Redis. */
class SlowStream implements StreamResponse {
  readonly stream: EventStream;
  /** The reads of Redis that have not been answered. */
  readonly reads: ((page: HistoryPage) => void)[] = [];
  #fits = true;
  #written = '';
  #onWritable: () => boolean = () => true;

  hasEnded = false;

  constructor(waitSeconds: number | null = null) {
    const exchange = {
      begin: (_headers: unknown, chunk: string) => {
        this.write(chunk);
        return this;
      },
    };
    const context: StreamContext = {
      relay: {
        hasHistory: (topic) => topic === kept,
        subscribe: async () => {},
        unsubscribe: () => {},
        subscribeResult: (topic, since) => ({
          position: topic === kept ? newest : null,
          recovered: since?.offset === newest.offset,
          publications: emptyRun,
        }),
        history: () => new Promise((resolve) => this.reads.push(resolve)),
      },
      registry: new Registry(),
      sessions: null,
      requestSessions: null,
      host: { admit: () => ({ address: null }), opened: () => {}, closed: () => {} },
      http: {
        onBug: (error) => {
          throw error;
        },
      },
      counters: {
        connectionsOpened: 0,
        connectionsClosed: 0,
        deliveries: 0,
        bytesOut: 0,
        streamEvents: 0,
        streamPauses: 0,
        streamsUnavailable: 0,
        slowSubscribers: 0,
        commandsNotPermitted: 0,
        commandsLimited: 0,
      },
      open: { eventStreams: 0, heldPolls: 0 },
      writer: new CorkedWriter(),
      pages: new PagePieces(),
      sseHeartbeatMs: 15_000,
      idleTimeoutSeconds: 60,
      maxSubscriptions: 100,
      cookieName: null,
      origins: null,
    };
    this.stream = new EventStream(
      context,
      { topics: [kept, fast], since: [{ epoch: '1', offset: 0 }, 'now'] },
      null,
      exchange as unknown as Exchange,
      { form: 'envelope', waitSeconds, needsCredential: false },
    );
    this.stream.start(null);
  }

  /** The data of all publications that were written. */
  get published(): number[] {
    return [...this.#written.matchAll(/"data":(\d+)/g)].map(([, data]) => Number(data));
  }

  publishFast(value: number): void {
    this.stream.onRun(new EventRun().begin(fast, null, runOf([value])));
  }

  /** What is written from now on does not fit into the kernel. */
  stopReading(): void {
    this.#fits = false;
  }

  readOn(): void {
    this.#fits = true;
    this.#onWritable();
  }

  answerRead(): void {
    this.reads.shift()?.({ position: newest, recovered: true, first: 1, publications: runOf([1, 2, 3, 4, 5]) });
  }

  // The response of uWebSockets.

  cork(write: () => void): void {
    write();
  }

  write(chunk: string | Uint8Array): boolean {
    this.#written += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
    return this.#fits;
  }

  onWritable(handler: () => boolean): void {
    this.#onWritable = handler;
  }

  onAborted(): void {}
  pause(): void {}
  resume(): void {}
  end(): void {
    this.hasEnded = true;
  }

  close(): void {}
}

it('reads a page once, if a fast publication blocks the stream meanwhile and the client reads on', async () => {
  const slow = new SlowStream();
  await until('the stream reads a page', () => slow.reads.length > 0);
  slow.stopReading();
  slow.publishFast(91);
  slow.readOn();
  slow.publishFast(92);
  expect(slow.reads).toHaveLength(1);
  slow.answerRead();
  await until('the page is written', () => slow.published.length > 2);
  slow.publishFast(93);
  expect(slow.reads).toHaveLength(0);
  expect(slow.published).toEqual([91, 92, 1, 2, 3, 4, 5, 93]);
});

it('reads a page again, if it arrives while the client does not read', async () => {
  const slow = new SlowStream();
  await until('the stream reads a page', () => slow.reads.length > 0);
  slow.stopReading();
  slow.publishFast(91);
  slow.answerRead();
  await new Promise(setImmediate);
  expect(slow.published).toEqual([91]);
  slow.readOn();
  await until('the stream reads the page again', () => slow.reads.length > 0);
  slow.answerRead();
  await until('the page is written', () => slow.published.length > 1);
  expect(slow.published).toEqual([91, 1, 2, 3, 4, 5]);
});

it('with wait=0 ends at once, even in the first second of the process', async () => {
  const clock = vi.spyOn(performance, 'now').mockReturnValue(500);
  const slow = new SlowStream(0);
  await until('the stream reads a page', () => slow.reads.length > 0);
  slow.answerRead();
  await until('the page is written', () => slow.published.length > 0);
  await until('the stream ends', () => slow.hasEnded);
  clock.mockRestore();
});
