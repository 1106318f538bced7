/** Fanfare's own nodes, at each level and encoding. */
import { startNode, startRedis } from '@fanfare/local-cluster';
import { type DeployedProcess, type Deployment, localTarget } from '../load/deployment.js';
import type { ProtocolName } from '../protocols/protocols.js';
import { Parts } from '../verify/parts.js';
import type { ServerKind, StartOptions } from './server.js';

type Level = 'fast' | 'recoverable';

export function fanfare(level: Level, protocol: ProtocolName & ('msgpack' | 'json')): ServerKind {
  return {
    about: `Fanfare, level ${level}, ${protocol === 'json' ? 'JSON' : 'MessagePack'}`,
    protocol,
    missing: async () => null,
    start: (options) => startFanfare(level, options),
  };
}

export async function startFanfare(level: Level, { nodes, env }: StartOptions): Promise<Deployment> {
  await using parts = new Parts();
  const redis = nodes > 1 ? parts.use(await startRedis()) : null;
  const settings = { FANFARE_TOPICS: JSON.stringify({ '>': { level } }), ...env };
  const started = await Promise.all(
    Array.from({ length: nodes }, async () =>
      parts.use(await startNode({ env: settings, ...(redis === null ? {} : { redisUrl: redis.url }) })),
    ),
  );
  const processes: DeployedProcess[] = started.map(({ pid }, index) => ({
    name: `node ${index}`,
    role: 'server',
    pid,
    isNode: true,
  }));
  if (redis !== null) processes.push({ name: 'Redis', role: 'redis', pid: redis.pid, isNode: false });
  const kept = parts.move();
  return {
    targets: started.map(({ port }) => localTarget(port)),
    processes,
    redisPort: redis?.port ?? null,
    [Symbol.asyncDispose]: () => kept[Symbol.asyncDispose](),
  };
}
