/** Names of all metrics that alerts and the dashboard may ask for. */
import { Metrics, workerMetrics } from '../../broker/src/metrics.js';

/** Metrics that the node is about to have. Empty once it has them. */
export const coming: readonly string[] = [
  'fanfare_max_connections',
  'fanfare_event_loop_busy_ratio',
  'fanfare_redis_output_buffer_bytes',
  'fanfare_connections_rebalanced_total',
  'fanfare_ready',
  'fanfare_draining',
  'fanfare_build_info',
];

/** What a node exposes, and what Prometheus has of its own. */
export async function metricNames(): Promise<Set<string>> {
  const metrics = new Metrics();
  const zero = (): number => 0;
  metrics.read({
    connections: zero,
    subscriptions: zero,
    topics: zero,
    relayConnected: () => true,
    nodes: zero,
    flushWindowSeconds: zero,
    certificateExpirySeconds: zero,
    unauthenticated: zero,
    bufferedBytes: zero,
    revocations: zero,
  });
  const exposed = [...(await metrics.text()).matchAll(/^# TYPE (\w+) (\w+)/gm)].flatMap(([, name = '', type]) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  );
  const ofWorkers = Object.values(workerMetrics).map(([name]) => `fanfare_${name}`);
  return new Set([...exposed, ...ofWorkers, ...coming, 'up', 'ALERTS']);
}

/** Names of metrics in an expression of PromQL. Those of ours, of the process, and the two of Prometheus itself. */
export function namesIn(expression: string): string[] {
  return expression.match(/\b(?:(?:fanfare|process|nodejs)_\w+|up(?=\{)|ALERTS)(?!\s*\()/g) ?? [];
}
