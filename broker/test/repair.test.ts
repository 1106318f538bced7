/**
 * How a node handles messages of Redis that arrive twice, not at all, or under another epoch; all provoked, in a real
 * Redis.
 */
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { encodeEntry } from '../src/relay/stream-entry.js';
import { startCluster, type TestCluster } from './harness.js';
import { nameInRedis } from './redis-names.js';
import type { TestConnection } from './test-connection.js';
import { until } from './wait.js';

const key = nameInRedis('t');

/** An entry with numbers, as publish.lua stores it. */
function entryOf(...numbers: number[]): Buffer {
  const bytes = Buffer.concat(
    numbers.map((number) => Buffer.from([0xa0 + String(number).length, ...Buffer.from(String(number))])),
  );
  return encodeEntry({ count: numbers.length, bytes, hasKeys: false }, new Map());
}

interface Stage extends AsyncDisposable {
  readonly cluster: TestCluster;
  readonly reader: TestConnection;
  readonly writer: TestConnection;
  readonly admin: Redis;
  readonly epoch: string;
  /** What begins a message, before its entry. `generation`: default: the current one. */
  headOf(offset: number, generation?: string): Buffer;
}

/** A subscriber at node 1, a publisher at node 0, the numbers 1 and 2 published. */
async function setStage(env: Readonly<Record<string, string>> = {}): Promise<Stage> {
  const cluster = await startCluster({ nodes: 2, env });
  const reader = await cluster.subscriber('t', 1);
  const writer = await cluster.connect();
  const first = await writer.publish('t', 1);
  await writer.publish('t', 2);
  expect(await reader.take('t', 2)).toEqual([1, 2]);
  const admin = new Redis(cluster.redisUrl);
  const epoch = first.type === 'published' ? (first.position?.epoch ?? '') : '';
  const mark = (await admin.get('fanfare:generation'))?.slice(0, 6);
  return {
    cluster,
    reader,
    writer,
    admin,
    epoch,
    headOf: (offset, generation = mark) => Buffer.from(`${epoch}-${offset} ${generation} `),
    async [Symbol.asyncDispose]() {
      await admin.quit();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

describe('a node that is subscribed to a topic with history', () => {
  it('delivers no message of another generation, but what Redis has at its position', async () => {
    await using stage = await setStage();
    const { admin, epoch, headOf, reader, writer } = stage;
    await admin.spublish(key, Buffer.concat([headOf(3, 'former'), entryOf(8)]));
    await writer.publish('t', 3);
    expect(await reader.take('t', 1)).toEqual([3]);
    await admin.xadd(key, `${epoch}-4`, '', entryOf(4));
    await admin.spublish(key, Buffer.concat([headOf(4, 'coming'), entryOf(9)]));
    expect(await reader.take('t', 1)).toEqual([4]);
  });

  it('delivers a message once if it arrives twice', async () => {
    await using stage = await setStage();
    const { admin, headOf, reader, writer, cluster } = stage;
    await admin.spublish(key, Buffer.concat([headOf(2), entryOf(2)]));
    await admin.spublish(key, Buffer.concat([headOf(1), entryOf(1, 2)]));
    await writer.publish('t', 3);
    expect(await reader.take('t', 1)).toEqual([3]);
    expect(reader.inbox.waiting).toEqual([]);
    expect(await cluster.node(1).metric('fanfare_publications_repeated_total')).toBe(3);
  });

  it('reads missing publications and delivers them in order', async () => {
    await using stage = await setStage();
    const { admin, epoch, reader, writer, cluster } = stage;
    await admin.xadd(key, `${epoch}-3`, '', entryOf(3, 4));
    await admin.xsetid(key, `${epoch}-4`);
    await writer.publish('t', 5);
    expect(await reader.take('t', 3)).toEqual([3, 4, 5]);
    expect(reader.inbox.waiting).toEqual([]);
    expect(await cluster.node(1).metric('fanfare_publications_repaired_total')).toBe(3);
    expect(await cluster.node(1).metric('fanfare_repairs_total')).toBe(1);
  });

  it('delays incoming messages while it reads, and delivers all in order', async () => {
    await using stage = await setStage();
    const { admin, epoch, reader, writer, cluster } = stage;
    for (let number = 3; number <= 402; number++) await admin.xadd(key, `${epoch}-${number}`, '', entryOf(number));
    const rest = Array.from({ length: 100 }, (_, index) => index + 403);
    await Promise.all(rest.map((number) => writer.publish('t', number)));
    expect(await reader.take('t', 500)).toEqual(Array.from({ length: 500 }, (_, index) => index + 3));
    expect(await cluster.node(1).metric('fanfare_repairs_total')).toBeGreaterThanOrEqual(1);
  });

  it('notifies subscribers of a gap, with the next position, if the history does not contain the missing publications', async () => {
    await using stage = await setStage();
    const { admin, epoch, reader, writer } = stage;
    await admin.xsetid(key, `${epoch}-7`);
    await writer.publish('t', 8);
    expect(await reader.next('gap')).toEqual({ type: 'gap', topic: 't', position: { epoch, offset: 7 } });
    expect(await reader.next('publications')).toMatchObject({ position: { epoch, offset: 8 }, items: [{ data: 8 }] });
  });

  it('learns from a beacon that the last publication is missing', async () => {
    await using stage = await setStage();
    const { admin, epoch, reader, cluster } = stage;
    await admin.xadd(key, `${epoch}-3`, '', entryOf(3));
    await admin.spublish(key, `${epoch}-3`);
    expect(await reader.take('t', 1)).toEqual([3]);
    await admin.spublish(key, `${epoch}-3`);
    expect(await cluster.node(1).metric('fanfare_repairs_total')).toBe(1);
  });

  it('compares its topics with Redis when its subscribing connection is back, and reads missed publications', async () => {
    await using stage = await setStage({ FANFARE_PROBE_INTERVAL_MS: '60000' });
    const { admin, epoch, reader, cluster } = stage;
    // Nothing is published after it, and no node sends a beacon.
    await admin.multi().client('KILL', 'TYPE', 'pubsub').xadd(key, `${epoch}-3`, '', entryOf(3)).exec();
    expect(await reader.take('t', 1)).toEqual([3]);
    expect(reader.inbox.waiting).toEqual([]);
    await until('the node logs it', () => cluster.node(1).log.some(({ event }) => event === 'topicsCompared'));
  });

  it('catches up first for a client that comes from a node that is ahead of it', async () => {
    await using stage = await setStage();
    const { admin, epoch, reader, writer, cluster } = stage;
    await admin.xadd(key, `${epoch}-3`, '', entryOf(3));
    const back = await cluster.connect(1);
    expect(await back.request({ type: 'subscribe', topic: 't', since: { epoch, offset: 3 } })).toMatchObject({
      recovered: true,
      position: { epoch, offset: 3 },
      publications: [],
    });
    expect(await reader.take('t', 1)).toEqual([3]);
    await writer.publish('t', 4);
    expect(await back.take('t', 1)).toEqual([4]);
    expect([...back.inbox.waiting, ...reader.inbox.waiting.slice(1)]).toEqual([]);
  });

  it('answers a history from Redis, not from memory, while a publication is missing', async () => {
    await using stage = await setStage();
    const { admin, epoch, reader } = stage;
    await admin.xadd(key, `${epoch}-3`, '', entryOf(3));
    const since = { epoch, offset: 1 };
    expect(await reader.request({ type: 'history', topic: 't', since, limit: 10, direction: 'forward' })).toMatchObject(
      { recovered: true, position: { epoch, offset: 3 }, publications: [{ data: 2 }, { data: 3 }] },
    );
  });

  it('answers a history from Redis, not from memory, if it has another epoch by now', async () => {
    await using stage = await setStage();
    const { admin, epoch, reader } = stage;
    const position = { epoch: String(BigInt(epoch) + 1n), offset: 2 };
    await admin.xsetid(key, `${position.epoch}-2`);
    const since = { epoch, offset: 1 };
    expect(await reader.request({ type: 'history', topic: 't', since, limit: 10, direction: 'forward' })).toMatchObject(
      { recovered: false, position },
    );
  });

  it('notifies subscribers of a reset if the history has another epoch, and delivers all of it', async () => {
    await using stage = await setStage();
    const { admin, epoch, reader, writer } = stage;
    await admin.del(key);
    await writer.publish('t', 'new');
    const reset = await reader.next('reset');
    expect(reset.position.offset).toBe(0);
    expect(reset.position.epoch).not.toBe(epoch);
    expect(await reader.next('publications')).toMatchObject({
      position: { epoch: reset.position.epoch, offset: 1 },
      items: [{ data: 'new' }],
    });
    await writer.publish('t', 'newer');
    expect(await reader.next('publications')).toMatchObject({ position: { offset: 2 } });
    expect(reader.inbox.waiting).toEqual([]);
  });

  it('returns a history up to a hole that another program has made in it, and continues after the hole', async () => {
    await using stage = await setStage();
    const { admin, epoch, reader, writer, cluster } = stage;
    for (let number = 3; number <= 6; number++) await writer.publish('t', number);
    await reader.take('t', 4);
    await admin.xdel(key, `${epoch}-4`);
    const other = await cluster.connect(0, 'json');
    const ask = (offset: number, direction: 'forward' | 'backward') =>
      other.request({ type: 'history', topic: 't', since: { epoch, offset }, limit: 10, direction });
    expect(await ask(1, 'forward')).toMatchObject({
      recovered: true,
      first: 2,
      publications: [{ data: 2 }, { data: 3 }],
    });
    expect(await ask(3, 'forward')).toMatchObject({
      recovered: false,
      first: 5,
      publications: [{ data: 5 }, { data: 6 }],
    });
    expect(await ask(7, 'backward')).toMatchObject({
      recovered: true,
      first: 5,
      publications: [{ data: 5 }, { data: 6 }],
    });
    // A client that reconnects to a node that is not subscribed yet.
    const back = await cluster.connect(0, 'json');
    const since = { epoch, offset: 2 };
    expect(await back.request({ type: 'subscribe', topic: 't', since })).toMatchObject({
      recovered: false,
      publications: [],
    });
    await writer.publish('t', 7);
    expect(await back.take('t', 1)).toEqual([7]);
  });

  it('notifies subscribers of a gap if there is a hole in the range that it reads', async () => {
    await using stage = await setStage();
    const { admin, epoch, reader, writer } = stage;
    for (const number of [3, 4, 6]) await admin.xadd(key, `${epoch}-${number}`, '', entryOf(number));
    await writer.publish('t', 7);
    expect(await reader.take('t', 2)).toEqual([3, 4]);
    expect(await reader.next('gap')).toEqual({ type: 'gap', topic: 't', position: { epoch, offset: 5 } });
    expect(await reader.take('t', 2)).toEqual([6, 7]);
  });

  it('replaces a key of the wrong type with a stream, and notifies subscribers of a reset', async () => {
    await using stage = await setStage();
    const { admin, reader, writer } = stage;
    await admin.set(key, 'foreign');
    expect(await writer.publish('t', 'new')).toMatchObject({ type: 'published', position: { offset: 1 } });
    expect((await reader.next('reset')).position.offset).toBe(0);
    expect(await reader.next('publications')).toMatchObject({ position: { offset: 1 }, items: [{ data: 'new' }] });
  });

  it('skips entries of another layout, and logs that once', async () => {
    await using stage = await setStage();
    const { admin, headOf, reader, writer, cluster } = stage;
    await admin.spublish(key, Buffer.concat([headOf(3), Buffer.from([9, 9, 9])]));
    await admin.spublish(key, 'not ours');
    await writer.publish('t', 3);
    expect(await reader.take('t', 1)).toEqual([3]);
    expect(await cluster.node(1).metric('fanfare_redis_messages_unreadable_total')).toBe(2);
    expect(cluster.node(1).log.filter(({ event }) => event === 'redisMessageUnreadable').length).toBe(1);
  });
});

describe('a node that has published', () => {
  it('repeats the position of a topic once after its last publication', async () => {
    await using stage = await setStage();
    const { admin, epoch, writer, cluster } = stage;
    const messages: string[] = [];
    const listener = admin.duplicate();
    listener.on('smessage', (_channel, message) => messages.push(message));
    await listener.ssubscribe(key);
    await writer.publish('t', 3);
    await until('the beacon has arrived', () => messages.includes(`${epoch}-3`));
    await until(
      'another second has passed',
      async () => (await cluster.node().metric('fanfare_probes_sent_total')) > 3,
    );
    expect(messages.filter((message) => message === `${epoch}-3`).length).toBe(1);
    await listener.quit();
  });
});

describe('nodes with different policies', () => {
  it('log that instead of delivering a part of the publications', async () => {
    await using cluster = await startCluster({
      nodes: 2,
      envOf: (node) => (node === 0 ? { FANFARE_TOPICS: '{"t":{"level":"fast"}}' } : {}),
    });
    const reader = await cluster.subscriber('t', 1);
    const writer = await cluster.connect();
    await writer.publish('t', 1);
    await until('the node logs it', () => cluster.node(1).log.some(({ event }) => event === 'policiesDiffer'));
    await reader.settle();
    expect(reader.inbox.waiting).toEqual([]);
  });
});
