/** Faults of a node. */
import { setTimeout as delay } from 'node:timers/promises';
import { placements } from '../cluster/placement.js';
import type { Fault, FaultEnvironment } from './fault.js';
import { firstNode } from './victim.js';

export const none: Fault = {
  name: 'none',
  about: 'Nothing happens.',
  resets: 'none',
  placements,
  strike: ({ faultMs }) => delay(faultMs),
};

export const killNode: Fault = {
  name: 'kill-node',
  about: 'A node is killed (SIGKILL) and restarted at once.',
  resets: 'none',
  placements,
  async strike({ cluster }) {
    const node = firstNode(cluster);
    await node.process.kill();
    await node.startAgain();
  },
};

export const pauseNode: Fault = {
  name: 'pause-node',
  about: 'A node is frozen for 8 s (SIGSTOP, SIGCONT).',
  resets: 'none',
  placements,
  async strike({ cluster }) {
    const node = firstNode(cluster);
    node.process.pause();
    await delay(8_000);
    node.process.resume();
  },
};

export const rollingRestart: Fault = {
  name: 'rolling-restart',
  about:
    'The nodes stop one after the other (SIGTERM), exit with code 0 and restart; new connections go to the other nodes.',
  resets: 'none',
  placements,
  strike: (environment) => restartEach(environment),
};

type Step = (index: number) => Promise<unknown>;

/** Stops and starts one node after the other, without new connections meanwhile. */
export async function restartEach(
  { cluster, balancer, reportProblem }: FaultEnvironment,
  { onStopping, onEnded, onStarted }: Partial<Record<'onStopping' | 'onEnded' | 'onStarted', Step>> = {},
): Promise<void> {
  for (const [index, node] of cluster.nodes.entries()) {
    balancer.markDown(index);
    const stopping = node.process.stop();
    await onStopping?.(index);
    const code = await stopping;
    if (code !== 0) reportProblem(`node-${index} ended with code ${code}, not 0`);
    await onEnded?.(index);
    await node.startAgain();
    await onStarted?.(index);
    balancer.markUp(index);
  }
}
