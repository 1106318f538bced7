/** Redis and the nodes that faults affect. Each process can be ended, paused, and started again at the same port. */
import { Disposables } from '@fanfare/kit/disposables';
import type { Level } from '@fanfare/kit/level';
import { FaultProxy, type NodeProcess, startNode } from '@fanfare/local-cluster';
import { pingIntervalMs } from '../checker/client-options.js';
import type { ReplicaPlace } from './one-redis.js';
import type { Placement } from './placement.js';
import { redirectPort } from './redirected-ports.js';
import { ClusterRedis } from './redis-cluster.js';
import { RedisList } from './redis-list.js';
import type { RedisSettings, RedisUnderTest } from './redis-under-test.js';

/**
 * The place of a proxy: between one node and the first Redis master, between all nodes and that master, or between one
 * node and its clients.
 */
export type ProxyPlace = 'oneRedisLink' | 'allRedisLinks' | 'clients';

interface ClusterUnderTestOptions {
  readonly nodes: number;
  readonly level: Level;
  readonly placement: Placement;
  /** Publications that each topic keeps. */
  readonly historySize: number;
  /** How long a node that is asked to stop lets its clients move, in milliseconds. */
  readonly drainWindowMs: number;
  /** More arguments for `redis-server`. */
  readonly redisArgs: readonly string[];
  /** How replicas follow the first Redis master; null: as the level and the placement need it. */
  readonly replica: ReplicaPlace | null;
  /** The place of the {@link FaultProxy}; null if there is none. */
  readonly proxy: ProxyPlace | null;
  /** By how many seconds the clock of the first Redis master is ahead; null: it cannot be moved. */
  readonly clockAheadSeconds: number | null;
}

function settingsOf(
  index: number,
  { level, historySize, drainWindowMs }: ClusterUnderTestOptions,
): Readonly<Record<string, string>> {
  const policy = level === 'fast' ? { level } : { level, historySize };
  return {
    FANFARE_NODE_NAME: `node-${index}`,
    FANFARE_PING_INTERVAL_MS: String(pingIntervalMs),
    FANFARE_SSE_HEARTBEAT_MS: String(pingIntervalMs),
    FANFARE_DRAIN_WINDOW_MS: String(drainWindowMs),
    // All clients of a storm come from this machine, and at once.
    FANFARE_HANDSHAKES_PER_SECOND: '1000000',
    FANFARE_TOPICS: JSON.stringify({ '>': policy }),
  };
}

export interface ClusterUnderTest extends AsyncDisposable {
  readonly redis: RedisUnderTest;
  readonly nodes: readonly NodeUnderTest[];
  /** Null if the settings have no proxy. */
  readonly proxy: FaultProxy | null;
  /** Ports on which clients reach the nodes. */
  readonly clientPorts: readonly number[];
  /** Starts another node, which gets no clients. Resolves once it is ready. */
  startNewcomer(): Promise<NodeUnderTest>;
}

export async function startClusterUnderTest(options: ClusterUnderTestOptions): Promise<ClusterUnderTest> {
  const { nodes: count, proxy: place } = options;
  await using parts = new Disposables();
  const redis = parts.use(await startRedisUnderTest(options));
  const isRedisLink = place === 'oneRedisLink' || place === 'allRedisLinks';
  const redisProxy = isRedisLink ? parts.use(await FaultProxy.start({ targetPort: redis.first.port })) : null;
  const envOf = (index: number): Readonly<Record<string, string>> => {
    const isBehind = redisProxy !== null && (index === 0 || place === 'allRedisLinks');
    const redirect = isBehind ? redirectPort(redis.first.port, redisProxy.port) : {};
    return { ...settingsOf(index, options), ...redirect };
  };
  const started = await Promise.allSettled(
    Array.from({ length: count }, (_, index) => NodeUnderTest.start(redis, envOf(index))),
  );
  const nodes = started.flatMap((result) => (result.status === 'fulfilled' ? [parts.use(result.value)] : []));
  const failure = started.find((result) => result.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
  const clientPorts = nodes.map(({ port }) => port);
  const [firstPort] = clientPorts;
  const clientProxy =
    place === 'clients' && firstPort !== undefined
      ? parts.use(await FaultProxy.start({ targetPort: firstPort }))
      : null;
  if (clientProxy !== null) clientPorts[0] = clientProxy.port;
  const proxy = redisProxy ?? clientProxy;
  const startNewcomer = (): Promise<NodeUnderTest> =>
    NodeUnderTest.start(redis, { ...envOf(count), FANFARE_NEW_NODE_WAIT_MS: defaultNewNodeWaitMs });
  const kept = parts.move();
  return { redis, nodes, proxy, clientPorts, startNewcomer, [Symbol.asyncDispose]: () => kept[Symbol.asyncDispose]() };
}

const shards = 3;

function startRedisUnderTest(options: ClusterUnderTestOptions): Promise<RedisUnderTest> {
  const { placement, level, redisArgs: args, replica, clockAheadSeconds } = options;
  const settings: RedisSettings = { args, replica, isDurable: level === 'durable', clockAheadSeconds };
  switch (placement) {
    case 'single':
      return RedisList.start(settings, null);
    case 'sentinel':
      return RedisList.start({ ...settings, replica: 'watched' }, null);
    case 'shards':
      return RedisList.start(settings, shards);
    case 'sentinel-shards':
      return RedisList.start({ ...settings, replica: 'watched' }, shards);
    case 'cluster':
      return ClusterRedis.start(settings);
  }
}

/** As in broker/src/settings/config.ts: restarted nodes find others that know the data of Redis. */
const defaultNewNodeWaitMs = '5000';

type RedisAddress = Pick<RedisUnderTest, 'url'>;

export class NodeUnderTest implements AsyncDisposable {
  readonly port: number;
  #process: NodeProcess;

  static async start(redis: RedisAddress, env: Readonly<Record<string, string>>): Promise<NodeUnderTest> {
    return new NodeUnderTest(redis, env, await startNode({ redisUrl: redis.url, env }));
  }

  private constructor(
    private readonly redis: RedisAddress,
    private readonly env: Readonly<Record<string, string>>,
    process: NodeProcess,
  ) {
    this.#process = process;
    this.port = process.port;
  }

  /** The process that runs now, or the last one that ran. */
  get process(): NodeProcess {
    return this.#process;
  }

  /** Starts it again on the same port after its end, with the present URL of Redis. Resolves once it is ready. */
  async startAgain(): Promise<void> {
    const env = { FANFARE_NEW_NODE_WAIT_MS: defaultNewNodeWaitMs, ...this.env };
    this.#process = await startNode({ redisUrl: this.redis.url, env, port: this.port });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#process.kill();
  }
}
