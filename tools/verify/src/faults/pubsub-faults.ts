/** Faults of the pub/sub connections between nodes and Redis. */
import { setTimeout as delay } from 'node:timers/promises';
import { becomes } from '@fanfare/kit/within';
import { Subscribers } from '../checker/subscribers.js';
import { placements } from '../cluster/placement.js';
import type { Fault } from './fault.js';
import { firstNode } from './victim.js';

const intervalMs = 500;

export const killPubsub: Fault = {
  name: 'kill-pubsub',
  about: 'Redis closes the pub/sub connections of all nodes every 500 ms (CLIENT KILL TYPE pubsub).',
  resets: 'none',
  placements,
  isDetectable: true,
  async strike({ cluster, faultMs, note, reportProblem }) {
    let killed = 0;
    for (let rest = faultMs; rest > 0; rest -= intervalMs) {
      for (const count of await cluster.redis.everywhere('CLIENT', 'KILL', 'TYPE', 'pubsub')) killed += Number(count);
      await delay(intervalMs);
    }
    note(`${killed} connections were killed.`);
    if (killed === 0) reportProblem('Redis had no connection to kill');
  },
};

/**
 * The publications must fill Redis' buffer for a node that does not read. The kernel buffers some of them, so they must
 * be large.
 */
const floodBytes = 16_000;
const floodPerSecond = 400;
const leastStallMs = 1_000;
/**
 * Long, because the flood is slower on a busy machine. Even at full speed, the history holds all publications of this
 * time.
 */
const maxStallMs = 20_000;

export const outputBuffer: Fault = {
  name: 'output-buffer',
  about:
    'The output buffer of Redis is limited to 64 kB; a node is frozen under load until Redis cuts its connection, then resumed.',
  resets: 'none',
  placements,
  historySize: 10_000,
  async prepare({ addGroup, addTopic, cluster, reportProblem, note, published }) {
    const node = firstNode(cluster);
    const { redis } = cluster;
    const flood = addTopic('flood', floodBytes, floodPerSecond);
    const { url } = node.process;
    addGroup(await Subscribers.open({ url, topicsOfClients: [[flood]], published, name: 'flood' }), 'flood');
    return {
      async strike() {
        const masters = await redis.masters();
        await redis.everywhere('CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 64kb 32kb 1');
        node.process.pause();
        const beganMs = performance.now();
        flood.load.start();
        await delay(leastStallMs);
        const isCut = await becomes(maxStallMs, () =>
          masters.some((server) => server.logs().some((line) => line.includes('output buffer limits'))),
        );
        const stalledMs = Math.round(performance.now() - beganMs);
        node.process.resume();
        await flood.load.stop();
        await redis.everywhere('CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 32mb 8mb 60');
        if (isCut) note(`The node was frozen for ${stalledMs} ms, and Redis has cut its connection.`);
        else reportProblem(`Redis did not cut the connection within ${maxStallMs} ms`);
      },
    };
  },
};
