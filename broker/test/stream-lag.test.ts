/** An event stream at a node that lags behind Redis, with a relay whose answers the test controls. */
import { emptyRun, type Position, ReplyError, type Run, Writer, writeItem } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import type { Exchange } from '../src/http/exchange.js';
import { Metrics } from '../src/observe/metrics.js';
import type { HistoryPage, SubscribeResult } from '../src/relay/relay.js';
import { CorkedWriter } from '../src/streams/corked-writer.js';
import { EventStream } from '../src/streams/event-stream.js';
import { PagePieces } from '../src/streams/page-pieces.js';
import type { StreamContext } from '../src/streams/stream-context.js';
import { Registry } from '../src/topics/registry.js';
import { json, topic } from './relay.contract.js';
import { until } from './wait.js';

const t = topic('t');
const at = (offset: number, epoch = '1'): Position => ({ epoch, offset });

function runOf(from: number, to: number): Run {
  const writer = new Writer();
  for (let number = from; number <= to; number++) {
    writeItem(writer, json(number));
  }
  return { count: Math.max(0, to - from + 1), bytes: writer.view(), hasKeys: false };
}

/** A topic of a node: `here` as the node knows it, `there` in Redis. The history keeps everything. */
class LaggingTopic {
  /** Null: Redis does not answer. */
  there: Position | null;

  constructor(
    public here: Position,
    there: Position,
  ) {
    this.there = there;
  }

  hasHistory(): boolean {
    return true;
  }

  /** A subscriber that is ahead makes the node read Redis, as in TopicFeeds. */
  async subscribe(_topic: unknown, since: Position | null): Promise<void> {
    if (since === null || since.epoch < this.here.epoch) return;
    if (since.epoch === this.here.epoch && since.offset <= this.here.offset) return;
    if (this.there === null) throw new ReplyError('unavailable', 'Redis does not respond.');
    this.here = this.there;
  }

  unsubscribe(): void {}

  /** Nothing is in the memory of the node. */
  subscribeResult(_topic: unknown, since: Position | null): SubscribeResult {
    const recovered = since !== null && since.epoch === this.here.epoch && since.offset === this.here.offset;
    return { position: this.here, recovered, publications: emptyRun };
  }

  async history(_topic: unknown, { since }: { since: Position | null }): Promise<HistoryPage> {
    if (this.there === null) throw new ReplyError('unavailable', 'Redis does not respond.');
    const position = this.there;
    const isSame = since?.epoch === position.epoch;
    // As in TopicFeeds.
    if (this.here.epoch !== position.epoch) this.here = position;
    const first = (since?.offset ?? 0) + 1;
    if (!isSame || first > position.offset) {
      return { position, recovered: isSame && since.offset === position.offset, first: null, publications: emptyRun };
    }
    return { position, recovered: true, first, publications: runOf(first, position.offset) };
  }
}

/** Opens a stream after a position. Returns what it sends, as the names or data of its events. */
function open(relay: LaggingTopic, since: Position): { readonly events: () => string[]; readonly text: () => string } {
  let text = '';
  const add = (chunk: string | Uint8Array = ''): true => {
    text += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
    return true;
  };
  const response = { cork: (write: () => void) => write(), write: add, end: add, onAborted: () => undefined };
  const exchange = {
    begin(_headers: unknown, chunk: string) {
      add(chunk);
      return response;
    },
  };
  const context: StreamContext = {
    relay,
    registry: new Registry(),
    sessions: null,
    requestSessions: null,
    host: { admit: () => ({ address: null }), opened: () => undefined, closed: () => undefined },
    http: {
      onBug: (error) => {
        throw error;
      },
    },
    counters: new Metrics().counters,
    open: { eventStreams: 0, heldPolls: 0 },
    writer: new CorkedWriter(),
    pages: new PagePieces(),
    sseHeartbeatMs: 15_000,
    idleTimeoutSeconds: 60,
    maxSubscriptions: 512,
    cookieName: null,
    origins: null,
  };
  const options = { form: 'bare', waitSeconds: null, needsCredential: false } as const;
  const start = { topics: [t], since: [since] };
  new EventStream(context, start, null, exchange as unknown as Exchange, options).start(null);
  const events = (): string[] =>
    text
      .split('\n\n')
      .slice(1, -1)
      .map((event) => /^event: (.*)$/m.exec(event)?.[1] ?? /^data: (.*)$/m.exec(event)?.[1] ?? '');
  return { events, text: () => text };
}

describe('an event stream at a node that lags behind Redis', () => {
  it('waits for the node if Redis has given it later publications: no reset, and nothing twice', async () => {
    const relay = new LaggingTopic(at(5), at(9));
    const stream = open(relay, at(2));
    await until('it has all of Redis', () => stream.events().length === 7);
    await until('the node has reached it', () => relay.here.offset === 9);
    expect(stream.events()).toEqual(['3', '4', '5', '6', '7', '8', '9']);
  });

  it('ends with unavailable if the node cannot reach it', async () => {
    const relay = new LaggingTopic(at(5), at(9));
    const history = relay.history.bind(relay);
    relay.history = async (...args) => {
      const page = await history(...args);
      relay.there = null;
      return page;
    };
    const stream = open(relay, at(2));
    await until('it ends', () => stream.events().includes('unavailable'));
    expect(stream.events()).toEqual(['3', '4', '5', '6', '7', '8', '9', 'unavailable']);
    expect(stream.text()).toContain('id: 1-9\n\n');
  });

  it('ends with unavailable, without a gap, if Redis has less than the node', async () => {
    const stream = open(new LaggingTopic(at(9), at(2)), at(4));
    await until('it ends', () => stream.events().length > 0);
    expect(stream.events()).toEqual(['unavailable']);
  });

  it('gets one reset if the topic has another epoch that the node does not know yet', async () => {
    const relay = new LaggingTopic(at(9), at(3, '2'));
    const stream = open(relay, at(4));
    await until('it gets it', () => stream.events().length > 0);
    expect(stream.events()).toEqual(['reset']);
    expect(stream.text()).toContain('{"topic":"t","epoch":"2","offset":3}');
  });

  it('gets a reset if Redis has lost what the client has', async () => {
    const stream = open(new LaggingTopic(at(3), at(3)), at(5));
    await until('it gets it', () => stream.events().length > 0);
    expect(stream.events()).toEqual(['reset']);
  });
});
