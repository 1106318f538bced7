import { type RedisProcess, startRedis } from '@fanfare/local-cluster';
import { ReplyError } from '@fanfare/protocol';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Metrics } from '../src/metrics.js';
import { RedisRelay, type RedisRelaySettings } from '../src/relay/redis-relay.js';
import { json, publishAcknowledged, RecordedDelivery, relayContract, topic } from './relay.contract.js';
import { until } from './wait.js';

let redis: RedisProcess;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis[Symbol.asyncDispose]();
});

let prefixes = 0;

function newRelay(settings: Partial<RedisRelaySettings> = {}) {
  const delivery = new RecordedDelivery();
  const { counters } = new Metrics();
  const relay = new RedisRelay(
    {
      redisUrl: redis.url,
      redisTimeoutMs: 500,
      nodeName: 'test',
      redisPrefix: `p${prefixes}`,
      unsubscribeLingerMs: 20,
      maxRelayBytes: 1_000_000,
      ...settings,
    },
    delivery,
    pino({ level: 'silent' }),
    counters,
  );
  return { relay, delivery, counters, [Symbol.asyncDispose]: () => relay.close() };
}

relayContract('RedisRelay', async (count) => {
  prefixes++;
  const nodes = Array.from({ length: count }, () => newRelay());
  for (const { relay } of nodes) await until('the relay is connected', () => relay.state === 'connected');
  return {
    relays: nodes.map(({ relay }) => relay),
    deliveries: nodes.map(({ delivery }) => delivery),
    async [Symbol.asyncDispose]() {
      await Promise.all(nodes.map(({ relay }) => relay.close()));
    },
  };
});

describe('a RedisRelay', () => {
  it('listens in Redis only to topics that somebody here wants, and stops after the linger', async () => {
    prefixes++;
    await using node = newRelay();
    await until('it is connected', () => node.relay.state === 'connected');
    const admin = new Redis(redis.url);
    const channels = async (): Promise<unknown> => (await admin.pubsub('CHANNELS', `p${prefixes}:*`)).toSorted();
    expect(await channels()).toEqual([]);
    await Promise.all([node.relay.subscribe(topic('a')), node.relay.subscribe(topic('b'))]);
    expect(await channels()).toEqual([`p${prefixes}:topic:a`, `p${prefixes}:topic:b`]);
    expect(node.counters.redisSubscribeCommands).toBe(1);
    node.relay.unsubscribe(topic('a'));
    await until('a is let go', async () => ((await channels()) as string[]).length === 1);
    expect(await channels()).toEqual([`p${prefixes}:topic:b`]);
    await admin.quit();
  });

  it('sends the publications of a turn in one pipeline, one PUBLISH for each topic', async () => {
    prefixes++;
    await using node = newRelay();
    await until('it is connected', () => node.relay.state === 'connected');
    for (let number = 0; number < 300; number++) node.relay.publish(topic(`t${number % 3}`), json(number), null);
    await publishAcknowledged(node.relay, 't0', 'end');
    expect(node.counters).toMatchObject({ redisPipelines: 1, redisPublishCommands: 3 });
  });

  it('refuses what would make it hold more than its limit, and says that nobody got it', async () => {
    prefixes++;
    await using node = newRelay({ maxRelayBytes: 1_000 });
    await until('it is connected', () => node.relay.state === 'connected');
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, () => publishAcknowledged(node.relay, 't', 'x'.repeat(300))),
    );
    const refused = outcomes.filter((outcome) => outcome instanceof ReplyError);
    expect(refused.map(({ code }) => code)).toEqual(Array.from({ length: 7 }, () => 'overloaded'));
    expect(node.delivery.of('t').length).toBe(3);
    expect(await publishAcknowledged(node.relay, 't', 'fits again')).toBeNull();
  });

  it('passes over messages on its channels that it cannot read', async () => {
    prefixes++;
    await using node = newRelay();
    await until('it is connected', () => node.relay.state === 'connected');
    await node.relay.subscribe(topic('t'));
    const admin = new Redis(redis.url);
    const head = Buffer.from([1, 9, 9, 9, 9, 9, 9, 9, 9, 0, 1]);
    for (const message of [
      '',
      'hello',
      Buffer.from([2, ...Buffer.alloc(20)]),
      Buffer.concat([head, Buffer.of(0xd9, 200, 1)]),
    ]) {
      await admin.publish(`p${prefixes}:topic:t`, message);
    }
    await admin.publish(`p${prefixes}:topic:t`, Buffer.concat([head, Buffer.of(0xa1, 0x37)]));
    await until('the good one has come', () => node.delivery.of('t').length === 1);
    expect(node.delivery.of('t')).toEqual(['7']);
    expect(node.counters.redisMessagesUnreadable).toBe(4);
    await admin.quit();
  });
});
