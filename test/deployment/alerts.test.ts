/**
 * One cause, one page: real nodes, a real Redis and a real Prometheus with our rules. Prometheus runs 15 times as fast as in production: all of its
 * durations, those of the rules included, are a fifteenth.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  Child,
  findFreePort,
  type NodeProcess,
  type RedisProcess,
  startNode,
  startRedis,
} from '@fanfare/local-cluster';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../../broker/test/wait.js';
import { redisCommand } from '../../tools/kit/src/redis-command.js';
import { findProgram, missingPrograms } from './programs.js';
import { PrometheusApi, rulesFile } from './prometheus.js';

const speedUp = 15;
const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600 };

/** `for: 1m` and `[10m]` become `for: 4s` and `[40s]`. */
function accelerate(rules: string): string {
  return rules.replace(/(for: |\[)(\d+)([smh])\b/g, (_, before: string, count: string, unit: string) => {
    return `${before}${Math.ceil((Number(count) * (unitSeconds[unit] ?? 0)) / speedUp)}s`;
  });
}

const missing = missingPrograms('redis-server', 'prometheus');

describe.skipIf(missing !== '')(`alerts, with a real Prometheus${missing}`, () => {
  let folder: string;
  let redis: RedisProcess;
  let nodes: NodeProcess[];
  let server: Child;
  let prometheus: PrometheusApi;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fanfare-alerts-'));
    redis = await startRedis();
    nodes = await Promise.all([startNode({ redisUrl: redis.url }), startNode({ redisUrl: redis.url })]);
    await writeFile(join(folder, 'alerts.yml'), accelerate(await readFile(rulesFile, 'utf8')));
    const targets = nodes.map(({ adminPort }) => `127.0.0.1:${adminPort}`);
    const configuration = {
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: ['alerts.yml'],
      scrape_configs: [{ job_name: 'fanfare', static_configs: [{ targets }] }],
    };
    await writeFile(join(folder, 'prometheus.yml'), JSON.stringify(configuration));
    const address = `127.0.0.1:${await findFreePort()}`;
    server = new Child({
      command: [
        findProgram('prometheus') ?? '',
        `--config.file=${join(folder, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        `--web.listen-address=${address}`,
      ],
    });
    prometheus = new PrometheusApi(`http://${address}`);
    // Prometheus finds its targets after five seconds, and pages that there are none before that.
    await becomesTrue('fanfare_ready == 1 unless on () ALERTS{severity="page"}');
  });

  afterAll(async () => {
    await server?.kill();
    for (const node of nodes ?? []) await node.kill();
    await redis?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  /** Waits until the expression is true of both nodes. */
  const becomesTrue = (expression: string): Promise<true> =>
    until(
      expression,
      async () => {
        await delay(200);
        return (await prometheus.query(expression).catch(() => [])).length === nodes.length;
      },
      25_000,
    );

  /** The names of the pages that were sent since then, with their instances. */
  const pagesSince = async (startMs: number): Promise<string[]> => {
    const firing = 'ALERTS{severity="page", alertstate="firing"}';
    const series = await prometheus.queryRange(firing, startMs / 1_000, Date.now() / 1_000, 1);
    return series.map(({ metric }) => [metric['alertname'], metric['instance']].filter(Boolean).join(' '));
  };

  /** Longer than every page about a node waits: 1 minute of Prometheus. */
  const isLongAway = 'max_over_time(fanfare_ready[8s]) == 0';
  const isLongBack = 'min_over_time(fanfare_ready[12s]) == 1';

  it('sends one page if Redis is out of memory, which names the cause', async () => {
    const startMs = Date.now();
    await redisCommand(redis.port, ['CONFIG', 'SET', 'maxmemory', '1']);
    await becomesTrue(isLongAway);
    expect(await pagesSince(startMs)).toEqual(['FanfareRedisOutOfMemory']);
    await redisCommand(redis.port, ['CONFIG', 'SET', 'maxmemory', '0']);
    await becomesTrue(isLongBack);
    expect(await pagesSince(startMs)).toEqual(['FanfareRedisOutOfMemory']);
    expect(await prometheus.query('ALERTS{severity="page"}')).toEqual([]);
  });

  it('sends one page if Redis does not answer', async () => {
    const startMs = Date.now();
    await redis.pause();
    await becomesTrue(isLongAway);
    expect(await pagesSince(startMs)).toEqual(['FanfareRedisUnavailable']);
    await redis.resume();
    await becomesTrue(isLongBack);
    expect(await pagesSince(startMs)).toEqual(['FanfareRedisUnavailable']);
  });
});
