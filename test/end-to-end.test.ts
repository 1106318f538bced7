/** The whole way, as applications go it: node processes, Redis, and the typed client. */
import { createClient } from '@fanfare/client';
import { startNode, startRedis } from '@fanfare/local-cluster';
import { describe, expect, it } from 'vitest';

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

describe('two node processes with the same Redis', () => {
  it('are one broker for typed clients of either encoding, by callback and by loop', async () => {
    await using redis = await startRedis();
    await using first = await startNode({ redisUrl: redis.url });
    await using second = await startNode({ redisUrl: redis.url });
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

  it('go on when one of them is killed and started again: the client comes back by itself and says what it may have missed', async () => {
    await using redis = await startRedis();
    await using entry = await startNode({ redisUrl: redis.url });
    const victim = await startNode({ redisUrl: redis.url });
    await using publisher = createClient<Topics>(entry.url);
    await using reader = createClient<Topics>(victim.url, { reconnectBaseDelayMs: 20, reconnectMaxDelayMs: 100 });
    const subscription = reader.subscribe('chat.lobby');
    await subscription.ready;
    const gap = next((listener) => subscription.on('gap', listener));
    victim.kill();
    await victim.exited;
    await using _again = await startNode({ redisUrl: redis.url, port: victim.port });
    expect(await gap).toEqual({ reason: 'reconnected' });
    await publisher.publish('chat.lobby', { from: 'bob', text: 'again' });
    for await (const { data } of subscription) {
      expect(data.text).toBe('again');
      break;
    }
  });

  it('tell subscribers of a gap and publishers of a named error when Redis goes, and recover when it is back', async () => {
    await using redis = await startRedis();
    await using entry = await startNode({ redisUrl: redis.url });
    await using exit = await startNode({ redisUrl: redis.url });
    await using publisher = createClient<Topics>(entry.url);
    await using reader = createClient<Topics>(exit.url);
    const subscription = reader.subscribe('chat.lobby');
    await subscription.ready;
    const gap = next((listener) => subscription.on('gap', listener));
    await redis.kill();
    // The very first may still be on the link when it breaks; all that follow are refused before anyone gets them.
    await expect
      .poll(() =>
        publisher
          .publish('chat.lobby', { from: 'ann', text: 'lost' })
          .catch(({ code, maybeDelivered }) => ({ code, maybeDelivered })),
      )
      .toEqual({ code: 'unavailable', maybeDelivered: false });
    await redis.restart();
    expect(await gap).toEqual({ reason: 'node' });
    await expect
      .poll(() =>
        publisher.publish('chat.lobby', { from: 'ann', text: 'back' }).then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);
    for await (const { data } of subscription) {
      if (data.text === 'back') break;
    }
  });

  it('send clients elsewhere when they stop', async () => {
    await using redis = await startRedis();
    await using node = await startNode({ redisUrl: redis.url });
    await using client = createClient<Topics>(node.url);
    await client.connect();
    const connecting = next((listener) => client.on('state', listener));
    expect(await node.stop()).toBe(0);
    expect(await connecting).toMatchObject({ name: 'connecting', code: 'draining', closeCode: 4001 });
  });

  it('take what a client queues before it knows how long a frame may be', async () => {
    await using node = await startNode({ env: { FANFARE_MAX_FRAME_BYTES: '2048' } });
    await using client = createClient(node.url);
    const topics = Array.from({ length: 100 }, (_, index) => `${'long'.repeat(30)}.${index}`);
    const subscriptions = topics.map((topic) => client.subscribe(topic));
    await Promise.all(topics.slice(0, 20).map((topic) => client.publish(topic, 'x'.repeat(1_000))));
    await Promise.all(subscriptions.map((subscription) => subscription.ready));
    expect(client.state.name).toBe('connected');
  });

  it('get everything that was sent before a client drains', async () => {
    await using node = await startNode({});
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
