/**
 * Incidents, reconstructed from the log alone: what happened and when, which clients were affected, what was lost, and
 * whether it is over.
 */
import { startRedis } from '@fanfare/local-cluster';
import { describe, expect, it, vi } from 'vitest';
import { createLog, loadConfig } from '../src/index.js';
import { Metrics } from '../src/observe/metrics.js';
import { RefusalSummary } from '../src/observe/refusal-summary.js';
import { PublisherLink } from '../src/redis/redis.js';
import { type LogLine, startCluster, startNode, type TestNode } from './harness.js';
import { TestConnection } from './test-connection.js';
import { until } from './wait.js';

const env = { FANFARE_REDIS_TIMEOUT_MS: '1500', FANFARE_PROBE_INTERVAL_MS: '1000' };

/** The line as it was logged, with all fields. */
function lineOf(node: TestNode, event: string, index = 0): (LogLine & Record<string, unknown>) | undefined {
  return node.log.filter((line) => line.event === event)[index] as (LogLine & Record<string, unknown>) | undefined;
}

const count = (node: TestNode, event: string): number => node.log.filter((line) => line.event === event).length;

// Concurrent: they wait for timeouts of Redis.
describe.concurrent('the log of an outage', () => {
  it('explains the effects of an outage of Redis, and summarizes it when Redis is connected again', async () => {
    const redis = await startRedis();
    await using cluster = await startCluster({ nodes: 2, redis, env });
    const [node, other] = [cluster.node(0), cluster.node(1)];
    await cluster.subscriber('news', 1);
    const client = await cluster.subscriber('news', 0);
    await client.publish('news', 'before');
    await redis.kill();
    await until(
      'both connections log the loss',
      () => count(node, 'outageBegan') === 1 && count(other, 'outageBegan') === 1,
    );
    expect(lineOf(node, 'outageBegan')).toMatchObject({ level: 50, reason: 'Redis is not connected', connections: 1 });
    expect(lineOf(node, 'outageBegan')?.msg).toContain('rejects acknowledged publishes and new subscriptions');
    expect(lineOf(node, 'outageBegan')?.msg).not.toContain('level fast');
    for (let refused = 0; refused < 3; refused++) await client.publish('news', 'refused');
    await client.subscribe('other');
    await redis.restart();
    await until('the outage is over', () => count(node, 'outageOver') === 1 && count(other, 'outageOver') === 1);
    expect(lineOf(node, 'outageOver')).toMatchObject({
      level: 40,
      isOver: true,
      times: 1,
      refused: 4,
      unconfirmed: 0,
      unrelayed: 0,
      gaps: 0,
      resets: 0,
    });
    expect(lineOf(node, 'outageOver')?.msg).toContain('No known loss of acknowledged publications.');
    expect(lineOf(other, 'outageOver')).toMatchObject({ refused: 0 });
    expect(Number(lineOf(node, 'outageOver')?.['lastedMs'])).toBeGreaterThan(0);
    // Logged in the order in which it happened.
    const story = node.log.map(({ event }) => event);
    expect(story.indexOf('redisLost')).toBeLessThan(story.indexOf('outageBegan'));
    expect(story.indexOf('outageBegan')).toBeLessThan(story.indexOf('redisRecovered'));
    expect(story.indexOf('redisRecovered')).toBeLessThan(story.indexOf('outageOver'));
    await redis[Symbol.asyncDispose]();
  });

  it('counts publications on the link to a hanging Redis as unconfirmed, without commands of the node itself', async () => {
    const redis = await startRedis();
    await using cluster = await startCluster({ nodes: 1, redis, env });
    const node = cluster.node();
    const client = await cluster.subscriber('news');
    await redis.pause();
    const onTheLink = client.publish('news', 'on the link');
    await until('the outage is logged', () => count(node, 'outageBegan') === 1);
    expect(await onTheLink).toMatchObject({ type: 'error', code: 'unconfirmed' });
    // The handshake with that Redis times out, and ioredis then reports its own commands as failed.
    await until('the node tries to connect again', () => count(node, 'redisError') > 0);
    await redis.resume();
    await until('the outage is over', () => count(node, 'outageOver') === 1);
    expect(lineOf(node, 'outageOver')).toMatchObject({ unconfirmed: 1, gaps: 0, resets: 0 });
    expect(count(node, 'outageBegan')).toBe(1);
    expect(node.log.map(({ msg }) => msg).join()).not.toContain('The connection to Redis failed.');
    await redis[Symbol.asyncDispose]();
  });

  it('reports that a node has not reached Redis since its start, and that the node stops before it has', async () => {
    const redis = await startRedis();
    await redis.kill();
    const cluster = await startCluster({ nodes: 1, redis, env, waitReady: false });
    const node = cluster.node();
    await until('the error is logged', () => count(node, 'outageBegan') === 1);
    expect(lineOf(node, 'outageBegan')?.msg).toMatch(/^OUTAGE since startup: Redis is not connected\. 0 clients/);
    await cluster[Symbol.asyncDispose]();
    expect(lineOf(node, 'outageOver')).toMatchObject({ isOver: false });
    expect(lineOf(node, 'stopped')).toMatchObject({ left: 0, closed: 0, cutOff: 0 });
    await redis[Symbol.asyncDispose]();
  });
});

describe('the log of a Redis that disconnects and reconnects repeatedly', () => {
  it('contains each loss, as a line or in a count, and ends with the count of omitted lines', async () => {
    const redis = await startRedis();
    const cluster = await startCluster({ nodes: 1, redis, env });
    const node = cluster.node();
    const reconnects = (): Promise<number> => node.metric('fanfare_redis_reconnects_total');
    for (let losses = 1; losses <= 5; losses++) {
      await redis.restart();
      await until(
        'Redis was lost and is connected again',
        async () => (await reconnects()) >= 2 * losses && (await node.readiness()).status === 200,
      );
    }
    await until('the outage is over', () => count(node, 'outageBegan') === count(node, 'outageOver'));
    const lost = await reconnects();
    await cluster[Symbol.asyncDispose]();
    const omitted = node.log
      .filter(({ event }) => event === 'repeated')
      .flatMap((line) => Object.entries((line as unknown as { omitted: Record<string, number> }).omitted))
      .filter(([kind]) => kind.startsWith('redisLost'))
      .reduce((sum, [, lines]) => sum + lines, 0);
    expect(count(node, 'redisLost') + omitted).toBe(lost);
    expect(node.log.at(-1)?.event).toBe('stopped');
    await redis[Symbol.asyncDispose]();
  });

  it('reports a mistake at once, and repeats it every ten seconds while it persists', async () => {
    vi.useFakeTimers();
    try {
      const said: unknown[] = [];
      const config = loadConfig({});
      const log = createLog(config, { write: (line) => void said.push(JSON.parse(line).reason) });
      const settings = { ...config, redisUrl: 'redis://127.0.0.1:1' };
      const link = new PublisherLink(settings, log, new Metrics().counters, {});
      for (let second = 0; second <= 20; second++) {
        link.report(new Error('OOM'));
        if (second === 5) link.report(new Error('MISCONF'));
        vi.advanceTimersByTime(1_000);
      }
      await link.close();
      expect(said).toEqual(['OOM', 'MISCONF', 'OOM', 'OOM']);
    } finally {
      vi.useRealTimers();
    }
  });

  it('contains at most three lines of each kind and connection, and after a minute the number of omitted ones', () => {
    vi.useFakeTimers();
    try {
      const lines: Array<Record<string, unknown>> = [];
      const log = createLog(loadConfig({}), { write: (line) => void lines.push(JSON.parse(line)) });
      const [publisher, subscriber] = [log.child({ link: 'publisher' }), log.child({ link: 'subscriber' })];
      for (let loss = 0; loss < 5; loss++) {
        publisher.warn({ event: 'redisLost' }, 'Lost.');
        if (loss < 3) subscriber.warn({ event: 'redisLost' }, 'Lost.');
        log.error({ event: 'outageBegan' }, 'OUTAGE');
      }
      log.info('No event.');
      expect(lines.map(({ event, link }) => link ?? event)).toEqual([
        ...['publisher', 'subscriber', 'outageBegan', 'publisher', 'subscriber', 'outageBegan'],
        ...['publisher', 'subscriber', 'outageBegan', 'outageBegan', 'outageBegan', undefined],
      ]);
      lines.splice(0);
      vi.advanceTimersByTime(60_000);
      publisher.warn({ event: 'redisLost' }, 'Lost.');
      expect(lines).toMatchObject([
        {
          event: 'repeated',
          omitted: { 'redisLost (publisher)': 2 },
          msg: 'Repeated lines omitted in the last minute: 2 × redisLost (publisher).',
        },
        { event: 'redisLost', link: 'publisher' },
      ]);
      // A quiet minute logs nothing.
      vi.advanceTimersByTime(120_000);
      expect(lines.length).toBe(2);
      // A node that stops does not wait for the end of the minute.
      for (let loss = 0; loss < 4; loss++) publisher.warn({ event: 'redisLost' }, 'Lost.');
      lines.splice(0);
      log.info({ event: 'stopped' }, 'Stopped.');
      expect(lines).toMatchObject([
        { event: 'repeated', omitted: { 'redisLost (publisher)': 1 } },
        { event: 'stopped' },
      ]);
      vi.advanceTimersByTime(120_000);
      expect(lines.length).toBe(2);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('the log of a stopping node', () => {
  it('contains how the connections ended', async () => {
    const node = await startNode({});
    for (let client = 0; client < 3; client++) await TestConnection.open(node.url);
    await node.broker.drain();
    expect(lineOf(node, 'stopped')).toMatchObject({ left: 0, closed: 3, cutOff: 0 });
    expect(lineOf(node, 'stopped')?.msg).toContain('3 connections: 0 moved by themselves, 3 were closed');
  });
});

describe('the log of refused connections', () => {
  it('is one line with the reasons, without tokens or subjects', async () => {
    const secret = 'a secret of more than thirty-two bytes';
    const issuers = [{ issuer: 'test', keys: [{ algorithm: 'HS256', secret }] }];
    const node = await startNode({ FANFARE_AUTH: JSON.stringify({ issuers }) });
    for (const token of ['let me in', 'me too', 'fk_nobody_00000000000000000000000000000000']) {
      const connection = await TestConnection.open(node.url);
      expect(await connection.request({ type: 'connect', token })).toMatchObject({ code: 'invalidToken' });
      await connection.closed;
    }
    await node.broker.drain();
    expect(count(node, 'refusals')).toBe(1);
    expect(lineOf(node, 'refusals')).toMatchObject({
      level: 40,
      authenticationsFailed: 3,
      reasons: { 'The token is not a signed JWT.': 2, 'Unknown API key.': 1 },
    });
    expect(JSON.stringify(node.log)).not.toMatch(/let me in|me too|fk_nobody/);
  });

  it('contains only refusals since the last line, and nothing if there are none', () => {
    const lines: Array<Record<string, unknown>> = [];
    const log = createLog(loadConfig({}), { write: (line) => void lines.push(JSON.parse(line)) });
    const { counters } = new Metrics();
    counters.slowSubscribers = 5;
    const refusals = new RefusalSummary(counters, log);
    refusals.write();
    expect(lines).toEqual([]);
    counters.slowSubscribers += 2;
    counters.handshakesLimited += 7;
    refusals.write();
    refusals.write();
    expect(lines.length).toBe(1);
    expect(lines[0]).toMatchObject({ event: 'refusals', slowSubscribers: 2, handshakesLimited: 7 });
    expect(lines[0]?.['reasons']).toBeUndefined();
    for (let kind = 0; kind < 100; kind++) refusals.addReason(`reason ${kind}`);
    counters.authenticationsFailed += 100;
    refusals.close();
    expect(Object.keys(lines[1]?.['reasons'] ?? {})).toHaveLength(9);
    expect(lines[1]?.['reasons']).toMatchObject({ 'other reasons': 92 });
  });
});
