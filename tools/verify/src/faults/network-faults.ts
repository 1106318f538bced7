/** Faults of the network between a node and Redis, or between a node and its clients. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ProxyPlace } from '../cluster/cluster-under-test.js';
import { placements } from '../cluster/placement.js';
import type { Fault } from './fault.js';
import { proxyOf } from './victim.js';

const resetIntervalMs = 500;

function networkFaults(
  place: ProxyPlace & ('oneRedisLink' | 'clients'),
  seconds: number,
  words: { readonly blackhole: string; readonly halfOpen: string; readonly reset: string },
): readonly Fault[] {
  const prefix = place === 'oneRedisLink' ? 'redis-link' : 'client';
  const common = { resets: 'none', placements, isDetectable: place === 'oneRedisLink', proxy: place } as const;
  return [
    {
      ...common,
      name: `${prefix}-blackhole`,
      about: `For ${seconds} s ${words.blackhole}; the connections stay open.`,
      async strike({ cluster }) {
        const proxy = proxyOf(cluster);
        proxy.blackhole();
        await delay(seconds * 1_000);
        await proxy.heal();
      },
    },
    {
      ...common,
      name: `${prefix}-half-open`,
      about: `For ${seconds} s ${words.halfOpen}.`,
      async strike({ cluster }) {
        const proxy = proxyOf(cluster);
        proxy.block('toClient');
        await delay(seconds * 1_000);
        await proxy.heal();
      },
    },
    {
      ...common,
      name: `${prefix}-reset`,
      about: `${words.reset} are reset (RST) every ${resetIntervalMs} ms.`,
      async strike({ cluster, faultMs }) {
        const proxy = proxyOf(cluster);
        for (let rest = faultMs; rest > 0; rest -= resetIntervalMs) {
          proxy.reset();
          await delay(resetIntervalMs);
        }
      },
    },
  ];
}

export const redisLinkFaults = networkFaults('oneRedisLink', 5, {
  blackhole: 'no data passes between a node and one Redis',
  halfOpen: 'a node sends to one Redis but receives nothing',
  reset: 'The connections of a node to one Redis',
});

export const clientFaults = networkFaults('clients', 6, {
  blackhole: 'no data passes between a node and its clients',
  halfOpen: 'a node receives from its clients, but its data does not reach them',
  reset: 'The connections of the clients of a node',
});
