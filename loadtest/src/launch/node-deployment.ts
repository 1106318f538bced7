/** Local nodes as the target of a load, with a shared Redis if they need one. */

import { Disposables } from '@fanfare/kit/disposables';
import {
  masterArgs,
  type RedisProcess,
  redisCommand,
  startRedis,
  startRedisShards,
  startReplica,
} from '@fanfare/local-cluster';
import { type DeployedProcess, type Deployment, localTarget } from '../load/deployment.js';

/** A process that listens on this machine. */
export interface ServerProcess extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
  /** The URL of /metrics, for Fanfare's own nodes. */
  readonly adminUrl?: string;
}

export async function deployNodes(
  nodes: number,
  start: (index: number) => Promise<ServerProcess>,
): Promise<Deployment> {
  await using parts = new Disposables();
  return await deploy(parts, null, nodes, start);
}

/** `hasReplica`: a second Redis follows the shared one. Level durable needs it. */
export async function deployNodesOnRedis(
  nodes: number,
  start: (redisUrl: string) => Promise<ServerProcess>,
  hasReplica = false,
): Promise<Deployment> {
  await using parts = new Disposables();
  const redis = parts.use(await startRedis({ args: hasReplica ? masterArgs : [] }));
  const replica = hasReplica ? parts.use(await startReplica(redis.port)) : null;
  const deployment = await deploy(parts, redis, nodes, () => start(redis.url));
  if (replica === null) return deployment;
  const follower = { name: 'Redis replica', role: 'redis', pid: replica.pid } as const;
  return { ...deployment, processes: [...deployment.processes, follower] };
}

/** `count`: Redis servers, between which the topics are divided. */
export async function deployNodesOnShards(
  nodes: number,
  start: (redisUrl: string) => Promise<ServerProcess>,
  count: number,
): Promise<Deployment> {
  await using parts = new Disposables();
  const { servers, url } = parts.use(await startRedisShards(count));
  const deployment = await deploy(parts, null, nodes, () => start(url));
  const shards = servers.map(({ pid }, index) => ({ name: `Redis ${index}`, role: 'redis', pid }) as const);
  return { ...deployment, processes: [...deployment.processes, ...shards] };
}

/** A Redis that is the target itself. */
export async function deployRedis(): Promise<Deployment> {
  await using parts = new Disposables();
  // It listens on 127.0.0.1 only, but takes other addresses of this machine for foreign ones.
  const redis = parts.use(await startRedis({ args: ['--protected-mode', 'no'] }));
  return { ...(await deploy(parts, redis, 0, () => Promise.reject())), targets: [localTarget(redis.port)] };
}

async function deploy(
  parts: Disposables,
  redis: RedisProcess | null,
  nodes: number,
  start: (index: number) => Promise<ServerProcess>,
): Promise<Deployment> {
  const started = await Promise.all(Array.from({ length: nodes }, async (_, index) => parts.use(await start(index))));
  const processes: DeployedProcess[] = started.map(({ pid }, index) => ({
    name: `node ${index}`,
    role: 'server',
    pid,
  }));
  if (redis !== null) processes.push({ name: 'Redis', role: 'redis', pid: redis.pid });
  const kept = parts.move();
  return {
    targets: started.map(({ port }) => localTarget(port)),
    processes,
    readRedisStats: redis === null ? null : async () => String(await redisCommand(redis.port, ['INFO', 'stats'])),
    metricsUrls: started.flatMap(({ adminUrl }) => (adminUrl === undefined ? [] : [`${adminUrl}/metrics`])),
    [Symbol.asyncDispose]: () => kept[Symbol.asyncDispose](),
  };
}
