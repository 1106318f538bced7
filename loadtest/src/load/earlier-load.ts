/** A load before the measured one: idle connections, or publications that servers keep. */
import type { Disposables } from '@fanfare/kit/disposables';
import { nowUs } from '@fanfare/kit/stamp';
import type { ProtocolName } from '../protocols/protocols.js';
import type { Deployment } from './deployment.js';
import { ShardProcess } from './shard-process.js';
import type { Workload } from './workload.js';

const leadMs = 100;
/** After this time without a delivery, missing deliveries count as lost. */
const settleTimeoutMs = 5_000;

/**
 * Resolves once everything has arrived. The connections stay open as long as `parts`. Returns complaints about it, in
 * sentences.
 */
export async function carryOutEarlier(
  parts: Disposables,
  workload: Workload,
  { targets }: Deployment,
  protocol: ProtocolName,
): Promise<readonly string[]> {
  const shard = parts.use(new ShardProcess());
  await shard.ask('open', { workload, targets, protocol, isTyped: false, shard: 0, shards: 1, localAddress: null });
  if (workload.perSecond === 0) return [];
  const startUs = nowUs() + leadMs * 1_000;
  const { published } = await shard.ask('run', { startUs, seconds: workload.seconds, isMeasured: false });
  const { counts } = await shard.ask('settle', { published, timeoutMs: settleTimeoutMs });
  return counts.lost === 0
    ? []
    : [`The load before this one (${workload.topicPrefix}) lost ${counts.lost} deliveries.`];
}
