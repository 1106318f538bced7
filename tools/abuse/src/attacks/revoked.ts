/** A revoked user who tries to stay connected: by filling Redis, or on a node that does not learn of the revocation. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Attack, attack } from '../attack.js';
import type { Attackers } from '../attackers.js';
import { tokenOf } from '../keys.js';
import type { Peer } from '../peer.js';

/** The documented limit is one second; the rest is for a busy machine. */
const outMs = 10_000;

/** A different user in each round, because a revocation is permanent. */
const subject = `attacker-${process.pid}`;
const token = tokenOf(subject);

/** The free memory of Redis before the attack. */
const roomBytes = 2 * 1_048_576;
/** Small publications fill the memory that is left after large ones, so that Redis is full. */
const payloads = ['x'.repeat(50_000), 'x'] as const;
const perSecond = 40;
/** A single request might arrive when Redis has a little free memory, so there are several. */
const revocations = 10;

/** Checks that the node closes the connection of the user in time, and refuses a new one. */
async function expectOut(attackers: Attackers, peer: Peer | null, port: number): Promise<void> {
  const node = `node ${attackers.target.ports.indexOf(port) + 1}`;
  const isOut = await Promise.race([peer?.ended.then(() => true), delay(outMs, false)]);
  if (!isOut) attackers.fault(`${node} kept the connection of the revoked user for ${outMs / 1_000} s`);
  if (await attackers.isLetIn(token, port)) attackers.fault(`${node} let the revoked user in again`);
}

export const fullRedis: Attack = attack({
  name: 'full-redis',
  about:
    'a user fills a Redis that evicts nothing with large and small publications, at each node, and is revoked meanwhile',
  settings: {
    // The user needs one second instead of ten.
    FANFARE_PUBLISH_BYTES_RATE: '4194304',
    // A full Redis refuses all publications, except those of topics without history.
    FANFARE_TOPICS: '{"good.*":{"level":"fast"}}',
  },
  answers: ['reply published', 'error unavailable', 'error invalidToken', 'close 4503', 'close 4502'],
  besides: ['error rateLimited', 'left open'],
  leastSeconds: 3,
  leastNodes: 3,
  run: async (attackers) => {
    const { ports } = attackers.target;
    const peers = await Promise.all(ports.map((port) => attackers.enterWith(token, port)));
    const used = Number(/^used_memory:(\d+)/m.exec(String(await attackers.redis('INFO', 'memory')))?.[1]);
    await attackers.redis('CONFIG', 'SET', 'maxmemory', String(used + roomBytes));
    // The user continues, so that Redis stays full.
    const filling = attackers.pace(perSecond, (n) => {
      const topic = `full.${process.pid}.${n}`;
      peers[n % peers.length]?.send({ type: 'publish', id: n + 1, topic, data: payloads[n % payloads.length] });
      attackers.sent++;
    });
    await attackers.until(() => attackers.count('error unavailable') > 0);
    const others = Array.from({ length: revocations - 1 }, (_, n) => `${subject}-${n}`);
    for (const [n, revoked] of [...others, subject].entries()) {
      const status = await attackers.revoke(revoked, ports[n % ports.length] ?? 0);
      if (status !== 202) attackers.fault(`a revocation was answered ${status} while Redis was full`);
      await delay(100);
    }
    await Promise.all(ports.map((port, node) => expectOut(attackers, peers[node] ?? null, port)));
    await filling;
    await attackers.redis('CONFIG', 'SET', 'maxmemory', '0');
  },
});

export const cutOffNode: Attack = attack({
  name: 'cut-off-node',
  about: 'a user who was revoked elsewhere, at a node that is cut off from Redis, ten attempts a second',
  isCutting: true,
  answers: ['error unavailable', 'close 4004', 'close 4503', 'error invalidToken', 'close 4502'],
  besides: ['left open'],
  // The node may use its last revocation list for 15 s.
  leastSeconds: 18,
  leastNodes: 3,
  run: async (attackers) => {
    const [first = 0] = attackers.target.ports;
    const port = attackers.target.ports.at(-1) ?? 0;
    const peer = await attackers.enterWith(token, port);
    await attackers.link('cut');
    const status = await attackers.revoke(subject, first);
    if (status !== 202) attackers.fault(`a revocation was answered ${status}`);
    let isRefused = false;
    for (; !attackers.isOver && attackers.count('error unavailable') < 10; attackers.sent++) {
      const isIn = await attackers.isLetIn(token, port);
      if (isIn && isRefused) attackers.fault('the node let the revoked user in after an earlier refusal');
      isRefused ||= !isIn;
      await delay(100);
    }
    await attackers.link('heal');
    await expectOut(attackers, peer, port);
  },
});
