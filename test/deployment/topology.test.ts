/**
 * docker-compose.yml as processes: the same services, settings, ports, dependencies and health checks, without
 * containers.
 */

import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient } from '@fanfare/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodesOf, variants } from './compose.js';
import { missingPrograms } from './programs.js';
import { alertsOf, asked, PrometheusApi, readDashboard, rulesFile } from './prometheus.js';
import { Topology } from './topology.js';

/** Between two publications during a drain. Without it, the test would be a load test. */
const pauseMs = 10;

const missing = missingPrograms('redis-server', 'redis-cli', 'haproxy', 'prometheus', 'wget');

describe.skipIf(missing !== '')(`docker-compose.yml as processes${missing}`, () => {
  let topology: Topology;
  let prometheus: PrometheusApi;
  let nodes: string[];

  beforeAll(async () => {
    // Grafana is not installed on this machine.
    topology = await Topology.start({
      without: ['grafana'],
      env: { FANFARE_DRAIN_WINDOW_MS: '2000' },
      hasSmallDemo: true,
    });
    await topology.becomesHealthy('prometheus');
    prometheus = new PrometheusApi(`http://${topology.address('prometheus', 9_090)}`);
    nodes = nodesOf(topology.compose);
  });

  afterAll(() => topology?.[Symbol.asyncDispose]());

  const url = (): string => `ws://${topology.address('balancer', 8_080)}/ws`;
  const admin = (path: string): string => `http://${topology.address('balancer', 8_081)}${path}`;

  it('starts in the order of its dependencies', () => {
    const { started, compose } = topology;
    expect(started.toSorted()).toEqual(
      Object.keys(compose.services)
        .filter((name) => name !== 'grafana')
        .toSorted(),
    );
    for (const [index, name] of started.entries()) {
      const before = started.slice(0, index);
      expect(before).toEqual(expect.arrayContaining(Object.keys(compose.services[name]?.depends_on ?? {})));
    }
  });

  it('delivers publications across nodes to clients on each of them', async () => {
    const clients = Array.from({ length: 9 }, () => createClient(url()));
    try {
      const received = clients.map((): unknown[] => []);
      for (const [index, client] of clients.entries()) {
        await client.subscribe('greetings', ({ data }) => received[index]?.push(data)).ready;
      }
      for (const [index, client] of clients.entries()) await client.publish('greetings', index);
      await expect
        .poll(() => received.map((each) => each.toSorted()))
        .toEqual(clients.map(() => clients.map((_, index) => index)));
      for (const [index] of nodes.entries()) {
        const metrics = await (await fetch(admin(`/${index + 1}/metrics`))).text();
        expect(Number(/^fanfare_connections (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThan(0);
      }
    } finally {
      await Promise.all(clients.map((client) => client.close()));
    }
  });

  it('serves the admin port of each node under the number of the node', async () => {
    for (const [index] of nodes.entries()) {
      expect((await fetch(admin(`/${index + 1}/healthz`))).status).toBe(200);
      expect((await fetch(admin(`/${index + 1}/readyz`))).status).toBe(200);
    }
    const unknown = await fetch(admin('/readyz'));
    expect([unknown.status, await unknown.text()]).toEqual([404, 'Not found. Use /1/, /2/ or /3/.\n']);
    const first = await fetch(admin('/'), { redirect: 'manual' });
    expect([first.status, first.headers.get('location')]).toEqual([302, '/1/']);
    expect((await fetch(admin('/2'), { redirect: 'manual' })).headers.get('location')).toBe('/2/');
  });

  it('has a Prometheus that scrapes it and loads our alerts', async () => {
    await expect
      .poll(async () => (await prometheus.targets()).map(({ health }) => health))
      .toEqual(nodes.map(() => 'up'));
    const alerts = alertsOf(readFileSync(rulesFile, 'utf8')).map(({ alert }) => alert);
    await expect
      .poll(async () => (await prometheus.alerts()).map(({ name, health }) => [name, health]))
      .toEqual(alerts.map((name) => [name, 'ok']));
  });

  it('has data for every panel of the dashboard', async () => {
    const panels = readDashboard().panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }) => ({ title, expr })),
    );
    const publish = async (data: string): Promise<void> => {
      const address = new URL('/v1/topics/greetings/publications', url().replace('ws:', 'http:'));
      const headers = { 'Content-Type': 'application/json' };
      await (await fetch(address, { method: 'POST', headers, body: data })).text();
    };
    const empty = async (): Promise<string[]> => {
      // Some panels are about HTTP requests and their errors.
      for (let request = 0; request < 16; request++) await publish('1');
      await publish('wrong');
      const found = await Promise.all(
        panels.map(async ({ title, expr }) => {
          const samples = await prometheus.query(asked(expr));
          const isFilled = samples.some(({ value: [, value] }) => value !== 'NaN');
          return isFilled ? [] : [`${title}: ${expr}`];
        }),
      );
      return found.flat();
    };
    await expect.poll(empty, { interval: 500 }).toEqual([]);
  });

  it('loses nothing when a node drains behind the balancer while clients publish', async () => {
    const clients = Array.from({ length: 12 }, () => createClient(url()));
    try {
      const received = clients.map((): unknown[] => []);
      const notices: string[] = [];
      for (const [index, client] of clients.entries()) {
        const subscription = client.subscribe('orders', ({ data }) => received[index]?.push(data));
        subscription.on('gap', () => notices.push('gap'));
        subscription.on('reset', () => notices.push('reset'));
        await subscription.ready;
      }
      const node = topology.child('fanfare-2');
      let isStopped = false;
      const stopping = node.stop(60_000).finally(() => {
        isStopped = true;
      });
      const accepted: number[] = [];
      for (let number = 0; !isStopped; number++) {
        const publisher = clients[number % clients.length];
        await publisher?.publish('orders', number, { timeoutMs: 60_000 });
        accepted.push(number);
        await delay(pauseMs);
      }
      expect(await stopping, node.explain('It did not exit with 0.')).toBe(0);
      await expect.poll(() => received.map(({ length }) => length)).toEqual(clients.map(() => accepted.length));
      expect(received).toEqual(clients.map(() => accepted));
      expect(accepted).not.toEqual([]);
      expect(notices).toEqual([]);
      expect(topology.child('demo').hasExited).toBe(false);
      expect((await fetch(admin('/balancer'))).status).toBe(200);
      await expect
        .poll(() => prometheus.query('ALERTS{alertname="FanfareNodeDown"}').then(({ length }) => length))
        .toBe(1);
    } finally {
      await Promise.all(clients.map((client) => client.close()));
    }
  });
});

const missingRedis = missingPrograms('redis-server', 'redis-cli');

describe.skipIf(missingRedis !== '')(`the variants of docker-compose.yml as processes${missingRedis}`, () => {
  it.each(variants)('%s: nodes share the topics of all servers', async (variant) => {
    await using topology = await Topology.start({ variant, without: ['balancer', 'demo', 'prometheus', 'grafana'] });
    const names = nodesOf(topology.compose);
    for (const name of names) await topology.becomesHealthy(name);
    const [reader, writer] = names.map((name) => createClient(`ws://${topology.address(name, 8_080)}/ws`));
    if (reader === undefined || writer === undefined) throw new Error('There are too few nodes.');
    try {
      const topics = Array.from({ length: 20 }, (_, index) => `t${index}`);
      const received: string[] = [];
      for (const topic of topics) await reader.subscribe(topic, () => received.push(topic)).ready;
      for (const topic of topics) await writer.publish(topic, 1);
      await expect.poll(() => received.toSorted()).toEqual(topics.toSorted());
      const url = `http://${topology.address(names[0] as string, 8_081)}/metrics`;
      const metrics = await (await fetch(url)).text();
      const counts = [...metrics.matchAll(/^fanfare_shard_partitions\{.*\} (\d+)$/gm)].map(([, count]) =>
        Number(count),
      );
      expect(counts.length).toBe(variant === 'shards' ? 2 : 3);
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    } finally {
      await Promise.all([reader.close(), writer.close()]);
    }
  });
});
