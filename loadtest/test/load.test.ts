/** The load generator reports correct results even if something fails. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { nowUs, stampText } from '@fanfare/kit/stamp';
import { FaultProxy, type NodeProcess, redisCommand, startNode, startRedis } from '@fanfare/local-cluster';
import { expect, it } from 'vitest';
import { createApiKey } from '../../broker/src/auth/api-keys.js';
import { ClientConnection } from '../src/load/client-connection.js';
import { Connection } from '../src/load/connection.js';
import { localTarget } from '../src/load/deployment.js';
import { Reception } from '../src/load/reception.js';
import { runLoad } from '../src/load/run-load.js';
import { Shard } from '../src/load/shard.js';
import { ShardProcess } from '../src/load/shard-process.js';
import { defaultWorkload, topicOfStream } from '../src/load/workload.js';
import { protocols } from '../src/protocols/protocols.js';
import { carryOutRuns } from '../src/runs/load-command.js';
import { run } from '../src/scenarios/scenario.js';
import { quiet, shortSettings } from './short-runs.js';

function optionsFor(port: number) {
  return {
    protocol: protocols.msgpack.subscriber,
    target: localTarget(port),
    localAddress: null,
    topics: ['t'],
    onPublication: () => {},
    onFailure: () => {},
    timeoutMs: 2_000,
  } as const;
}

/** A server that answers the first bytes of each connection with these bytes, and then sends nothing. */
async function answering(bytes: Buffer) {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.write(bytes));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, [Symbol.asyncDispose]: async () => void server.close() };
}

async function untilDelivered({ adminUrl }: NodeProcess): Promise<void> {
  const metrics = async (): Promise<string> => await (await fetch(`${adminUrl}/metrics`)).text();
  await expect.poll(metrics, { timeout: 40_000 }).toMatch(/^fanfare_deliveries_total(\{.*\})? [1-9]/m);
}

const agreed = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n';

it('a connection that the server closes right after accepting it fails at once', async () => {
  const closeFrame = Buffer.from([0x88, 2, 0x0f, 0xa1]);
  await using server = await answering(Buffer.concat([Buffer.from(agreed), closeFrame]));
  await expect(Connection.open(optionsFor(server.port))).rejects.toThrow('The server closed the connection: 4001');
});

it('a subscribe without an answer times out', async () => {
  await using server = await answering(Buffer.from(agreed));
  await expect(Connection.open({ ...optionsFor(server.port), timeoutMs: 200 })).rejects.toThrow(/within 200 ms/);
});

it('a typed client without an answer times out', async () => {
  await using server = await answering(Buffer.from(''));
  const { target } = optionsFor(server.port);
  const nothing = { onPublication: () => {}, onReportedLoss: () => {}, onFailure: () => {} };
  const options = { target, encoding: 'msgpack', publicationBytes: 100, timeoutMs: 200, ...nothing } as const;
  await expect(ClientConnection.open(options, ['t'])).rejects.toThrow(
    'The typed client could not connect and subscribe within 200 ms.',
  );
});

it('a subscribe that waits for its answer fails if the connection closes', async () => {
  await using node = await startNode();
  const connection = await Connection.open(optionsFor(node.port));
  const waiting = connection.subscribe(['another']);
  connection.leave();
  await expect(waiting).rejects.toThrow('The connection was closed.');
  await expect(connection.subscribe(['third'])).rejects.toThrow('The connection was closed.');
});

it('every command fails once its generator process has exited', async () => {
  const shard = new ShardProcess();
  process.kill(shard.pid, 'SIGKILL');
  const ask = (): Promise<unknown> => shard.ask('settle', { published: new Float64Array(0), timeoutMs: 10 });
  await expect(ask()).rejects.toThrow('A generator process ended.');
  await expect(ask()).rejects.toThrow('A generator process ended.');
  await shard[Symbol.asyncDispose]();
});

it('latencies of subscribers on all nodes are recorded', () => {
  const reception = new Reception({ ...defaultWorkload, subscribers: 4, perSecond: 1 }, 2);
  reception.isMeasuring = true;
  for (let subscriber = 0; subscriber < 4; subscriber++) reception.begin(subscriber, true);
  const deliver = (subscriber: number, sequence: number): void =>
    reception.record(subscriber, Buffer.from(stampText(0, sequence, 0)), 0);
  for (let sequence = 0; sequence < 50; sequence++) for (const subscriber of [1, 3]) deliver(subscriber, sequence);
  expect(reception.latency.totalCount).toBe(50);
});

it('only publications of the measured time count, even if bursts do not divide a second evenly', async () => {
  const workload = { subscribers: 2, perSecond: 78.125, burst: 16, warmUpSeconds: 0.5, seconds: 1 };
  const [result] = await carryOutRuns([run('bursts', workload)], { ...shortSettings, generators: 1 }, quiet);
  expect(result?.published).toBe(80);
  expect(result?.deliveries).toBe(160);
});

it('a load reports a moment that it could not measure, and continues', async () => {
  await using node = await startNode();
  await using redis = await startRedis();
  await using proxy = await FaultProxy.start({ targetPort: redis.port });
  const holes: string[] = [];
  const result = await runLoad({
    scenario: 'fan-out',
    label: 'a hole',
    server: 'fanfare',
    workload: { ...defaultWorkload, perSecond: 10, warmUpSeconds: 0, seconds: 2 },
    deployment: {
      targets: [localTarget(node.port)],
      processes: [],
      readRedisStats: async () => String(await redisCommand(proxy.port, ['INFO', 'stats'])),
      metricsUrls: [],
      [Symbol.asyncDispose]: async () => {},
    },
    protocol: 'msgpack',
    isTyped: false,
    generators: 1,
    onMoment: () => {
      if (holes.length === 0) void proxy.refuse();
    },
    onHole: ({ message }) => {
      holes.push(message);
      void proxy.heal();
    },
  });
  expect(holes).toEqual([expect.stringContaining('ECONNREFUSED')]);
  expect(result.moments.length).toBeGreaterThan(1);
});

it('a load warns that the broker is gone if typed clients wait for it', async () => {
  await using node = await startNode();
  const dies = run('the broker dies', { subscribers: 5, perSecond: 100, warmUpSeconds: 0, seconds: 2 });
  const show = { ...quiet, moment: () => void node.kill() };
  const [result] = await carryOutRuns([dies], { ...shortSettings, generators: 1, url: node.url, isTyped: true }, show);
  expect(result?.connected).toBe(0);
  expect(result?.complaints).toContain('5 of 5 clients were not connected at the end.');
  expect(result?.complaints).toContainEqual(expect.stringMatching(/^1 times: a publisher: The typed client lost/));
  expect(result?.complaints.join()).not.toContain('not notified');
  // At least 50 publications were never sent. They are not lost, which would be 250 deliveries.
  expect(result?.published).toBeLessThan(150);
  expect(result?.lost).toBeLessThan(250);
});

it.each(['churn', 'resubscribe'] as const)(
  'a load warns if it cannot keep up with the disturbance %s',
  async (name) => {
    await using node = await startNode();
    const warningsAt = async (perSecond: number): Promise<readonly string[]> => {
      const disturbances = [{ name, connectionsPerSecond: perSecond, subscriptionsPerSecond: perSecond }];
      const workload = { subscribers: 4, perSecond: 10, warmUpSeconds: 0, seconds: 0.5, disturbances };
      const [result] = await carryOutRuns([run(name, workload)], { ...shortSettings, url: node.url }, quiet);
      return result?.complaints.filter((complaint) => complaint.includes('replaced')) ?? [];
    };
    // Four subscribers cannot be replaced that often.
    expect(await warningsAt(200_000)).toEqual([expect.stringMatching(/^Only \d+ of 100000 connections/)]);
    expect(await warningsAt(4)).toEqual([]);
  },
);

it.each([
  { topics: 20, publishers: 3 },
  { topics: 4, publishers: 10 },
])('topics have the same popularity for any number of publishing processes: %j', async (size) => {
  await using node = await startNode();
  const choice = { name: 'zipf', exponent: 1 } as const;
  const workload = { ...defaultWorkload, ...size, choice, perSecond: 4_000, subscribers: 0 };
  const plan = { workload, targets: [localTarget(node.port)], protocol: 'msgpack', isTyped: false, shards: 2 } as const;
  const shards = await Promise.all(
    [0, 1].map(async (shard) => {
      const opened = new Shard({ ...plan, shard, localAddress: null });
      await opened.open();
      return opened;
    }),
  );
  const startUs = nowUs();
  const reports = await Promise.all(shards.map((shard) => shard.run(startUs, 1, false)));
  const counts = new Float64Array(size.topics);
  for (const { published } of reports) {
    for (const [stream, count] of published.entries()) {
      const topic = topicOfStream(stream, workload);
      counts[topic] = (counts[topic] ?? 0) + count;
    }
  }
  const harmonic = counts.reduce((sum, _, topic) => sum + 1 / (topic + 1), 0);
  for (const [topic, count] of counts.entries()) {
    const expected = 4_000 / (topic + 1) / harmonic;
    // Five standard deviations of a count of that size.
    expect(Math.abs(count - expected)).toBeLessThan(5 * Math.sqrt(expected));
  }
});

it('losses during the warm-up are counted separately', async () => {
  // At level fast, a client misses what is published while it is away.
  await using node = await startNode({ env: { FANFARE_TOPICS: '{">":{"level":"fast"}}' } });
  await using proxy = await FaultProxy.start({ targetPort: node.port });
  const result = runLoad({
    scenario: 'fan-out',
    label: 'a break in the warm-up',
    server: 'fanfare',
    workload: {
      ...defaultWorkload,
      perSecond: 500,
      warmUpSeconds: 2.5,
      seconds: 0.2,
      subscriberServers: [0],
      publisherServers: [1],
    },
    deployment: {
      targets: [localTarget(proxy.port), localTarget(node.port)],
      processes: [],
      readRedisStats: null,
      metricsUrls: [],
      [Symbol.asyncDispose]: async () => {},
    },
    protocol: 'msgpack',
    isTyped: true,
    generators: 1,
  });
  await untilDelivered(node);
  proxy.reset();
  const { lost, lostInWarmUp, reported, complaints } = await result;
  expect({ lost, reported }).toEqual({ lost: 0, reported: 0 });
  expect(lostInWarmUp).toBeGreaterThan(0);
  expect(complaints).toContain(`${lostInWarmUp} deliveries are missing from the warm-up.`);
});

it('a missing delivery is counted as lost only once, even if the load continues', () => {
  const reception = new Reception({ ...defaultWorkload, perSecond: 1 }, 1);
  reception.begin(0, true);
  const deliver = (sequence: number): void => reception.record(0, Buffer.from(stampText(0, sequence, 0)), 0);
  deliver(0);
  expect(reception.conclude(Float64Array.of(3)).lost).toBe(2);
  // Another subscriber misses something else.
  reception.begin(0, false);
  deliver(4);
  deliver(6);
  expect(reception.conclude(Float64Array.of(7)).lost).toBe(3);
});

it('a load warns that nothing was published if the broker is gone before it begins', async () => {
  await using node = await startNode();
  const gone = run('gone', { perSecond: 100, warmUpSeconds: 2, seconds: 0.5 });
  const results = carryOutRuns([gone], { ...shortSettings, generators: 1, url: node.url }, quiet);
  await untilDelivered(node);
  await node.kill();
  const [result] = await results;
  expect(result).toMatchObject({ published: 0, deliveries: 0 });
  expect(result?.complaints).toContain('Nothing was published.');
});

it('a load at a low rate expects only the publications that fit in its time', async () => {
  // Two publications cannot reach the subscribers of three processes, because each process has its own topics.
  const few = run('few', { topics: 6, subscribers: 6, publishers: 4, perSecond: 1, warmUpSeconds: 0.5, seconds: 2 });
  const [result] = await carryOutRuns([few], { ...shortSettings, generators: 3 }, quiet);
  expect(result).toMatchObject({ published: 2, deliveries: 2, lost: 0, lostInWarmUp: 0 });
  expect(result?.complaints.filter((complaint) => /othing/.test(complaint))).toEqual([]);
  // It runs for the planned time, although the last publication is sent after one second.
  expect(result?.elapsedSeconds).toBeGreaterThanOrEqual(2);
});

it('the typed client also sends a token', async () => {
  const { key, entry } = createApiKey('load');
  const permissions = { publish: ['load.>'], subscribe: ['load.>'] };
  await using node = await startNode({
    env: { FANFARE_AUTH: JSON.stringify({ apiKeys: [{ ...entry, permissions }] }) },
  });
  const received: string[] = [];
  const connection = await ClientConnection.open(
    {
      target: { ...localTarget(node.port), token: key },
      encoding: 'msgpack',
      publicationBytes: 64,
      onPublication: (bytes) => received.push(Buffer.from(bytes).toString()),
      onReportedLoss: () => {},
      onFailure: () => {},
      timeoutMs: 5_000,
    },
    ['load.t'],
  );
  connection.add('load.t', 0, 1, 1);
  await expect.poll(() => received.length).toBe(1);
  connection.close();
});

it('a load fails with the error of the broker if the token is invalid', async () => {
  const auth = { issuers: [{ issuer: 'test', keys: [{ algorithm: 'HS256', secret: 'x'.repeat(32) }] }] };
  await using node = await startNode({ env: { FANFARE_AUTH: JSON.stringify(auth) } });
  for (const protocol of ['msgpack', 'json'] as const) {
    const target = { ...localTarget(node.port), token: 'let-me-in' };
    const shard = new Shard({
      workload: defaultWorkload,
      targets: [target],
      protocol,
      isTyped: false,
      shard: 0,
      shards: 1,
      localAddress: null,
    });
    await expect(shard.open()).rejects.toThrow(/The token is not a signed JWT|4502 unauthenticated/);
  }
});
