/** Redis and the nodes that faults affect. Each process can be ended, paused, and started again at the same port. */
import { setTimeout as delay } from 'node:timers/promises';
import { Disposables } from '@fanfare/kit/disposables';
import type { Level } from '@fanfare/kit/level';
import {
  FaultProxy,
  masterArgs,
  type NodeProcess,
  type RedisProcess,
  type RedisReply,
  redisCommand,
  type SentinelProcess,
  startNode,
  startRedis,
  startReplica,
  startSentinel,
} from '@fanfare/local-cluster';
import { pingIntervalMs } from '../checker/client-options.js';
import { FakeClock } from './fake-clock.js';

/**
 * The place of a proxy: between one node and Redis, between all nodes and Redis, or between one node and its clients.
 */
export type ProxyPlace = 'oneRedisLink' | 'allRedisLinks' | 'clients';

/**
 * `direct`: a replica that follows Redis. `proxied`: it follows Redis through a proxy, which adds a small delay.
 * `watched`: two replicas and a Sentinel, which promotes one of them if Redis does not respond. Nodes then know only
 * the Sentinel.
 */
export type ReplicaPlace = 'direct' | 'proxied' | 'watched';

interface ClusterUnderTestOptions {
  readonly nodes: number;
  readonly level: Level;
  /** Publications that each topic keeps. */
  readonly historySize: number;
  /** How long a node that is asked to stop lets its clients move, in milliseconds. */
  readonly drainWindowMs: number;
  /** More arguments for `redis-server`. */
  readonly redisArgs: readonly string[];
  /** The replica of Redis, and how it follows Redis; null if there is none. */
  readonly replica: ReplicaPlace | null;
  /** The place of the {@link FaultProxy}; null if there is none. */
  readonly proxy: ProxyPlace | null;
  /** By how many seconds the clock of Redis is ahead; null: it has the clock of this machine, which cannot be moved. */
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
  readonly redis: RedisProcess;
  /** The replica of Redis; null if there is none. */
  readonly replica: RedisProcess | null;
  /** Between Redis and a `proxied` replica; otherwise null. */
  readonly replicaLink: FaultProxy | null;
  readonly nodes: readonly NodeUnderTest[];
  /** Null if the settings have no proxy. */
  readonly proxy: FaultProxy | null;
  /** Ports on which clients reach the nodes. */
  readonly clientPorts: readonly number[];
  /** The clock of Redis; null if it cannot be moved. */
  readonly clock: FakeClock | null;
  /** Watches Redis and its replicas; null if none was asked for. */
  readonly sentinel: SentinelProcess | null;
  /** Starts another node, which gets no clients. Resolves once it is ready. */
  startNewcomer(): Promise<NodeUnderTest>;
  command(...args: readonly string[]): Promise<RedisReply>;
}

export async function startClusterUnderTest(options: ClusterUnderTestOptions): Promise<ClusterUnderTest> {
  const { nodes: count, redisArgs, proxy: place, replica: replicaPlace } = options;
  await using parts = new Disposables();
  const replicationArgs = replicaPlace === null ? [] : [...masterArgs, ...safeArgs];
  const { clockAheadSeconds } = options;
  const clock = clockAheadSeconds === null ? null : parts.use(new FakeClock(clockAheadSeconds));
  const redis = parts.use(await startRedis({ args: [...redisArgs, ...replicationArgs], env: clock?.env ?? {} }));
  const replicaLink = replicaPlace === 'proxied' ? parts.use(await FaultProxy.start({ targetPort: redis.port })) : null;
  const masterPort = replicaLink?.port ?? redis.port;
  const replica = replicaPlace === null ? null : parts.use(await startReplica(masterPort, safeArgs));
  const sentinel = replicaPlace === 'watched' ? await startWatch(redis, parts) : null;
  const brokerUrl = sentinel === null ? redis.url : `redis+sentinel://127.0.0.1:${sentinel.port}/${masterName}`;
  const isRedisLink = place === 'oneRedisLink' || place === 'allRedisLinks';
  const redisProxy = isRedisLink ? parts.use(await FaultProxy.start({ targetPort: redis.port })) : null;
  const started = await Promise.allSettled(
    Array.from({ length: count }, async (_, index) => {
      const isBehind = redisProxy !== null && (index === 0 || place === 'allRedisLinks');
      const redisUrl = isBehind ? `redis://${redisProxy.address}` : brokerUrl;
      return await NodeUnderTest.start(redisUrl, settingsOf(index, options));
    }),
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
    NodeUnderTest.start(brokerUrl, {
      ...settingsOf(count, options),
      FANFARE_NEW_NODE_WAIT_MS: defaultNewNodeWaitMs,
    });
  const kept = parts.move();
  return {
    ...{ redis, replica, replicaLink, nodes, proxy, clientPorts, clock, sentinel, startNewcomer },
    command: (...args) => redisCommand(redis.port, args),
    [Symbol.asyncDispose]: () => kept[Symbol.asyncDispose](),
  };
}

/** The setting that docs/guarantees.md asks for on every server that is or may become the master. */
export const safeArgs = ['--min-replicas-to-write', '1'] as const;

const followDeadlineMs = 60_000;

/** The name of the master at the Sentinel. */
export const masterName = 'fanfare';

/**
 * A second replica and a Sentinel that knows both. Without it, the next master would refuse writes
 * (min-replicas-to-write).
 */
async function startWatch(redis: RedisProcess, parts: Disposables): Promise<SentinelProcess> {
  parts.use(await startReplica(redis.port, safeArgs));
  const sentinel = parts.use(
    await startSentinel({ masterName, masterPort: redis.port, downAfterMs: sentinelDownAfterMs }),
  );
  const deadline = performance.now() + followDeadlineMs;
  while (!String(await redisCommand(sentinel.port, ['INFO', 'sentinel'])).includes('slaves=2')) {
    if (performance.now() > deadline)
      throw new Error(`The Sentinel did not find the replicas within ${followDeadlineMs} ms.`);
    await delay(20);
  }
  return sentinel;
}

/** How long Redis must be silent before the Sentinel replaces it, in milliseconds. */
const sentinelDownAfterMs = 1_000;

/** As in broker/src/settings/config.ts: restarted nodes find others that know the data of Redis. */
const defaultNewNodeWaitMs = '5000';

export class NodeUnderTest implements AsyncDisposable {
  readonly port: number;
  #process: NodeProcess;

  static async start(redisUrl: string, env: Readonly<Record<string, string>>): Promise<NodeUnderTest> {
    return new NodeUnderTest(redisUrl, env, await startNode({ redisUrl, env }));
  }

  private constructor(
    private readonly redisUrl: string,
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

  /** Starts it again on the same port after its end. Resolves once it is ready. */
  async startAgain(): Promise<void> {
    const env = { FANFARE_NEW_NODE_WAIT_MS: defaultNewNodeWaitMs, ...this.env };
    this.#process = await startNode({ redisUrl: this.redisUrl, env, port: this.port });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#process.kill();
  }
}
