/** The target of an attack: one node in memory, or several with a Redis. */

import type { Disposables } from '@fanfare/kit/disposables';
import { FaultProxy, type NodeProcess, type RedisProcess, startNode, startRedis } from '@fanfare/local-cluster';
import type { Attack } from './attack.js';
import { type Addresses, proxyNetwork } from './attackers.js';
import { startHook } from './hook.js';
import { authSetting } from './keys.js';

export interface Target {
  readonly nodes: readonly NodeProcess[];
  /** Null if there is one node. */
  readonly redis: RedisProcess | null;
  /** Between the last node and Redis; null unless the attack cuts it. */
  readonly link: FaultProxy | null;
}

const commonSettings = { FANFARE_TRUSTED_PROXIES: proxyNetwork };

export async function startTarget(attack: Attack, count: number, parts: Disposables): Promise<Target> {
  const hook = attack.hasHook ? parts.use(await startHook()) : null;
  const env = { ...commonSettings, FANFARE_AUTH: authSetting(hook?.url ?? null), ...attack.settings };
  if (count === 1) return { nodes: [parts.use(await startNode({ env }))], redis: null, link: null };
  const redis = parts.use(await startRedis());
  const link = attack.isCutting ? parts.use(await FaultProxy.start({ targetPort: redis.port })) : null;
  const nodes = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const redisUrl = link !== null && index === count - 1 ? `redis://${link.address}` : redis.url;
      return parts.use(await startNode({ env, redisUrl }));
    }),
  );
  return { nodes, redis, link };
}

export function addressesOf({ nodes, redis }: Target): Addresses {
  return {
    ports: nodes.map(({ port }) => port),
    adminPorts: nodes.map(({ adminPort }) => adminPort),
    redisPort: redis?.port ?? null,
  };
}
