/** Names of all metrics that alerts and the dashboard may ask for. */
import { gaugeMetrics, Metrics, type Readings, workerMetrics } from '../../broker/src/observe/metrics.js';

/** The metrics of a node, and those that Prometheus adds. */
export async function metricNames(): Promise<Set<string>> {
  const metrics = new Metrics();
  const zero = (): number => 0;
  const readings = Object.fromEntries(Object.keys(gaugeMetrics).map((name) => [name, zero]));
  metrics.read(readings as unknown as Readings);
  metrics.readReasons(['connecting'], () => null);
  metrics.readShards(() => []);
  const exposed = [...(await metrics.text()).matchAll(/^# TYPE (\w+) (\w+)/gm)].flatMap(([, name = '', type]) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  );
  metrics.close();
  const ofWorkers = Object.values(workerMetrics).map(([name]) => `fanfare_${name}`);
  return new Set([...exposed, ...ofWorkers, 'up', 'ALERTS']);
}

/** Names of metrics in a PromQL expression: ours, those of the process, and the two of Prometheus itself. */
export function namesIn(expression: string): string[] {
  return expression.match(/\b(?:(?:fanfare|process|nodejs)_\w+|up(?=\{)|ALERTS)(?!\s*\()/g) ?? [];
}
