/** Faults of the network between a node and its clients. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Fault } from './fault.js';
import { proxyOf } from './victim.js';

const blockedMs = 6_000;
const intervalMs = 500;

export const clientBlackhole: Fault = {
  name: 'client-blackhole',
  about: 'For 6 s no data passes between a node and its clients; the connections stay open.',
  resets: 'none',
  proxy: 'clients',
  async strike({ cluster }) {
    const proxy = proxyOf(cluster);
    proxy.blackhole();
    await delay(blockedMs);
    await proxy.heal();
  },
};

export const clientHalfOpen: Fault = {
  name: 'client-half-open',
  about: 'For 6 s a node receives from its clients, but its data does not reach them.',
  resets: 'none',
  proxy: 'clients',
  async strike({ cluster }) {
    const proxy = proxyOf(cluster);
    proxy.block('toClient');
    await delay(blockedMs);
    await proxy.heal();
  },
};

export const clientReset: Fault = {
  name: 'client-reset',
  about: 'The connections of the clients of a node are reset (RST) every 500 ms.',
  resets: 'none',
  proxy: 'clients',
  async strike({ cluster, faultMs }) {
    const proxy = proxyOf(cluster);
    for (let rest = faultMs; rest > 0; rest -= intervalMs) {
      proxy.reset();
      await delay(intervalMs);
    }
  },
};
