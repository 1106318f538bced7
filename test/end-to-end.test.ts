/**
 * From one typed client through nodes and Redis to another, as applications use them. Nodes that a test kills or stops
 * are processes.
 */
import { createClient, type SubscribeOptions } from '@fanfare/client';
import { Balancer, startNode as startProcess, startRedis } from '@fanfare/local-cluster';
import { describe, expect, it } from 'vitest';
import { startCluster, startNode } from '../broker/test/harness.js';

interface Topics {
  'chat.lobby': { readonly from: string; readonly text: string };
  [topic: `prices.${string}`]: { readonly bid: number };
}

/** Resolves at the next event. */
function next<Event>(subscribe: (listener: (event: Event) => void) => () => void): Promise<Event> {
  return new Promise((resolve) => {
    const stop = subscribe((event) => {
      stop();
      resolve(event);
    });
  });
}

describe('nodes with the same Redis', () => {
  it('are one broker for typed clients of either encoding, by callback and by loop', async () => {
    await using cluster = await startCluster({ nodes: 2 });
    const [first, second] = [cluster.node(0), cluster.node(1)];
    await using backend = createClient<Topics>(first.url);
    await using app = createClient<Topics>(second.url);
    await using page = createClient<Topics>(second.url, { encoding: 'json' });
    const bids: number[] = [];
    const prices = app.subscribe('prices.BTC-EUR', ({ data }) => bids.push(data.bid));
    const chat = page.subscribe('chat.lobby');
    await Promise.all([prices.ready, chat.ready]);
    for (let bid = 0; bid < 100; bid++) backend.send('prices.BTC-EUR', { bid });
    await backend.publish('chat.lobby', { from: 'ann', text: 'hello' });
    for await (const { topic, data } of chat) {
      expect({ topic, data }).toEqual({ topic: 'chat.lobby', data: { from: 'ann', text: 'hello' } });
      break;
    }
    await expect.poll(() => bids.length).toBe(100);
    expect(bids).toEqual(Array.from({ length: 100 }, (_, bid) => bid));
  });

  it('lose nothing when a node is killed: its client reconnects and recovers from its last position', async () => {
    await using redis = await startRedis();
    await using entry = await startNode({ FANFARE_REDIS_URL: redis.url });
    const victim = await startProcess({ redisUrl: redis.url });
    await using publisher = createClient<Topics>(entry.url);
    await using reader = createClient<Topics>(victim.url, { reconnectBaseDelayMs: 20, reconnectMaxDelayMs: 100 });
    const notices: string[] = [];
    const texts: string[] = [];
    const subscription = reader.subscribe('chat.lobby', ({ data }) => texts.push(data.text));
    for (const event of ['gap', 'reset'] as const) subscription.on(event, () => notices.push(event));
    await subscription.ready;
    await publisher.publish('chat.lobby', { from: 'bob', text: 'before' });
    await expect.poll(() => texts).toEqual(['before']);
    victim.kill();
    await victim.exited;
    await publisher.publish('chat.lobby', { from: 'bob', text: 'meanwhile' });
    await using _again = await startProcess({ redisUrl: redis.url, port: victim.port });
    await publisher.publish('chat.lobby', { from: 'bob', text: 'after' });
    await expect.poll(() => texts).toEqual(['before', 'meanwhile', 'after']);
    expect(notices).toEqual([]);
  });

  it('lose nothing when Redis is killed and restarts empty: publishes wait for it until their timeout', async () => {
    await using cluster = await startCluster({ nodes: 2 });
    const [entry, exit] = [cluster.node(0), cluster.node(1)];
    await using publisher = createClient<Topics>(entry.url);
    await using reader = createClient<Topics>(exit.url);
    const notices: string[] = [];
    const texts: string[] = [];
    const subscription = reader.subscribe('chat.lobby', ({ data }) => texts.push(data.text));
    for (const event of ['gap', 'reset'] as const) subscription.on(event, () => notices.push(event));
    await subscription.ready;
    await publisher.publish('chat.lobby', { from: 'ann', text: 'before' });
    await expect.poll(() => texts).toEqual(['before']);
    await cluster.redis.kill();
    await expect(
      publisher.publish('chat.lobby', { from: 'ann', text: 'given up' }, { timeoutMs: 300 }),
    ).rejects.toMatchObject({ code: 'timeout' });
    const patient = publisher.publish('chat.lobby', { from: 'ann', text: 'patient' });
    await cluster.redis.restart();
    await patient;
    await publisher.publish('chat.lobby', { from: 'ann', text: 'after' });
    await expect.poll(() => texts.at(-1)).toBe('after');
    expect(texts.filter((text) => text !== 'given up')).toEqual(['before', 'patient', 'after']);
    expect(notices).toEqual([]);
  });

  it('notify subscribers of topics without history of a gap when Redis restarts', async () => {
    await using cluster = await startCluster({ redis: true, env: { FANFARE_TOPICS: '{"chat.>":{"level":"fast"}}' } });
    await using reader = createClient<Topics>(cluster.node().url);
    const subscription = reader.subscribe('chat.lobby');
    await subscription.ready;
    const gap = next((listener) => subscription.on('gap', listener));
    await cluster.redis.restart();
    expect(await gap).toMatchObject({ reason: 'node' });
  });

  it('move clients to another node when they stop, and the clients stay connected and miss nothing', async () => {
    await using redis = await startRedis();
    await using first = await startProcess({ redisUrl: redis.url, env: { FANFARE_DRAIN_WINDOW_MS: '1000' } });
    await using second = await startNode({ FANFARE_REDIS_URL: redis.url });
    // As a load balancer does: the first node while it accepts connections, then the other one.
    const ports = [first.port, second.broker.port];
    await using balancer = await Balancer.start({ ports, choice: 'first' });
    await using publisher = createClient<Topics>(second.url);
    await using reader = createClient<Topics>(balancer.url, { reconnectBaseDelayMs: 20 });
    const notices: string[] = [];
    const bids: number[] = [];
    const subscription = reader.subscribe('prices.EUR', ({ data }) => bids.push(data.bid));
    for (const event of ['gap', 'reset'] as const) subscription.on(event, () => notices.push(event));
    await subscription.ready;
    const states: string[] = [];
    reader.on('state', ({ name }) => states.push(name));
    let isOver = false;
    let bid = 0;
    const load = (async () => {
      while (!isOver) await publisher.publish('prices.EUR', { bid: ++bid });
    })();
    await expect.poll(() => bids.length).toBeGreaterThan(20);
    expect(await first.stop()).toBe(0);
    isOver = true;
    await load;
    await expect.poll(() => bids.length).toBe(bid);
    expect(bids).toEqual(Array.from({ length: bid }, (_, index) => index + 1));
    expect(notices).toEqual([]);
    expect(states).toEqual(['connected']);
  });

  it('close a client that cannot move with a code that makes it reconnect', async () => {
    await using node = await startNode({ FANFARE_DRAIN_WINDOW_MS: '200' });
    await using client = createClient<Topics>(node.url);
    await client.connect();
    const connecting = next((listener) => client.on('state', listener));
    await node.broker.drain();
    expect(await connecting).toMatchObject({ name: 'connecting', code: 'draining', closeCode: 4001 });
  });

  it('deliver history and then live publications, each once, while others publish on another node', async () => {
    await using cluster = await startCluster({ nodes: 2 });
    const [first, second] = [cluster.node(0), cluster.node(1)];
    await using writer = createClient(first.url);
    const accepted = Array.from({ length: 200 }, (_, index) => index + 1);
    await Promise.all(accepted.map((number) => writer.publish('t', number)));
    let isOver = false;
    const publishing = (async () => {
      for (let number = 201; !isOver; number++) {
        await writer.publish('t', number);
        accepted.push(number);
      }
    })();
    await using reader = createClient(second.url);
    const seen: number[][] = [[], [], []];
    const follow = (index: number, options: SubscribeOptions): Promise<void> =>
      reader.subscribe('t', options, ({ data }) => seen[index]?.push(data as number)).ready;
    await Promise.all([follow(0, { last: 50 }), follow(1, { last: 10 })]);
    const { position } = await reader.history('t', { direction: 'backward', limit: 1 });
    await follow(2, { since: { ...position, offset: 60 } });
    isOver = true;
    await publishing;
    await expect.poll(() => seen.map((each) => each.at(-1))).toEqual([1, 2, 3].map(() => accepted.length));
    for (const each of seen) expect(each).toEqual(accepted.slice((each[0] ?? 0) - 1));
    expect(seen[2]?.[0]).toBe(61);
    expect(seen[0]?.[0]).toBeGreaterThan(150);
  });

  it('accept what a client queues before it knows the maximum frame size', async () => {
    await using cluster = await startCluster({ env: { FANFARE_MAX_FRAME_BYTES: '2048' } });
    await using client = createClient(cluster.node().url);
    const topics = Array.from({ length: 100 }, (_, index) => `${'long'.repeat(30)}.${index}`);
    const subscriptions = topics.map((topic) => client.subscribe(topic));
    await Promise.all(topics.slice(0, 20).map((topic) => client.publish(topic, 'x'.repeat(1_000))));
    await Promise.all(subscriptions.map((subscription) => subscription.ready));
    expect(client.state.name).toBe('connected');
  });

  it('receive everything that a client sends before it drains', async () => {
    await using cluster = await startCluster();
    const node = cluster.node();
    await using reader = createClient(node.url);
    const received: unknown[] = [];
    const subscription = reader.subscribe('t', ({ data }) => received.push(data));
    await subscription.ready;
    const sender = createClient(node.url);
    const numbers = Array.from({ length: 900 }, (_, index) => index);
    for (const number of numbers) sender.send('t', number);
    await sender.drain();
    await expect.poll(() => received.length).toBe(numbers.length);
    expect(received).toEqual(numbers);
  });
});
