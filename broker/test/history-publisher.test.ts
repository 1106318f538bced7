/** Publishing to topics with history. The test decides when calls reach Redis, or what Redis answers. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type RedisProcess, startRedis } from '@fanfare/local-cluster';
import { type Position, ReplyError } from '@fanfare/protocol';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Metrics } from '../src/observe/metrics.js';
import { CommandStream } from '../src/redis/command-stream.js';
import { PublisherLink, type Wait } from '../src/redis/redis.js';
import { ReplyReader } from '../src/redis/reply-reader.js';
import { FlushWindow } from '../src/relay/flush-window.js';
import { type Generation, type GenerationSource, parseGeneration, withFence } from '../src/relay/generation.js';
import { HistoryPublisher, type PublishingLink } from '../src/relay/history-publisher.js';
import { Keys } from '../src/relay/keys.js';
import { memoryTimes } from '../src/relay/memory-times.js';
import { Partitions } from '../src/relay/partitions.js';
import { PublishBatcher } from '../src/relay/publish-batcher.js';
import { PublishLog } from '../src/relay/publish-log.js';
import { PublishScript } from '../src/relay/publish-script.js';
import { RelayPart, RelayShare } from '../src/relay/relay-share.js';
import { publishScript } from '../src/relay/scripts.js';
import { defaultPolicy } from '../src/topics/policy.js';
import { json, topic } from './relay.contract.js';
import { until } from './wait.js';

const keys = new Keys('fanfare', 0, new Partitions(64));
const share = new RelayPart(new RelayShare({ flushWindowMs: 0, recentBytes: 0, maxRelayBytes: 0 }, 1), 1);
const generation = parseGeneration('g:0');
const { counters } = new Metrics();

let server: RedisProcess;
let admin: Redis;
let link: PublisherLink;

beforeAll(async () => {
  server = await startRedis();
  admin = new Redis(server.url);
  const settings = { redisUrl: server.url, redisTimeoutMs: 30_000, nodeName: 'test' };
  link = new PublisherLink(settings, pino({ level: 'silent' }), counters, {});
  await until('Redis is connected', () => link.isReady);
});

afterAll(async () => {
  await link.close();
  admin.disconnect();
  await server[Symbol.asyncDispose]();
});

beforeEach(async () => {
  await admin.flushall();
  await admin.script('FLUSH');
  await admin.set(keys.generation, generation.name);
  await admin.set(keys.run, await stateOfServer());
});

/** As lua/stream.lua names the data that this server process holds. */
async function stateOfServer(): Promise<string> {
  const info = `${await admin.info('server')}${await admin.info('replication')}`;
  return `${/run_id:(\w+)/.exec(info)?.[1]}:${/master_replid:(\w+)/.exec(info)?.[1]}`;
}

function newPublisher(
  through: PublishingLink,
  script: PublishScript,
  wait: Wait | null = null,
  generations: GenerationSource = { generation, onStale: () => undefined },
): HistoryPublisher {
  const settings = { idempotencyWindowSeconds: 60 };
  const publishLog = new PublishLog(memoryTimes, share);
  return new HistoryPublisher(through, keys, settings, counters, publishLog, script, wait, generations, null, share);
}

/** A connection whose far end is the test, instead of Redis. */
async function newWire() {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const socket = connect((listener.address() as AddressInfo).port, '127.0.0.1');
  const [far] = (await once(listener, 'connection')) as [Socket];
  const commands = new CommandStream(socket, {
    onProtocolError(error) {
      throw error;
    },
  });
  const onward: Socket[] = [];
  return {
    far,
    link: { commands, report: () => undefined, reportReply: () => undefined } satisfies PublishingLink,
    /** From now on a Redis gets what was sent, and answers. */
    connectTo(port: number): void {
      const redis = connect(port, '127.0.0.1');
      onward.push(redis);
      far.pipe(redis).pipe(far);
    },
    async [Symbol.asyncDispose](): Promise<void> {
      commands.close();
      for (const end of [socket, far, ...onward]) end.destroy();
      listener.close();
    },
  };
}

/** Resolves with the outcome. The publication is sent before this returns. */
function publish(
  publisher: HistoryPublisher,
  name: string,
  value: unknown,
  messageId: string | null = null,
): Promise<Position | null | ReplyError> {
  const batcher = new PublishBatcher(new FlushWindow(0), { bytes: 0 }, (batches) => publisher.publish(batches));
  return new Promise((resolve) => {
    batcher.add(topic(name), defaultPolicy, json(value), messageId, { accepted: resolve, failed: resolve });
    batcher.flush();
  });
}

describe('publications on the way to a Redis that loses its scripts', () => {
  it('keep their order, even if another connection of the node has replaced the script in the meantime', async () => {
    const script = new PublishScript(link, keys);
    await script.ensure();
    await using wire = await newWire();
    const [distant, near] = [newPublisher(wire.link, script), newPublisher(link, script)];
    const first = publish(distant, 't', 'first');
    await admin.script('FLUSH');
    expect(await publish(near, 'other', 1)).toMatchObject({ offset: 1 });
    const second = publish(distant, 't', 'second');
    wire.connectTo(server.port);
    expect(await Promise.all([first, second])).toMatchObject([{ offset: 1 }, { offset: 2 }]);
  });

  it('are not refused if Redis loses its scripts again while the node chooses a new copy', async () => {
    let losses = 0;
    const script = new PublishScript(
      {
        evaluate: (calls) => link.evaluate(calls),
        async load(loaded) {
          await link.load(loaded);
          if (losses++ === 0) await admin.script('FLUSH');
        },
      },
      keys,
    );
    expect(await publish(newPublisher(link, script), 't', 1)).toMatchObject({ offset: 1 });
    expect(losses).toBeGreaterThan(1);
  });
});

describe('a Redis that was a replica meanwhile, and may have older data', () => {
  it('gets no publication, not even right after an accepted one', async () => {
    const script = new PublishScript(link, keys);
    let stale = 0;
    const publisher = newPublisher(link, script, null, { generation, onStale: () => void stale++ });
    expect(await publish(publisher, 't', 1)).toMatchObject({ offset: 1 });
    // A server that becomes a master has another id for its data.
    await admin.replicaof('127.0.0.1', server.port);
    await admin.replicaof('NO', 'ONE');
    const refused = await Promise.all([publish(publisher, 't', 2), publish(publisher, 't', 3)]);
    for (const outcome of refused) expect(outcome).toMatchObject({ code: 'unavailable' });
    expect(stale).toBeGreaterThan(0);
  });
});

describe('an answer that is not one of the script', () => {
  it.each([
    ['is not a list', '+OK\r\n'],
    ['lists something else than positions', '*1\r\n:5\r\n'],
    ['lists text that is not a position', '*1\r\n$2\r\nno\r\n'],
    ['lists too little', '*0\r\n'],
    ['lists an empty list', '*1\r\n*0\r\n'],
    ['lists a list without a position', '*1\r\n*1\r\n$0\r\n\r\n'],
    ['lists a list of numbers', '*1\r\n*1\r\n:5\r\n'],
  ])('leaves a publication unconfirmed if it %s, and the next one is published', async (_, answer) => {
    await using wire = await newWire();
    const publisher = newPublisher(wire.link, new PublishScript(link, keys));
    const first = publish(publisher, 't', 1);
    wire.far.write(answer);
    expect(await first).toMatchObject({
      code: 'unconfirmed',
      message: expect.stringContaining('not one of the publish script'),
    });
    const second = publish(publisher, 't', 2);
    wire.far.write('*1\r\n$18\r\n1700000000000000-1\r\n');
    expect(await second).toEqual({ epoch: '1700000000000000', offset: 1 });
    expect(share.waiting.bytes).toBe(0);
  });
});

describe('a copy of the script that another node has announced but not loaded yet', () => {
  it('is not loaded by this node, which announces a copy of its own', async () => {
    await admin.set(keys.copy, 'theirs');
    const script = new PublishScript(link, keys);
    await script.ensure();
    expect(await admin.script('EXISTS', publishScript('theirs').sha, script.current.sha)).toEqual([0, 1]);
    // Nodes that start later use this copy.
    expect(publishScript((await admin.get(keys.copy)) ?? '').sha).toBe(script.current.sha);
  });
});

describe('what a call does besides publishing', () => {
  const ttlOfIds = () => admin.pttl(`${keys.topic(topic('t'))}:ids`);

  it.each([
    ['loses its scripts', () => admin.script('FLUSH'), () => undefined],
    [
      'is out of memory for a moment',
      () => admin.config('SET', 'maxmemory', '1'),
      () => admin.config('SET', 'maxmemory', '0'),
    ],
  ])('is done by the next call if Redis %s: messageIds expire', async (_, before, after) => {
    const script = new PublishScript(link, keys);
    const publisher = newPublisher(link, script);
    expect(await publish(publisher, 't', 1)).toMatchObject({ offset: 1 });
    await before();
    const outcome = await publish(publisher, 't', 2, 'id');
    await after();
    if (outcome instanceof ReplyError) expect(await publish(publisher, 't', 2, 'id')).toMatchObject({ offset: 2 });
    expect(await ttlOfIds()).toBeGreaterThan(0);
  });
});

describe('a publisher that stops', () => {
  it('waits for what is on its way, even if it has refused later publications', async () => {
    await using wire = await newWire();
    const generations: { generation: Generation | null; onStale(): void } = { generation, onStale: () => undefined };
    const publisher = newPublisher(wire.link, new PublishScript(link, keys), null, generations);
    const first = publish(publisher, 't', 1);
    generations.generation = null;
    expect(await publish(publisher, 't', 2)).toMatchObject({ code: 'unavailable' });
    let isSettled = false;
    const settled = publisher.settled().then(() => {
      isSettled = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isSettled).toBe(false);
    wire.far.write('*1\r\n$18\r\n1700000000000000-1\r\n');
    expect(await first).toMatchObject({ offset: 1 });
    await settled;
  });
});

describe('durable publications', () => {
  it('that follow each other all reach Redis, although it confirms none of them in time', async () => {
    const settings = { redisUrl: server.url, redisTimeoutMs: 1_000, nodeName: 'test' };
    const own = new PublisherLink(settings, pino({ level: 'silent' }), counters, {});
    await until('Redis is connected', () => own.isReady);
    const publisher = newPublisher(own, new PublishScript(own, keys), { replicas: 1, timeoutMs: 100 });
    const outcomes: Promise<unknown>[] = [];
    // One after the other, they would wait for four seconds in the connection.
    for (let value = 0; value < 40; value++) {
      outcomes.push(publish(publisher, 't', value));
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const outcome of await Promise.all(outcomes)) {
      expect(outcome).toMatchObject({
        code: 'unconfirmed',
        message: expect.stringContaining('too few Redis replicas'),
      });
    }
    expect(await admin.call('XINFO', 'STREAM', keys.topic(topic('t')))).toEqual(
      expect.arrayContaining([expect.stringMatching(/-40$/)]),
    );
    await own.close();
  });

  it('wait while replicas have not answered for an earlier one, and are then sent in one call', async () => {
    await using wire = await newWire();
    const publisher = newPublisher(wire.link, new PublishScript(link, keys), { replicas: 1, timeoutMs: 100 });
    const commands: string[] = [];
    const reader = new ReplyReader({ onReply: (command) => commands.push(String((command as Buffer[])[0])) });
    wire.far.on('data', (bytes: Buffer) => reader.read(bytes));
    const first = publish(publisher, 't', 1);
    await new Promise((resolve) => setImmediate(resolve));
    const later = [publish(publisher, 't', 2), publish(publisher, 'u', 3)];
    await until('the first call has arrived', () => commands.length === 2);
    wire.far.write('*1\r\n$18\r\n1700000000000000-1\r\n:1\r\n');
    expect(await first).toMatchObject({ offset: 1 });
    await until('the second call has arrived', () => commands.length === 4);
    wire.far.write('*2\r\n$18\r\n1700000000000000-2\r\n$18\r\n1700000000000001-1\r\n:1\r\n');
    expect(await Promise.all(later)).toMatchObject([{ offset: 2 }, { offset: 1 }]);
    expect(commands).toEqual(['EVALSHA', 'WAIT', 'EVALSHA', 'WAIT']);
  });

  it('of all publishers of a connection wait for each other, and share one WAIT', async () => {
    await using wire = await newWire();
    const wait = { replicas: 1, timeoutMs: 100 };
    const [one, two] = [0, 1].map(() => newPublisher(wire.link, new PublishScript(link, keys), wait)) as [
      HistoryPublisher,
      HistoryPublisher,
    ];
    const commands: string[] = [];
    const reader = new ReplyReader({ onReply: (command) => commands.push(String((command as Buffer[])[0])) });
    wire.far.on('data', (bytes: Buffer) => reader.read(bytes));
    const first = publish(one, 't', 1);
    await new Promise((resolve) => setImmediate(resolve));
    const later = [publish(two, 'u', 1), publish(one, 't', 2)];
    await until('the first call has arrived', () => commands.length === 2);
    wire.far.write('*1\r\n$18\r\n1700000000000000-1\r\n:1\r\n');
    expect(await first).toMatchObject({ offset: 1 });
    await until('the other calls have arrived', () => commands.length === 5);
    wire.far.write('*1\r\n$18\r\n1700000000000001-1\r\n*1\r\n$18\r\n1700000000000000-2\r\n:1\r\n');
    expect(await Promise.all(later)).toMatchObject([{ offset: 1 }, { offset: 2 }]);
    expect(commands).toEqual(['EVALSHA', 'WAIT', 'EVALSHA', 'EVALSHA', 'WAIT']);
  });
});

describe('a durable publication', () => {
  it('is not acknowledged if replicas answer for another generation', async () => {
    await using wire = await newWire();
    const script = new PublishScript(link, keys);
    const generations = { generation, onStale: () => undefined };
    const publisher = newPublisher(wire.link, script, { replicas: 1, timeoutMs: 100 }, generations);
    const first = publish(publisher, 't', 1);
    wire.far.write('*1\r\n$18\r\n1700000000000000-1\r\n:1\r\n');
    expect(await first).toEqual({ epoch: '1700000000000000', offset: 1 });
    const second = publish(publisher, 't', 2);
    generations.generation = parseGeneration('another:0');
    wire.far.write('*1\r\n$18\r\n1700000000000000-2\r\n:1\r\n');
    expect(await second).toMatchObject({ code: 'unconfirmed' });
  });

  it('is acknowledged if meanwhile only the fence has changed, because a partition moves', async () => {
    await using wire = await newWire();
    const generations = { generation, onStale: () => undefined };
    const durable = { replicas: 1, timeoutMs: 100 };
    const publisher = newPublisher(wire.link, new PublishScript(link, keys), durable, generations);
    const only = publish(publisher, 't', 1);
    generations.generation = withFence(generation, 3);
    wire.far.write('*1\r\n$18\r\n1700000000000000-1\r\n:1\r\n');
    expect(await only).toEqual({ epoch: '1700000000000000', offset: 1 });
  });
});
