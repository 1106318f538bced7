import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type RedisProcess, startRedis } from '@fanfare/local-cluster';
import { type Position, ReplyError } from '@fanfare/protocol';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Metrics } from '../src/observe/metrics.js';
import { PublisherLink } from '../src/redis/redis.js';
import type { RelaySettings } from '../src/relay/open-relay.js';
import { newNodeId } from '../src/relay/redis-message.js';
import type { Relay } from '../src/relay/relay.js';
import { TopicPolicies } from '../src/topics/policy.js';
import { monitorRedis, type SeenCommand } from './redis-monitor.js';
import { nameInRedis } from './redis-names.js';
import { json, publishAcknowledged, relayContract, topic, topics } from './relay.contract.js';
import { startRelay, startRelays } from './test-relay.js';
import { until } from './wait.js';

let redis: RedisProcess;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis[Symbol.asyncDispose]();
});

let prefixes = 0;

const fast = new TopicPolicies([['>', { level: 'fast' }]]);

it('a node knows how much memory Redis uses for a client that does not read', async () => {
  const deaf = createConnection({ port: redis.port });
  const admin = new Redis(redis.url);
  try {
    deaf.write('CLIENT ID\r\nSSUBSCRIBE deaf\r\n');
    const [id] = (await once(deaf, 'data')) as [Buffer];
    deaf.pause();
    const clientId = Number(/^:(\d+)/.exec(id.toString())?.[1]);
    const link = new PublisherLink(
      { redisUrl: redis.url, redisTimeoutMs: 5_000, nodeName: 'test' },
      pino({ level: 'silent' }),
      new Metrics().counters,
      {},
    );
    await until('it is connected', () => link.isReady);
    expect(await link.outputBufferBytes(clientId)).toBe(0);
    // More than the kernel buffers.
    for (let count = 0; count < 7; count++) await admin.spublish('deaf', 'x'.repeat(1_048_576));
    expect(await link.outputBufferBytes(clientId)).toBeGreaterThan(1_000_000);
    deaf.destroy();
    await until('the client is gone', async () => (await link.outputBufferBytes(clientId)) === 0);
    await link.close();
  } finally {
    deaf.destroy();
    admin.disconnect();
  }
});

/** By default, all topics are at level `fast`. */
const newRelay = (settings: Partial<RelaySettings> = {}) =>
  startRelay({ redisUrl: redis.url, redisPrefix: `p${prefixes}`, topics: fast, ...settings });

/** The commands so far with an argument that begins with this key, after the prefix of this test. */
const about = ({ commands }: { readonly commands: readonly SeenCommand[] }, key: RegExp) =>
  commands.filter((args) => args.some((arg) => arg.startsWith(`p${prefixes}:`) && key.test(arg)));

relayContract('RoutedRelay', (count) => {
  prefixes++;
  return startRelays(count, { redisUrl: redis.url, redisPrefix: `p${prefixes}` });
});

describe('a RedisRelay', () => {
  it('subscribes in Redis only to topics with local subscribers, and unsubscribes after the linger', async () => {
    prefixes++;
    await using node = newRelay();
    await until('the relay is connected', () => node.relay.state === 'connected');
    const admin = new Redis(redis.url);
    const channels = async (): Promise<unknown> =>
      (await admin.pubsub('SHARDCHANNELS', `p${prefixes}:*:topic:*`)).toSorted();
    expect(await channels()).toEqual([]);
    const subscribed = node.counters.redisSubscribeCommands;
    await Promise.all([node.relay.subscribe(topic('a'), null), node.relay.subscribe(topic('b'), null)]);
    expect(await channels()).toEqual([nameInRedis('a', `p${prefixes}`), nameInRedis('b', `p${prefixes}`)]);
    expect(node.counters.redisSubscribeCommands - subscribed).toBe(1);
    node.relay.unsubscribe(topic('a'));
    await until('a is unsubscribed', async () => ((await channels()) as string[]).length === 1);
    expect(await channels()).toEqual([nameInRedis('b', `p${prefixes}`)]);
    await admin.quit();
  });

  it('counts the subscribers of the nodes that answer, and says how many do not', async () => {
    prefixes++;
    const nodeId = newNodeId();
    await using node = newRelay({ nodeId });
    await using other = newRelay();
    const { relay } = node;
    for (const each of [node, other]) {
      each.delivery.subscribers.set(topic('t'), 1);
      await until('the nodes know each other', () => each.relay.state === 'connected' && each.relay.nodes === 2);
    }
    const admin = new Redis(redis.url);
    const silent = new Redis(redis.url);
    try {
      // A node that hangs still receives the question. The others wait for it while its heartbeats are recent.
      await silent.ssubscribe(`p${prefixes}:questions`);
      const subscribers = { count: 2, nodes: { asked: 3, answered: 2 } };
      expect((await relay.topicInfo(topic('t'))).subscribers).toEqual(subscribers);
      const score = (await admin.zrange(`p${prefixes}:nodes`, 0, -1, 'WITHSCORES')).at(-1) ?? '0';
      await admin.zadd(`p${prefixes}:nodes`, score, 'hung');
      await until('it is known', () => relay.nodes === 3);
      expect((await relay.topicInfo(topic('t'))).subscribers).toEqual(subscribers);
      // A node that has died receives no question.
      await silent.sunsubscribe();
      await admin.zadd(`p${prefixes}:nodes`, Number(score) + 60_000, 'hung');
      await until('it is known', () => relay.nodes === 3);
      expect((await relay.topicInfo(topic('t'))).subscribers).toEqual(subscribers);
      // Answers that nobody waits for, and invalid questions.
      for (const channel of ['questions', `answers:${nodeId}`])
        for (const text of ['', 'x', 'x 1 a..b', '1 2 3', '99 1'])
          await admin.spublish(`p${prefixes}:${channel}`, text);
      expect((await relay.topicInfo(topic('t'))).subscribers).toEqual(subscribers);
    } finally {
      admin.disconnect();
      silent.disconnect();
    }
  });

  it('knows only its own subscribers while Redis is away', async () => {
    prefixes++;
    const own = await startRedis();
    const node = newRelay({ redisUrl: own.url, topics });
    await until('the relay is connected', () => node.relay.state === 'connected');
    node.delivery.subscribers.set(topic('fast.t'), 3);
    await own[Symbol.asyncDispose]();
    await until('the relay has noticed', () => node.relay.state === 'connecting');
    expect(await node.relay.topicInfo(topic('fast.t'))).toEqual({
      level: 'fast',
      position: null,
      subscribers: { count: 3, nodes: { asked: 1, answered: 1 } },
    });
    await expect(node.relay.topicInfo(topic('t'))).rejects.toMatchObject({ code: 'unavailable' });
    const list = node.relay.topics({ prefix: '', cursor: null, limit: 10 });
    await expect(list).rejects.toMatchObject({ code: 'unavailable' });
    await node.relay.close();
  });

  it('sends the publications of a turn in one SPUBLISH for each topic', async () => {
    prefixes++;
    await using node = newRelay();
    await until('the relay is connected', () => node.relay.state === 'connected');
    using seen = await monitorRedis(redis);
    for (let number = 0; number < 300; number++) node.relay.publish(topic(`t${number % 3}`), json(number), null, null);
    await publishAcknowledged(node.relay, 't0', 'end');
    await until('MONITOR has shown them', () => about(seen, /:topic:t/).length >= 3);
    expect(about(seen, /:topic:t/).map(([name, channel]) => [name, channel])).toEqual(
      ['t0', 't1', 't2'].map((name) => ['spublish', nameInRedis(name, `p${prefixes}`)]),
    );
  });

  it('sends publications to topics with history in one script call', async () => {
    prefixes++;
    await using node = newRelay({ topics: new TopicPolicies() });
    await until('the relay is connected', () => node.relay.state === 'connected');
    await publishAcknowledged(node.relay, 'first', 'Redis knows the script now');
    using seen = await monitorRedis(redis);
    for (let number = 0; number < 300; number++) node.relay.publish(topic(`t${number % 3}`), json(number), null, null);
    await publishAcknowledged(node.relay, 't0', 'end');
    await publishAcknowledged(node.relay, 'last', 'end');
    await until('MONITOR has shown them', () => about(seen, /:topic:last/).length > 0);
    const calls = about(seen, /:topic:t/).filter(([name]) => name === 'evalsha');
    expect(calls).toHaveLength(1);
    for (const name of ['t0', 't1', 't2']) expect(calls[0]?.join(' ')).toContain(`topic:${name} `);
  });

  describe('with a history of six megabytes', () => {
    const large = 60_000;
    let own: RedisProcess;
    let head: Position;

    async function connectRelay() {
      const node = newRelay({ redisUrl: own.url, topics: new TopicPolicies(), redisTimeoutMs: 30_000 });
      await until('the relay is connected', () => node.relay.state === 'connected');
      return node;
    }

    beforeAll(async () => {
      prefixes++;
      own = await startRedis();
      await using writer = await connectRelay();
      for (let number = 0; number < 100; number++) {
        head = (await publishAcknowledged(writer.relay, 't', 'x'.repeat(large))) as Position;
      }
    });
    afterAll(() => own[Symbol.asyncDispose]());

    /**
     * The bytes that Redis sends while `task` runs. `task` gets a node that has read nothing, and the position of the
     * topic `t`.
     */
    async function sentDuring(task: (relay: Relay, head: Position) => Promise<unknown>): Promise<number> {
      await using node = await connectRelay();
      const admin = new Redis(own.url);
      const sent = async () => Number(/total_net_output_bytes:(\d+)/.exec(await admin.info('stats'))?.[1]);
      const before = await sent();
      await task(node.relay, head);
      const bytes = (await sent()) - before;
      await admin.quit();
      return bytes;
    }

    it('makes Redis send no more of it than a page needs', async () => {
      const bytes = await sentDuring(async (relay, head) => {
        const oldest = { ...head, offset: 0 };
        for (const since of [null, oldest, { ...head, offset: 50 }]) {
          await relay.history(topic('t'), { since, limit: 1, direction: 'forward' });
          await relay.history(topic('t'), { since, limit: 1, direction: 'backward' });
        }
      });
      // Five pages of one publication; nothing precedes the oldest one.
      expect(bytes).toBeLessThan(6 * large);
    });

    it('makes Redis send no more of it than fits into a page', async () => {
      const bytes = await sentDuring(async (relay) => {
        for (const direction of ['forward', 'backward'] as const) {
          const page = await relay.history(topic('t'), { since: null, limit: 1_000, direction });
          expect(page.publications.count).toBe(4);
        }
      });
      expect(bytes).toBeLessThan(9 * large);
    });

    it('makes Redis send no more of it than fits into a reply, and only once for all clients that missed more', async () => {
      const bytes = await sentDuring(async (relay, head) => {
        for (let offset = 1; offset <= 20; offset++) {
          const since = { ...head, offset };
          await relay.subscribe(topic('t'), since);
          expect(relay.subscribeResult(topic('t'), since).recovered).toBe(false);
        }
        const since = { ...head, offset: 96 };
        await relay.subscribe(topic('t'), since);
        expect(relay.subscribeResult(topic('t'), since).publications.count).toBe(4);
      });
      // Twice the amount that fits: only then it is certain that nothing older would fit.
      expect(bytes).toBeLessThan(9 * large);
    });
  });

  // These two mostly wait.
  it.concurrent('waits for all nodes that receive its call to a recovery, even if it does not receive the call itself', async () => {
    await using own = await startRedis();
    const prefix = `p${++prefixes}`;
    await using node = newRelay({
      redisUrl: own.url,
      nodeName: `deaf-${prefix}`,
      topics: new TopicPolicies(),
      probeIntervalMs: 60_000,
    });
    await until('the relay is connected', () => node.relay.state === 'connected');
    const before = await publishAcknowledged(node.relay, 't', 'before');
    const admin = new Redis(own.url);
    // It receives the call and never answers: only the count of receivers reveals that it is missing.
    const other = new Redis(own.url);
    await other.ssubscribe(`${prefix}:control`);
    await admin.call('ACL', 'SETUSER', 'default', '-subscribe');
    const clients = String(await admin.client('LIST')).split('\n');
    const link = clients.find((line) => line.includes(`name=fanfare:deaf-${prefix}:subscriber`)) ?? '';
    await admin.client('KILL', 'ID', /id=(\d+)/.exec(link)?.[1] ?? '');
    await until('the relay has lost the connection', () => node.counters.redisReconnects > 0);
    await admin.del(`${prefix}:generation`);
    const after = await until('the relay publishes again', async () => {
      const outcome = await publishAcknowledged(node.relay, 't', 'after');
      return !(outcome instanceof ReplyError) && outcome;
    });
    expect((after as Position).epoch > (before as Position).epoch).toBe(true);
    for (const redis of [admin, other]) redis.disconnect();
  });

  it.concurrent('remembers a messageId for its whole window, while the tables rotate', async () => {
    prefixes++;
    const windowMs = 500;
    await using node = newRelay({ topics: new TopicPolicies(), idempotencyWindowSeconds: windowMs / 1_000 });
    await until('the relay is connected', () => node.relay.state === 'connected');
    const published: { readonly id: string; readonly at: number; readonly offset: number }[] = [];
    const startedAt = performance.now();
    let checks = 0;
    for (let number = 0; performance.now() - startedAt < 3.5 * windowMs; number++) {
      const id = `id-${number}`;
      const at = performance.now();
      const position = await publishAcknowledged(node.relay, 't', number, id);
      published.push({ id, at, offset: (position as { offset: number }).offset });
      // At full speed, this would cost as much as the rest of this file.
      await delay(5);
      // The oldest one that is still in its window, with a margin for the network.
      const old = published.find((one) => performance.now() - one.at < 0.9 * windowMs);
      if (old === undefined) continue;
      const again = await publishAcknowledged(node.relay, 't', 'again', old.id);
      // An answer within the window is conclusive, even on a machine that was paused.
      if (performance.now() - old.at > windowMs) continue;
      expect(again).toMatchObject({ offset: old.offset });
      checks++;
    }
    expect(checks).toBeGreaterThan(0);
  });

  it('keeps a topic in one epoch if the clock of Redis is behind the last floor', async () => {
    prefixes++;
    await using node = newRelay({ topics: new TopicPolicies() });
    await until('the relay is connected', () => node.relay.state === 'connected');
    await publishAcknowledged(node.relay, 't', 'before');
    const admin = new Redis(redis.url);
    const floor = `${(Date.now() + 3_600_000) * 1_000}`;
    await admin.set(`p${prefixes}:generation`, `another:${floor}`);
    const refused = await publishAcknowledged(node.relay, 't', 'refused');
    expect(refused).toMatchObject({ code: 'unavailable' });
    await until('the node knows the floor', () => node.relay.state === 'connected' && node.counters.recoveries > 0);
    const positions = [];
    for (let number = 0; number < 3; number++) positions.push(await publishAcknowledged(node.relay, 't', number));
    const [{ epoch, offset }] = positions as [Position];
    expect(epoch >= floor).toBe(true);
    expect(positions).toEqual([0, 1, 2].map((number) => ({ epoch, offset: offset + number })));
    await admin.quit();
  });

  it('stays subscribed to a topic for the linger, so that a client that returns at once costs Redis nothing', async () => {
    prefixes++;
    await using node = newRelay({ unsubscribeLingerMs: 60_000 });
    await until('the relay is connected', () => node.relay.state === 'connected');
    const before = node.counters.redisSubscribeCommands;
    await node.relay.subscribe(topic('t'), null);
    node.relay.unsubscribe(topic('t'));
    await node.relay.subscribe(topic('t'), null);
    expect(node.counters).toMatchObject({ redisSubscribeCommands: before + 1, redisUnsubscribeCommands: 0 });
  });

  it('refuses publications that would exceed its limit in one turn, and reports that nobody received them', async () => {
    prefixes++;
    await using node = newRelay({ maxRelayBytes: 4_000 });
    await until('the relay is connected', () => node.relay.state === 'connected');
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, () => publishAcknowledged(node.relay, 't', 'x'.repeat(300))),
    );
    const refused = outcomes.filter((outcome) => outcome instanceof ReplyError);
    expect(new Set(refused.map(({ code }) => code))).toEqual(new Set(['overloaded']));
    expect(node.delivery.of('t').length).toBe(20 - refused.length);
    expect(() => {
      for (let number = 0; number < 20; number++) node.relay.publish(topic('t'), json('x'.repeat(300)), null, null);
    }).toThrow(ReplyError);
    await node.relay.flush();
    expect(await publishAcknowledged(node.relay, 't', 'fits again')).toBeNull();
  });

  it('counts unanswered commands toward its limit until Redis answers', async () => {
    prefixes++;
    await using own = await startRedis();
    await using node = newRelay({ redisUrl: own.url, maxRelayBytes: 20_000, redisTimeoutMs: 5_000 });
    await until('the relay is connected', () => node.relay.state === 'connected');
    await own.pause();
    const onTheWay = publishAcknowledged(node.relay, 't', 'x'.repeat(10_000));
    // The next turn: the first is on the link by now.
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    expect(await publishAcknowledged(node.relay, 't', 'x'.repeat(10_000))).toMatchObject({ code: 'overloaded' });
    await own.resume();
    expect(await onTheWay).toBeNull();
    for (let round = 0; round < 10; round++) {
      expect(await publishAcknowledged(node.relay, 't', 'x'.repeat(10_000))).toBeNull();
    }
  });

  it('counts the overhead of a run, so that many small topics cannot bypass the limit', async () => {
    prefixes++;
    await using node = newRelay({ maxRelayBytes: 100_000 });
    await until('the relay is connected', () => node.relay.state === 'connected');
    let taken = 0;
    expect(() => {
      for (; taken < 1_000; taken++) node.relay.publish(topic(`t${taken}`), json(1), null, null);
    }).toThrow(ReplyError);
    expect(taken).toBeLessThan(100_000 / 1_000);
  });

  it('reports a gap after its subscribing connection broke, before any later publication', async () => {
    prefixes++;
    await using node = newRelay();
    await using other = newRelay();
    for (const { relay } of [node, other]) await until('the relay is connected', () => relay.state === 'connected');
    await node.relay.subscribe(topic('t'), null);
    const story: string[] = [];
    node.delivery.onDeliver = () => story.push('publication');
    node.delivery.onGap = () => story.push('gap');
    const admin = new Redis(redis.url);
    for (let round = 0; round < 5; round++) {
      story.length = 0;
      await admin.client('KILL', 'TYPE', 'pubsub');
      await until('the relay reports the gap', () => {
        other.relay.publish(topic('t'), json(round), null, null);
        return story.includes('gap') && story.at(-1) === 'publication';
      });
      const afterGap = story.slice(story.indexOf('gap'));
      expect(afterGap.filter((each) => each === 'gap')).toEqual(['gap']);
      await until('the relay is connected', () => node.relay.state === 'connected');
    }
    await admin.quit();
  });

  it('makes the other nodes report a gap for publications that could not reach them, when its publishing connection is back', async () => {
    prefixes++;
    await using node = newRelay({ nodeName: `publisher-${prefixes}` });
    await using other = newRelay();
    for (const { relay } of [node, other]) await until('the relay is connected', () => relay.state === 'connected');
    await other.relay.subscribe(topic('t'), null);
    await other.relay.subscribe(topic('quiet'), null);
    const admin = new Redis(redis.url);
    const clients = String(await admin.client('LIST')).split('\n');
    const link = clients.find((line) => line.includes(`name=fanfare:publisher-${prefixes}:publisher`)) ?? '';
    await admin.client('KILL', 'ID', /id=(\d+)/.exec(link)?.[1] ?? '');
    await until('the link is lost', () => node.relay.state === 'connecting');
    // More topics than one call announces, and `t` is the last.
    for (let index = 0; index < 1_200; index++) {
      node.relay.publish(topic(`more.${index}`), json(index), null, null);
      if (index % 100 === 0) await node.relay.flush();
    }
    node.relay.publish(topic('t'), json('only here'), null, null);
    await node.relay.flush();
    expect(node.delivery.of('t')).toEqual(['"only here"']);
    await until('the other node reports the gap', () => other.delivery.gaps.length > 0);
    expect(other.delivery.gaps).toEqual(['t']);
    expect(other.delivery.of('t')).toEqual([]);
    expect(node.delivery.gaps).toEqual([]);
    await admin.quit();
  });

  it('makes the other nodes report a gap for publications that Redis refused for a moment', async () => {
    prefixes++;
    await using own = await startRedis();
    await using node = newRelay({ redisUrl: own.url });
    await using other = newRelay({ redisUrl: own.url });
    for (const { relay } of [node, other]) await until('the relay is connected', () => relay.state === 'connected');
    await other.relay.subscribe(topic('t'), null);
    const admin = new Redis(own.url);
    await admin.call('ACL', 'SETUSER', 'default', '-spublish');
    expect(await publishAcknowledged(node.relay, 't', 'only here')).toMatchObject({
      code: 'unconfirmed',
      message: expect.stringContaining('Redis refused the publication.'),
    });
    await admin.call('ACL', 'SETUSER', 'default', '+spublish');
    await until('the other node reports the gap', () => other.delivery.gaps.length > 0);
    expect(other.delivery.gaps).toEqual(['t']);
    expect(node.counters.redisReconnects).toBe(0);
    await admin.quit();
  });

  it('is not connected while Redis refuses it a required topic, and retries until it is permitted', async () => {
    prefixes++;
    await using own = await startRedis();
    await using node = newRelay({ redisUrl: own.url });
    await using other = newRelay({ redisUrl: own.url });
    for (const { relay } of [node, other]) await until('the relay is connected', () => relay.state === 'connected');
    await node.relay.subscribe(topic('t'), null);
    const admin = new Redis(own.url);
    await admin.call('ACL', 'SETUSER', 'default', 'resetchannels', '&elsewhere');
    await until('the topic is refused', () => node.relay.fault?.includes('no permission') === true);
    expect(node.relay.state).toBe('unproven');
    await admin.call('ACL', 'SETUSER', 'default', 'allchannels');
    await until('the relay is connected', () => node.relay.state === 'connected' && other.relay.state === 'connected');
    expect(await publishAcknowledged(other.relay, 't', 'back')).toBeNull();
    await until('the publication has arrived', () => node.delivery.of('t').length === 1);
    // One for each lost connection: missing probes may have closed it again.
    expect(new Set(node.delivery.gaps)).toEqual(new Set(['t']));
    await admin.quit();
  });

  it('does not mistake a blocked event loop for a Redis that does not respond', async () => {
    prefixes++;
    await using node = newRelay({ redisTimeoutMs: 1_000 });
    await until('the relay is connected', () => node.relay.state === 'connected');
    const nobody = new Int32Array(new SharedArrayBuffer(4));
    const ping = `require('net').connect(${redis.port}, '127.0.0.1').end('PING\\r\\n').resume()`;
    for (let round = 0; round < 2; round++) {
      const outcome = publishAcknowledged(node.relay, 't', round);
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
      // Blocks this thread for longer than the timeout, and until Redis has replied.
      execFileSync(process.execPath, ['-e', ping]);
      Atomics.wait(nobody, 0, 0, 1_250);
      expect(await outcome).toBeNull();
    }
    expect(node.counters.redisReconnects).toBe(0);
  });

  it('skips messages on its channels that it cannot read', async () => {
    prefixes++;
    await using node = newRelay();
    await until('the relay is connected', () => node.relay.state === 'connected');
    await node.relay.subscribe(topic('t'), null);
    const admin = new Redis(redis.url);
    const head = Buffer.from([1, 9, 9, 9, 9, 9, 9, 9, 9, 0, 1]);
    const broken = [Buffer.of(0xd9, 200, 1), Buffer.of(0xa1, 0x37, 0xa1), Buffer.of(0xc0), Buffer.of()];
    const strange = ['', 'hello', Buffer.from([2, ...Buffer.alloc(20)])];
    for (const message of [...strange, ...broken.map((run) => Buffer.concat([head, run]))]) {
      await admin.spublish(nameInRedis('t', `p${prefixes}`), message);
    }
    await admin.spublish(nameInRedis('t', `p${prefixes}`), Buffer.concat([head, Buffer.of(0xa1, 0x37)]));
    await until('the valid message has arrived', () => node.delivery.of('t').length === 1);
    expect(node.delivery.of('t')).toEqual(['7']);
    expect(node.counters.redisMessagesUnreadable).toBe(7);
    expect(node.delivery.runs).toEqual([1]);
    await admin.quit();
  });
});
