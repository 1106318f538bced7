import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { Metrics } from '../src/observe/metrics.js';
import { startCluster } from './harness.js';
import { until } from './wait.js';

describe('the metrics', () => {
  it('count connections, frames, publications, deliveries, bytes, errors, and reconnections to Redis', async () => {
    await using cluster = await startCluster({ nodes: 2 });
    const metric = (name: string, node = 0) => cluster.node(node).metric(`fanfare_${name}`);
    const near = [await cluster.subscriber('t'), await cluster.subscriber('t', 0, 'json')];
    const far = await cluster.subscriber('t', 1);
    const writer = await cluster.connect();
    const framesBefore = await metric('frames_in_total');
    const bytesBefore = await metric('bytes_in_total');
    writer.post('t', 'a', 'b', 'c');
    await writer.publish('t', 'd');
    await writer.subscribe('no.*');
    for (const reader of [...near, far]) expect(await reader.take('t', 4)).toEqual(['a', 'b', 'c', 'd']);
    await far.close();
    await (await fetch(cluster.node().url.replace('ws:', 'http:'))).text();

    expect(await metric('frames_in_total')).toBe(framesBefore + 3);
    // [4, nil, "t", bin "a"] is 8 bytes; the fourth publication and the subscribe are a little longer.
    expect((await metric('bytes_in_total')) - bytesBefore).toBeGreaterThan(3 * 8);
    expect(await metric('publications_in_total')).toBe(4);
    expect(await metric('publications_in_total', 1)).toBe(0);
    expect(await metric('deliveries_total')).toBe(8);
    expect(await metric('deliveries_total', 1)).toBe(4);
    expect(await metric('bytes_out_total')).toBeGreaterThan(4 * ('{"data":"a"}'.length + 'xa'.length));
    expect(await metric('command_errors_total')).toBe(1);
    expect(await metric('connections_opened_total')).toBe(3);
    expect(await metric('connections')).toBe(3);
    await until('the distant connection is closed', async () => (await metric('connections', 1)) === 0);
    expect(await metric('connections_closed_total', 1)).toBe(1);
    expect(await metric('connections_refused_total')).toBe(1);
    expect(await metric('subscriptions')).toBe(2);
    expect(await metric('topics')).toBe(1);
    expect(await metric('redis_pipelines_total')).toBeGreaterThanOrEqual(1);
    expect(await metric('redis_script_calls_total')).toBeGreaterThanOrEqual(1);
    // The channels of the node, and the topic.
    expect(await metric('redis_subscribe_commands_total')).toBe(2);
    // A message for each run, and the beacons of quiet topics that nodes send each other.
    expect(await metric('redis_messages_received_total', 1)).toBeGreaterThanOrEqual(
      await metric('relay_seconds_count'),
    );
    expect(await metric('fanout_seconds_count')).toBeGreaterThanOrEqual(1);
    expect(await metric('relay_connected')).toBe(1);
  });

  it('name each Redis that holds topics, and no other', async () => {
    const metrics = new Metrics();
    const shard = { name: 'a:1', isConnected: true, partitions: 60, unavailable: 0 };
    let shards = [shard, { name: 'b:2', isConnected: false, partitions: 4, unavailable: 4 }];
    metrics.readShards(() => shards);
    const samples = async (): Promise<string[]> =>
      (await metrics.text()).split('\n').filter((line) => line.startsWith('fanfare_shard_'));
    expect(await samples()).toEqual([
      'fanfare_shard_connected{shard="a:1"} 1',
      'fanfare_shard_connected{shard="b:2"} 0',
      'fanfare_shard_partitions{shard="a:1"} 60',
      'fanfare_shard_partitions{shard="b:2"} 4',
      'fanfare_shard_partitions_unavailable{shard="a:1"} 0',
      'fanfare_shard_partitions_unavailable{shard="b:2"} 4',
    ]);
    // One slot of its master has no server. The other master has become a replica.
    shards = [{ ...shard, isConnected: false, unavailable: 1 }];
    expect(await samples()).toEqual([
      'fanfare_shard_connected{shard="a:1"} 1',
      'fanfare_shard_partitions{shard="a:1"} 60',
      'fanfare_shard_partitions_unavailable{shard="a:1"} 1',
    ]);
    shards = [];
    expect(await samples()).toEqual([]);
  });

  it('count HTTP requests by route and status, measure publishes, and count no long poll as a new connection', async () => {
    await using cluster = await startCluster();
    const metric = (name: string) => cluster.node().metric(`fanfare_${name}`);
    const base = cluster.node().url.replace('ws:', 'http:').replace(/\/ws$/, '');
    const ask = async (path: string, init?: RequestInit) => await (await fetch(base + path, init)).text();
    const headers = { 'Content-Type': 'application/json' };
    await ask('/v1/topics/t/publications', { method: 'POST', body: '1', headers });
    await ask('/v1/topics/t/publications', { method: 'POST', body: '{', headers });
    await ask('/v1/topics/t/publications?since=now&wait=1');
    await ask('/v1/events?topic=t&wait=1');
    const route = 'topics/{topic}/publications';
    expect(await metric(`http_requests_total{route="POST /v1/${route}",status="200"}`)).toBe(1);
    expect(await metric(`http_requests_total{route="POST /v1/${route}",status="400"}`)).toBe(1);
    expect(await metric(`http_requests_total{route="GET /v1/${route}",status="204"}`)).toBe(1);
    expect(await metric('http_requests_total{route="GET /v1/events",status="200"}')).toBe(1);
    // The first of each status is measured.
    expect(await metric('http_request_seconds_count')).toBe(2);
    // A client opens one poll after the other: that is no reconnect.
    expect([await metric('connections_opened_total'), await metric('connections_closed_total')]).toEqual([0, 0]);
    const stream = await fetch(`${base}/v1/events?topic=t`);
    expect(await metric('connections_opened_total')).toBe(1);
    await stream.body?.cancel();
    await until('the stream is closed', async () => (await metric('connections_closed_total')) === 1);
  });

  it('count garbage collections by kind, all that end in one turn of the event loop', async () => {
    setFlagsFromString('--expose-gc');
    const collect: (options?: { type: 'minor' }) => void = runInNewContext('gc');
    setFlagsFromString('--no-expose-gc');
    await using cluster = await startCluster();
    const metric = (part: string, kind: string) =>
      cluster.node().metric(`fanfare_gc_pause_seconds_${part}{kind="${kind}"}`);
    const [minor, major] = [await metric('count', 'minor'), await metric('count', 'major')];
    for (let times = 0; times < 3; times++) {
      collect({ type: 'minor' });
      collect();
    }
    await until('the collections are counted', async () => (await metric('count', 'major')) >= major + 3);
    expect(await metric('count', 'minor')).toBeGreaterThanOrEqual(minor + 3);
    expect(await metric('sum', 'major')).toBeGreaterThan(0);
  });

  it('count a slow subscriber and the frames that were dropped for it', async () => {
    await using cluster = await startCluster({ env: { FANFARE_MAX_BUFFERED_BYTES: '65536' } });
    const slow = await cluster.subscriber('t');
    const writer = await cluster.connect();
    slow.socket.pause();
    await until('the slow subscriber is counted', async () => {
      writer.post('t', ...Array.from({ length: 60 }, () => 'x'.repeat(1_000)));
      await writer.settle();
      return (await cluster.node().metric('fanfare_slow_subscribers_total')) === 1;
    });
    expect(await cluster.node().metric('fanfare_frames_dropped_total')).toBeGreaterThanOrEqual(1);
    // It gets no more data and does not count as subscribed, although it is still connected.
    await until(
      'it is unsubscribed from its topics',
      async () => (await cluster.node().metric('fanfare_subscriptions')) === 0,
    );
    expect(await cluster.node().metric('fanfare_connections')).toBe(2);
  });
});
