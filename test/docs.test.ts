/** Pages that are generated from the code are what the code says; `npm run docs` writes them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { configurationPage, observabilityPage } from '../broker/src/node/pages.js';
import { logEvents } from '../broker/src/observe/log.js';
import { Metrics, workerMetrics } from '../broker/src/observe/metrics.js';
import { loadtestPage } from '../loadtest/src/command-line/loadtest-page.js';
import { resultParts } from '../loadtest/src/load/result.js';

const source = fileURLToPath(new URL('../broker/src', import.meta.url));

/** The rule file as a Kubernetes object: the same text, moved in. */
function prometheusRule(): string {
  const rules = readFileSync(new URL('../monitoring/prometheus/alerts.yml', import.meta.url), 'utf8');
  const spec = rules.replace(/^(?=.)/gm, '  ');
  const head = '# Generated from monitoring/prometheus/alerts.yml by `npm run docs`.';
  return `${head}\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: fanfare\nspec:\n${spec}`;
}

describe('generated pages', () => {
  it('list every setting', async () => {
    await expect(configurationPage()).toMatchFileSnapshot('../docs/configuration.md');
  });

  it('list every scenario, column, complaint and field of the load tests', async () => {
    await expect(loadtestPage()).toMatchFileSnapshot('../docs/loadtest.md');
  });

  it('list every metric and log event', async () => {
    await expect(observabilityPage()).toMatchFileSnapshot('../docs/observability.md');
  });

  it('have the alerts of monitoring/ in the form that the operator of Prometheus reads', async () => {
    await expect(prometheusRule()).toMatchFileSnapshot('../k8s/components/prometheus-rule/prometheus-rule.yaml');
  });
});

describe('the tables that they come from', () => {
  it('say what every field of a result file is', () => {
    const silent = resultParts.flatMap(([, { shape }]) =>
      Object.entries(shape).filter(([, schema]) => (schema.description ?? '') === ''),
    );
    expect(silent.map(([field]) => field)).toEqual([]);
  });

  it('know every metric that a node exposes', async () => {
    const metrics = new Metrics();
    metrics.read({
      connections: () => 0,
      maxConnections: () => 0,
      ready: () => true,
      authRefused: () => false,
      draining: () => false,
      memoryLimitBytes: () => 0,
      redisOutputBufferBytes: () => 0,
      subscriptions: () => 0,
      topics: () => 0,
      relayConnected: () => true,
      nodes: () => 1,
      flushWindowSeconds: () => 0,
      certificateExpirySeconds: () => 0,
      unauthenticated: () => 0,
      bufferedBytes: () => 0,
      revocations: () => 0,
      revocationLagSeconds: () => 0,
    });
    metrics.readReasons(['draining'], () => null);
    const ofNode = [...(await metrics.text()).matchAll(/^# TYPE (fanfare_\w+)/gm)].map((match) => match[1]);
    const exposed = [...ofNode, ...Object.values(workerMetrics).map(([name]) => `fanfare_${name}`)];
    const listed = [...observabilityPage().matchAll(/^\| `(fanfare_\w+)`/gm)].map((match) => match[1]);
    expect(exposed.toSorted()).toEqual(listed.toSorted());
  });

  it('know every event that the code logs, and no other', () => {
    const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
    const text = files.map((file) => readFileSync(join(source, file), 'utf8')).join('\n');
    const logged = new Set([...text.matchAll(/\{ event: '(\w+)'/g)].map((match) => match[1]));
    expect([...logged].toSorted()).toEqual(Object.keys(logEvents).toSorted());
  });
});
