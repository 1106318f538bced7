import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { fastTopics, startCluster } from './harness.js';
import { monitorRedis } from './redis-monitor.js';
import { nameInRedis } from './redis-names.js';
import { until } from './wait.js';

describe('two nodes with one Redis', () => {
  it('are one broker: a publication at one reaches subscribers of the other, in both encodings', async () => {
    await using cluster = await startCluster({ nodes: 2 });
    const readers = [
      await cluster.subscriber('news', 0, 'msgpack'),
      await cluster.subscriber('news', 0, 'json'),
      await cluster.subscriber('news', 1, 'msgpack'),
      await cluster.subscriber('news', 1, 'json'),
    ];
    const json = await cluster.connect(0, 'json');
    const msgpack = await cluster.connect(1, 'msgpack');
    expect(await json.publish('news', { from: 'json' })).toMatchObject({ type: 'published' });
    for (const reader of readers) expect(await reader.take('news', 1)).toEqual([{ from: 'json' }]);
    expect(await msgpack.publish('news', { from: 'msgpack', n: 1.5 })).toMatchObject({ type: 'published' });
    for (const reader of readers) expect(await reader.take('news', 1)).toEqual([{ from: 'msgpack', n: 1.5 }]);
  });

  it('deliver each publication once and in order to all subscribers', async () => {
    await using cluster = await startCluster({ nodes: 2 });
    const near = await cluster.subscriber('count');
    const far = await cluster.subscriber('count', 1, 'json');
    const writer = await cluster.connect();
    const numbers = Array.from({ length: 2_000 }, (_, index) => index);
    for (let at = 0; at < numbers.length; at += 250) writer.post('count', ...numbers.slice(at, at + 250));
    expect(await far.take('count', numbers.length)).toEqual(numbers);
    expect(await near.take('count', numbers.length)).toEqual(numbers);
    await writer.publish('count', 'end');
    expect(await far.take('count', 1)).toEqual(['end']);
  });

  it('deliver large publications', async () => {
    await using cluster = await startCluster({ nodes: 2, env: { FANFARE_MAX_FRAME_BYTES: '2000000' } });
    const far = await cluster.subscriber('big', 1);
    const writer = await cluster.connect();
    const large = 'x'.repeat(1_000_000);
    writer.post('big', 'before');
    writer.post('big', large);
    writer.post('big', 'after');
    const [before, middle, after] = await far.take('big', 3);
    expect([before, after]).toEqual(['before', 'after']);
    expect(middle === large).toBe(true);
  });

  it('receive nothing from Redis about topics without local subscribers', async () => {
    await using cluster = await startCluster({ nodes: 3, env: { FANFARE_UNSUBSCRIBE_LINGER_MS: '0', ...fastTopics } });
    await cluster.subscriber('wanted', 1);
    const writer = await cluster.connect(0);
    const admin = new Redis(cluster.redisUrl);
    expect(await admin.pubsub('SHARDNUMSUB', nameInRedis('wanted'), nameInRedis('unwanted'))).toEqual([
      nameInRedis('wanted'),
      1,
      nameInRedis('unwanted'),
      0,
    ]);
    using monitor = await monitorRedis(cluster.redis);
    for (let number = 0; number < 200; number++) {
      await writer.publish('wanted', number);
      await writer.publish('unwanted', number);
    }
    await until(
      'node 1 has everything',
      async () => (await cluster.node(1).metric('fanfare_redis_messages_received_total')) === 200,
    );
    for (const bystander of [0, 2]) {
      expect(await cluster.node(bystander).metric('fanfare_redis_messages_received_total')).toBe(0);
    }
    expect(await cluster.node(1).metric('fanfare_redis_messages_unwanted_total')).toBe(0);
    // The view of Redis itself: every publication once, and no other command about either topic.
    const seen = (topic: string) =>
      monitor.commands
        .map(([name, channel]) => `${name} ${channel}`)
        .filter((command) => command.endsWith(` ${nameInRedis(topic)}`));
    await until('MONITOR has shown everything', () => seen('unwanted').length >= 200);
    expect(seen('wanted')).toEqual(Array.from({ length: 200 }, () => `spublish ${nameInRedis('wanted')}`));
    expect(seen('unwanted')).toEqual(Array.from({ length: 200 }, () => `spublish ${nameInRedis('unwanted')}`));
    await admin.quit();
  });

  it('unsubscribe when the last subscriber leaves, and subscribe again for the next', async () => {
    await using cluster = await startCluster({ nodes: 2, env: { FANFARE_UNSUBSCRIBE_LINGER_MS: '0' } });
    const admin = new Redis(cluster.redisUrl);
    const listeners = async (): Promise<unknown> => (await admin.pubsub('SHARDNUMSUB', nameInRedis('t')))[1];
    const first = await cluster.subscriber('t', 1);
    const second = await cluster.subscriber('t', 1, 'json');
    expect(await listeners()).toBe(1);
    await first.unsubscribe('t');
    await second.settle();
    expect(await listeners()).toBe(1);
    await second.close();
    await until('the node has unsubscribed', async () => (await listeners()) === 0);
    const third = await cluster.subscriber('t', 1);
    const writer = await cluster.connect(0);
    await writer.publish('t', 'back');
    expect(await third.take('t', 1)).toEqual(['back']);
    await admin.quit();
  });

  it('do not receive publications of a broker with another prefix in the same Redis', async () => {
    await using one = await startCluster({ nodes: 1, redis: true, env: { FANFARE_REDIS_PREFIX: 'one' } });
    await using two = await startCluster({ nodes: 1, redis: one.redis, env: { FANFARE_REDIS_PREFIX: 'two' } });
    const reader = await two.subscriber('t');
    const stranger = await one.connect();
    const writer = await two.connect();
    await stranger.publish('t', 'not for you');
    await writer.publish('t', 'for you');
    expect(await reader.take('t', 1)).toEqual(['for you']);
  });

  it('serve hundreds of subscribers in both encodings, each publication once and in order', async () => {
    await using cluster = await startCluster({ nodes: 2 });
    const readers = await Promise.all(
      Array.from({ length: 300 }, (_, index) =>
        cluster.subscriber('crowd', index % 2, index % 4 < 2 ? 'msgpack' : 'json'),
      ),
    );
    const writer = await cluster.connect();
    const numbers = Array.from({ length: 100 }, (_, index) => index);
    for (const number of numbers) writer.post('crowd', number);
    for (const reader of readers) expect(await reader.take('crowd', numbers.length)).toEqual(numbers);
    expect(await cluster.node(0).metric('fanfare_deliveries_total')).toBe(15_000);
    expect(await cluster.node(1).metric('fanfare_deliveries_total')).toBe(15_000);
  });
});
