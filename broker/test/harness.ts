/** Real nodes in this process, with a real Redis and real sockets. */

import {
  FaultProxy,
  type RedisClusterProcess,
  RedisConnection,
  type RedisProcess,
  type RedisShards,
  startRedis,
  startRedisCluster,
  startRedisShards,
} from '@fanfare/local-cluster';
import type { Encoding } from '@fanfare/protocol';
import type { Redis } from 'ioredis';
import { type Broker, createLog, loadConfig, startBroker } from '../src/index.js';
import { type MemoryTimes, memoryTimesOf } from '../src/relay/memory-times.js';
import { TestConnection } from './test-connection.js';
import { until } from './wait.js';

/** `single`: one Redis. `shards`: two. `cluster`: a Redis Cluster of three masters, each with a replica. */
type PlacementName = 'single' | 'shards' | 'cluster';

/** The servers that the nodes of a cluster share. */
type Servers = RedisProcess | RedisShards | RedisClusterProcess;

export interface ClusterOptions {
  /** Default 1. */
  readonly nodes?: number;
  /** Whether nodes share a Redis (default: if there is more than one), which kind, or the servers to share. */
  readonly redis?: boolean | PlacementName | Servers;
  /** Environment variables for all nodes. */
  readonly env?: Readonly<Record<string, string>>;
  /** Additional environment variables for one node, by its index. */
  readonly envOf?: (node: number) => Readonly<Record<string, string>>;
  /** Default: those of every node. */
  readonly times?: MemoryTimes | undefined;
  /** Whether to wait until every node is ready (default true). */
  readonly waitReady?: boolean;
}

/** Its disposal drains the node. */
export interface TestNode extends AsyncDisposable {
  readonly broker: Broker;
  readonly url: string;
  /** Log lines so far. */
  readonly log: readonly LogLine[];
  /**
   * The value of one metric of /metrics. Polling tests read it from the node itself: HTTP would cost more than the
   * thing they wait for.
   */
  metric(name: string): Promise<number>;
  /** The answer of /readyz. */
  readiness(): Promise<{ status: number; reason: string }>;
}

export interface LogLine {
  readonly event?: string;
  readonly msg: string;
  readonly level: number;
  readonly link?: string;
  readonly state?: string;
  readonly connection?: string;
}

/** Empty servers that clusters have used before: to start one costs as much processor time as a short test. */
const idleServers: Servers[] = [];

function placementOf(servers: Servers): PlacementName {
  if ('moveSlot' in servers) return 'cluster';
  return 'servers' in servers ? 'shards' : 'single';
}

async function takeServers(placement: PlacementName): Promise<Servers> {
  const idle = idleServers.findLastIndex((servers) => placementOf(servers) === placement);
  if (idle !== -1) return idleServers.splice(idle, 1)[0] as Servers;
  switch (placement) {
    case 'single':
      return await startRedis();
    case 'shards':
      return await startRedisShards(2);
    case 'cluster':
      return await startRedisCluster();
  }
}

/** Deletes all data. */
export async function flush(servers: Servers): Promise<void> {
  const all = 'servers' in servers ? servers.servers : [servers];
  await Promise.all(
    all.map(async ({ port }) => {
      using connection = new RedisConnection(port);
      // Replicas refuse it.
      if (String(await connection.call(['ROLE'])).startsWith('master')) await connection.call(['FLUSHALL']);
    }),
  );
}

export class TestCluster implements AsyncDisposable {
  readonly nodes: readonly TestNode[];
  readonly #servers: Servers | null;
  readonly #ownsServers: boolean;
  #areServersUsed = false;
  readonly #connections: TestConnection[] = [];

  constructor(nodes: readonly TestNode[], servers: Servers | null, ownsServers: boolean) {
    this.nodes = nodes;
    this.#servers = servers;
    this.#ownsServers = ownsServers;
  }

  /** A test that uses it may change its settings or stop it, so no other cluster gets it afterwards. */
  get redis(): RedisProcess {
    const servers = this.#useServers();
    if (servers === null || 'servers' in servers) throw new Error('This cluster has no single Redis.');
    return servers;
  }

  /** As {@link redis}: no other cluster gets them afterwards. */
  get shards(): readonly RedisProcess[] {
    const servers = this.#useServers();
    if (servers === null || !('servers' in servers)) throw new Error('This cluster has no shards.');
    return servers.servers;
  }

  /** As {@link redis}: no other cluster gets it afterwards. */
  get redisCluster(): RedisClusterProcess {
    const servers = this.#useServers();
    if (servers === null || !('moveSlot' in servers)) throw new Error('This cluster has no Redis Cluster.');
    return servers;
  }

  #useServers(): Servers | null {
    this.#areServersUsed = true;
    return this.#servers;
  }

  node(index = 0): TestNode {
    const node = this.nodes[index];
    if (node === undefined) throw new Error(`This cluster has no node ${index}.`);
    return node;
  }

  /**
   * The URL of its Redis, for tests that only read and change data: another cluster gets the servers afterwards, empty.
   */
  get redisUrl(): string {
    if (this.#servers === null) throw new Error('This cluster has no Redis.');
    return this.#servers.url;
  }

  async connect(node = 0, encoding: Encoding = 'msgpack'): Promise<TestConnection> {
    const connection = await TestConnection.open(this.node(node).url, encoding);
    this.#connections.push(connection);
    return connection;
  }

  /**
   * Connects and subscribes; resolves when the subscription is confirmed. Retries, like a client, if the node asks for
   * it.
   */
  async subscriber(topic: string, node = 0, encoding: Encoding = 'msgpack'): Promise<TestConnection> {
    const connection = await this.connect(node, encoding);
    await until('the connection is subscribed', async () => {
      const reply = await connection.subscribe(topic);
      if (reply.type === 'subscribed') return true;
      if (reply.type === 'error' && reply.retryable) return false;
      throw new Error(`Not subscribed: ${JSON.stringify(reply)}`);
    });
    return connection;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection[Symbol.asyncDispose]()));
    await Promise.all(this.nodes.map((node) => node.broker.drain()));
    if (this.#servers === null || !this.#ownsServers) return;
    if (this.#areServersUsed) return this.#servers[Symbol.asyncDispose]();
    await flush(this.#servers);
    idleServers.push(this.#servers);
  }
}

export async function startCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const { nodes = 1, redis = nodes > 1, env = {}, envOf = () => ({}), times, waitReady = true } = options;
  const ownsServers = typeof redis !== 'object' && redis !== false;
  const servers = ownsServers ? await takeServers(redis === true ? 'single' : redis) : redis === false ? null : redis;
  const redisEnv: Record<string, string> = servers === null ? {} : { FANFARE_REDIS_URL: servers.url };
  const started = await Promise.all(
    Array.from({ length: nodes }, (_, index) =>
      startNode({ FANFARE_NODE_NAME: `node-${index}`, ...redisEnv, ...env, ...envOf(index) }, times),
    ),
  );
  if (waitReady) {
    for (const node of started) await until('the node is ready', async () => (await node.readiness()).status === 200);
  }
  return new TestCluster(started, servers, ownsServers);
}

/** A tenth of the durations of every node, for tests in which nodes must forget publications. */
export const shortTimes = memoryTimesOf(500, 100);

/**
 * Resolves when nodes with {@link shortTimes} have forgotten all earlier publications, by the clock in Redis
 * (lua/heartbeat.lua).
 */
export async function untilForgotten(redis: Redis): Promise<void> {
  const clock = async (): Promise<number> => Number(await redis.get('fanfare:clock'));
  const forgottenAt = (await clock()) + shortTimes.rememberMs + 3 * shortTimes.maxHeartbeatMs;
  await until('no node remembers the publications', async () => (await clock()) > forgottenAt);
}

/** All topics at level `fast`. */
export const fastTopics = { FANFARE_TOPICS: '{">":{"level":"fast"}}' };

/** Starts one node on free ports with these environment variables. */
export async function startNode(env: Readonly<Record<string, string>>, times?: MemoryTimes): Promise<TestNode> {
  const log: LogLine[] = [];
  const config = loadConfig({
    FANFARE_PORT: '0',
    FANFARE_ADMIN_PORT: '0',
    FANFARE_DRAIN_WINDOW_MS: '0',
    FANFARE_DRAIN_TIMEOUT_MS: '1000',
    // A Redis of a busy machine that is late does not hang.
    FANFARE_REDIS_TIMEOUT_MS: '5000',
    // The Redis of a test is always new.
    FANFARE_NEW_NODE_WAIT_MS: '0',
    ...env,
  });
  const logger = createLog(config, { write: (line) => void log.push(JSON.parse(line)) });
  const started = await startBroker(config, logger, null, times);
  // A test may drain a node, which its cluster drains again at the end.
  let drained: Promise<void> | null = null;
  const broker: Broker = { ...started, drain: (drainOptions) => (drained ??= started.drain(drainOptions)) };
  return {
    broker,
    url: `${config.tlsCertFile === null ? 'ws' : 'wss'}://127.0.0.1:${broker.port}/ws`,
    log,
    async metric(name) {
      // Without labels, and without the suffix of the count or the sum of a histogram.
      const text = await broker.metrics(name.replace(/(_count|_sum)?(\{.*)?$/, ''));
      const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
      if (line === undefined) throw new Error(`There is no metric ${name}.`);
      return Number(line.slice(name.length + 1));
    },
    async readiness() {
      const { isReady, reason } = broker.readiness();
      return { status: isReady ? 200 : 503, reason };
    },
    [Symbol.asyncDispose]: () => broker.drain(),
  };
}

interface MortalNode extends AsyncDisposable {
  readonly url: string;
  kill(): Promise<void>;
}

/**
 * A node that can be killed, as Redis and the other nodes see it: it loses all connections to Redis, and never returns.
 */
export async function startMortalNode(
  redis: RedisProcess,
  env: Readonly<Record<string, string>> = {},
): Promise<MortalNode> {
  const way = await FaultProxy.start({ targetPort: redis.port });
  const node = await startNode({ ...env, FANFARE_REDIS_URL: `redis://${way.address}` });
  await until('the node is ready', async () => (await node.readiness()).status === 200);
  return {
    url: node.url,
    kill: () => way.refuse(),
    async [Symbol.asyncDispose]() {
      await node.broker.drain({ atOnce: true });
      await way[Symbol.asyncDispose]();
    },
  };
}
