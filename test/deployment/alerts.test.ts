/**
 * One cause sends one page: our rules evaluate metrics of real nodes with a real Redis. `promtool` assumes that the
 * metrics were scraped every 15 seconds, as in production, even if this machine is slower.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startRedisCluster } from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { startCluster, type TestCluster, type TestNode } from '../../broker/test/harness.js';
import { until } from '../../broker/test/wait.js';
import { findProgram, missingPrograms } from './programs.js';
import { rulesFile } from './prometheus.js';

const intervalSeconds = 15;
/** Scrapes in each phase. They cover two minutes, more than the `for` of any page about a node. */
const scrapesOfPhase = 8;
/** The time between two scrapes, so that counters change. */
const pauseMs = 100;

/** The metrics of all nodes, scrape by scrape. */
class Scrapes {
  readonly #cluster: TestCluster;
  readonly #rules: string;
  readonly #series = new Map<string, number[]>();
  count = 0;

  constructor(cluster: TestCluster, rules: string) {
    this.#cluster = cluster;
    this.#rules = rules;
  }

  async phase(): Promise<void> {
    for (let scrape = 0; scrape < scrapesOfPhase; scrape++) {
      for (const [index, { broker }] of this.#cluster.nodes.entries()) {
        const labels = `job="fanfare",instance="node-${index}"`;
        this.#add(`up{${labels}}`, 1);
        for (const [, name = '', more = '', value] of (await broker.metrics()).matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm))
          if (this.#rules.includes(name)) this.#add(`${name}{${[labels, more].filter(Boolean).join()}}`, Number(value));
      }
      this.count++;
      await delay(pauseMs);
    }
  }

  /** In the notation of `promtool test rules`: `_` is a scrape without the series. */
  series(): object[] {
    return [...this.#series].map(([series, values]) => ({
      series,
      values: Array.from({ length: this.count }, (_, index) => values[index] ?? '_').join(' '),
    }));
  }

  #add(series: string, value: number): void {
    const values = this.#series.get(series) ?? [];
    values[this.count] = value;
    this.#series.set(series, values);
  }
}

async function isReady(node: TestNode): Promise<boolean> {
  return (await node.readiness()).status === 200;
}

/** Runs `fail` and `heal` between two phases without a fault. Expects exactly the page with these labels. */
async function expectOnePage(
  labels: string,
  cluster: TestCluster,
  fail: () => unknown,
  heal: () => unknown,
  works = isReady,
): Promise<void> {
  const scrapes = new Scrapes(cluster, await readFile(rulesFile, 'utf8'));
  const untilAll = async (expected: boolean): Promise<void> => {
    for (const node of cluster.nodes)
      await until(expected ? 'a node works' : 'a node fails', async () => (await works(node)) === expected);
  };
  await untilAll(true);
  await scrapes.phase();
  await fail();
  await untilAll(false);
  await scrapes.phase();
  await heal();
  // On a busy machine, a Redis that is back may seem to fail once more.
  let steadySince: number | null = null;
  await until('the nodes have worked for two seconds', async () => {
    const work = await Promise.all(cluster.nodes.map(works));
    steadySince = work.every(Boolean) ? (steadySince ?? performance.now()) : null;
    return steadySince !== null && performance.now() - steadySince > 2_000;
  });
  await scrapes.phase();

  const pages = 'ALERTS{severity="page"}';
  const firing = 'ALERTS{severity="page", alertstate="firing"}';
  const at = (scrape: number): string => `${scrape * intervalSeconds}s`;
  const empty = (expr: string, scrape: number): object => ({ expr, eval_time: at(scrape), exp_samples: [] });
  const [failedAt, healedAt] = [scrapesOfPhase, 2 * scrapesOfPhase];
  const every = Array.from({ length: scrapes.count }, (_, scrape) => scrape);
  const test = {
    rule_files: [rulesFile],
    evaluation_interval: at(1),
    tests: [
      {
        interval: at(1),
        input_series: scrapes.series(),
        promql_expr_test: [
          ...every.slice(0, failedAt).map((scrape) => empty(firing, scrape)),
          ...every.map((scrape) => empty(`${firing} unless ALERTS{${labels}}`, scrape)),
          {
            expr: `count by (alertname, shard) (${firing})`,
            eval_time: at(healedAt - 1),
            exp_samples: [{ labels: `{${labels}}`, value: 1 }],
          },
          empty(pages, scrapes.count - 1),
        ],
      },
    ],
  };
  const folder = await mkdtemp(join(tmpdir(), 'fanfare-alerts-'));
  try {
    const file = join(folder, 'test.yml');
    await writeFile(file, JSON.stringify(test));
    const { status, stdout, stderr } = spawnSync(findProgram('promtool') ?? '', ['test', 'rules', file], {
      encoding: 'utf8',
    });
    expect(status, stdout + stderr).toBe(0);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function setMaxMemory({ redis }: TestCluster, bytes: number): Promise<void> {
  const admin = new Redis(redis.url);
  await admin.config('SET', 'maxmemory', bytes);
  admin.disconnect();
}

const missing = missingPrograms('redis-server', 'promtool');

describe.skipIf(missing !== '').concurrent(`the alerts, with the metrics of two nodes${missing}`, () => {
  it('send one page that names the cause if Redis is out of memory', async () => {
    await using cluster = await startCluster({ nodes: 2 });
    const setMemory = (bytes: number) => () => setMaxMemory(cluster, bytes);
    await expectOnePage('alertname="FanfareRedisOutOfMemory"', cluster, setMemory(1), setMemory(0));
  });

  it('send one page if Redis does not answer', async () => {
    await using cluster = await startCluster({ nodes: 2 });
    const { redis } = cluster;
    await expectOnePage(
      'alertname="FanfareRedisUnavailable"',
      cluster,
      () => redis.pause(),
      () => redis.resume(),
    );
  });

  it('send one page that names the shard if one of two does not answer', async () => {
    await using cluster = await startCluster({ nodes: 2, redis: 'shards' });
    const [shard] = cluster.shards;
    if (shard === undefined) throw new Error('There is no shard.');
    await expectOnePage(
      `alertname="FanfareShardUnavailable", shard="127.0.0.1:${shard.port}"`,
      cluster,
      () => shard.pause(),
      () => shard.resume(),
      async (node) => !/ 0$/m.test(await node.broker.metrics('fanfare_shard_connected')),
    );
  });

  it('send one page that names the master if one of a Redis Cluster does not answer and has no replica', async () => {
    await using redis = await startRedisCluster({ masters: 3, replicasPerMaster: 0 });
    await using cluster = await startCluster({ nodes: 2, redis });
    const [master] = redis.servers;
    if (master === undefined) throw new Error('There is no master.');
    await expectOnePage(
      `alertname="FanfareShardUnavailable", shard="127.0.0.1:${master.port}"`,
      cluster,
      () => master.pause(),
      () => master.resume(),
      async (node) => !/ 0$/m.test(await node.broker.metrics('fanfare_shard_connected')),
    );
  });
});
