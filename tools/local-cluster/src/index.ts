/** Redis and Fanfare nodes as processes on this machine: for tests, examples and load tests. */
export { Balancer, type BalancerOptions, type Choice } from './balancer.js';
export { Child, type ChildOptions } from './child.js';
export { type Cluster, type ClusterOptions, startCluster } from './cluster.js';
export { type FaultDirection, FaultProxy, type FaultProxyOptions } from './fault-proxy.js';
export { findFreePort } from './free-port.js';
export { hasKubectl, type Manifest, renderKustomization, renderOverlay } from './manifests.js';
export { type NodeOptions, type NodeProcess, startNode } from './node-process.js';
export { Program, type ProgramOptions } from './program.js';
export type { RedisOptions, RedisProcess } from './redis.js';
export {
  type MoveSlotOptions,
  type RedisClusterOptions,
  type RedisClusterProcess,
  startRedisCluster,
} from './redis-cluster.js';
export { RedisConnection, type RedisReply, readCommandCalls, redisCommand } from './redis-command.js';
export { pingRedis } from './redis-ping.js';
export { startRedis } from './redis-process.js';
export { type RedisShards, startRedisShards } from './redis-shards.js';
export { masterArgs, startReplica } from './replica.js';
export { type SentinelOptions, type SentinelProcess, startSentinel } from './sentinel-process.js';
