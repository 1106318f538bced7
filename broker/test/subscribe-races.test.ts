import type { Topic } from '@fanfare/protocol';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { Interest, type InterestSettings, type Listener } from '../src/relay/interest.js';
import { TopicStates } from '../src/relay/topic-state.js';
import { TopicPolicies } from '../src/topics/policy.js';
import { startCluster } from './harness.js';
import { nameInRedis } from './redis-names.js';
import { topic } from './relay.contract.js';
import { until } from './wait.js';

const env = { FANFARE_UNSUBSCRIBE_LINGER_MS: '0', FANFARE_REDIS_TIMEOUT_MS: '5000' };

describe('a node whose Redis answers late', () => {
  it('is subscribed in the end if the client subscribes, unsubscribes, and subscribes again before Redis answers', async () => {
    await using cluster = await startCluster({ nodes: 2, env });
    const reader = await cluster.connect(1);
    await cluster.redis.pause();
    reader.send(
      { type: 'subscribe', id: 101, topic: 't', since: null },
      { type: 'unsubscribe', id: 102, topic: 't' },
      { type: 'subscribe', id: 103, topic: 't', since: null },
    );
    expect(await reader.next('unsubscribed')).toMatchObject({ id: 102 });
    await cluster.redis.resume();
    expect(await reader.next('error')).toMatchObject({ id: 101, code: 'notSubscribed' });
    await reader.inbox.take(
      'the last subscribe is answered',
      (message) => message.type === 'subscribed' && message.id === 103,
    );
    const writer = await cluster.connect();
    await writer.publish('t', 'once');
    await writer.publish('t', 'twice');
    expect(await reader.take('t', 2)).toEqual(['once', 'twice']);
  });

  it('answers notSubscribed to a subscribe whose unsubscribe is in the same frame, and does not ask Redis', async () => {
    await using cluster = await startCluster({ nodes: 1, redis: true, env });
    const reader = await cluster.connect();
    reader.send({ type: 'subscribe', id: 101, topic: 't', since: null }, { type: 'unsubscribe', id: 102, topic: 't' });
    expect(await reader.next('error')).toMatchObject({ id: 101, code: 'notSubscribed' });
  });

  it('is unsubscribed in the end if the last subscriber leaves before Redis has confirmed the first', async () => {
    await using cluster = await startCluster({ nodes: 1, redis: true, env });
    const reader = await cluster.connect();
    const admin = new Redis(cluster.redisUrl);
    await admin.ping();
    await cluster.redis.pause();
    reader.send({ type: 'subscribe', id: 101, topic: 't', since: null }, { type: 'unsubscribe', id: 102, topic: 't' });
    expect(await reader.next('unsubscribed')).toMatchObject({ id: 102 });
    await cluster.redis.resume();
    await until('the node is unsubscribed', async () => (await admin.pubsub('SHARDNUMSUB', nameInRedis('t')))[1] === 0);
    expect(await reader.subscribe('t')).toMatchObject({ type: 'subscribed' });
    expect((await admin.pubsub('SHARDNUMSUB', nameInRedis('t')))[1]).toBe(1);
    await admin.quit();
  });

  it('closes a client while its subscription is on the way', async () => {
    await using cluster = await startCluster({ nodes: 1, redis: true, env });
    const reader = await cluster.connect();
    const other = await cluster.connect();
    await cluster.redis.pause();
    reader.send({ type: 'subscribe', id: 101, topic: 't', since: null });
    other.send({ type: 'subscribe', id: 101, topic: 't', since: null });
    await until(
      'both subscriptions are counted',
      async () => (await cluster.node().metric('fanfare_subscriptions')) === 2,
    );
    await reader.close();
    await cluster.redis.resume();
    await other.next('subscribed');
    await other.publish('t', 1);
    expect(await other.take('t', 1)).toEqual([1]);
    expect(await cluster.node().metric('fanfare_subscriptions')).toBe(1);
  });
});

const newStates = (): TopicStates => new TopicStates(new TopicPolicies());

const newInterest = (listener: Listener, settings: InterestSettings): Interest =>
  new Interest(newStates(), listener, settings, () => undefined);

/** A Redis whose answers and disconnections are controlled by the test. */
class ScriptedListener implements Listener {
  readonly subscribed = new Set<Topic>();
  #isUp = true;
  #unanswered: { readonly size: number; apply(): void; resolve(): void; reject(error: Error): void }[] = [];

  get unanswered(): readonly { readonly size: number }[] {
    return this.#unanswered;
  }

  isReady(): boolean {
    return this.#isUp;
  }

  isServing(): boolean {
    return this.#isUp;
  }

  subscribe(topics: readonly Topic[]): Promise<void> {
    return this.#command(topics.length, () => {
      for (const each of topics) this.subscribed.add(each);
    });
  }

  unsubscribe(topics: readonly Topic[]): Promise<void> {
    return this.#command(topics.length, () => {
      for (const each of topics) this.subscribed.delete(each);
    });
  }

  answerOne(): void {
    const command = this.#unanswered.shift();
    command?.apply();
    command?.resolve();
  }

  answerAll(): void {
    while (this.#unanswered.length > 0) this.answerOne();
  }

  breakDown(): void {
    this.#isUp = false;
    this.subscribed.clear();
    const unanswered = this.#unanswered;
    this.#unanswered = [];
    for (const command of unanswered) command.reject(new Error('broken'));
  }

  comeBack(): void {
    this.#isUp = true;
  }

  #command(size: number, apply: () => void): Promise<void> {
    return new Promise((resolve, reject) => this.#unanswered.push({ size, apply, resolve, reject }));
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('Interest', () => {
  it('is subscribed to exactly the wanted topics in the end, after any sequence of changes, and answers every request', async () => {
    const names = ['a', 'b', 'c'].map(topic);
    const step = fc.oneof(
      fc.record({ do: fc.constantFrom('want', 'release'), topic: fc.constantFrom(...names) }),
      fc.record({ do: fc.constantFrom('answer', 'turn', 'break', 'return'), topic: fc.constant(topic('a')) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const listener = new ScriptedListener();
        const settings = {
          unsubscribeLingerMs: 0,
          redisTimeoutMs: 10_000,
          maxTopicsPerCommand: 2,
          maxLingeringTopics: 10_000,
        };
        const interest = newInterest(listener, settings);
        const wanted = new Set<Topic>();
        let waiting = 0;
        const reconnect = (): void => {
          listener.comeBack();
          interest.onReady();
        };
        for (const { do: action, topic: name } of steps) {
          if (action === 'want') {
            wanted.add(name);
            waiting++;
            interest.want(name).then(
              () => waiting--,
              () => waiting--,
            );
          } else if (action === 'release') {
            wanted.delete(name);
            interest.release(name);
          } else if (action === 'answer') listener.answerOne();
          else if (action === 'turn') await turn();
          else if (action === 'break' && listener.isReady()) {
            listener.breakDown();
            interest.onLost();
          } else if (action === 'return' && !listener.isReady()) reconnect();
        }
        if (!listener.isReady()) reconnect();
        // As the node does if `want` was refused: earlier subscribers still want the topic.
        await until('all requests are answered', async () => {
          await turn();
          listener.answerAll();
          await turn();
          return waiting === 0 && [...listener.subscribed].toSorted().join() === [...wanted].toSorted().join();
        });
        interest.close();
      }),
      { numRuns: 300 },
    );
  });

  it('does not subscribe to a topic that is released in the same turn', async () => {
    // Found by the property above: the linger (0 ms here) ended before the SUBSCRIBE of the turn was sent.
    const listener = new ScriptedListener();
    const settings = {
      unsubscribeLingerMs: 0,
      redisTimeoutMs: 1_000,
      maxTopicsPerCommand: 512,
      maxLingeringTopics: 10_000,
    };
    const interest = newInterest(listener, settings);
    interest.want(topic('a')).catch(() => undefined);
    interest.release(topic('a'));
    // Timers run before the end of the turn as soon as a millisecond has passed.
    for (const start = performance.now(); performance.now() < start + 2; );
    await new Promise((resolve) => setTimeout(resolve, 0));
    await turn();
    listener.answerAll();
    expect([...listener.subscribed]).toEqual([]);
    interest.close();
  });

  it('reports a gap before the first publication that follows it, even if the publication overtakes the confirmation', async () => {
    const listener = new ScriptedListener();
    const story: string[] = [];
    const settings = {
      unsubscribeLingerMs: 0,
      redisTimeoutMs: 1_000,
      maxTopicsPerCommand: 512,
      maxLingeringTopics: 10_000,
    };
    const states = newStates();
    const interest = new Interest(states, listener, settings, (state) => story.push(`gap ${state.topic}`));
    const wanting = interest.want(topic('a'));
    await turn();
    listener.answerAll();
    await wanting;
    listener.breakDown();
    interest.onLost();
    listener.comeBack();
    interest.onReady();
    await turn();
    interest.beforeDelivery(states.getOrCreate(topic('a')));
    story.push('publication');
    listener.answerAll();
    await turn();
    expect(story).toEqual(['gap a', 'publication']);
    interest.close();
  });

  it('resubscribes to topics that linger, but not to those whose subscription was never confirmed', async () => {
    const listener = new ScriptedListener();
    const settings = {
      unsubscribeLingerMs: 60_000,
      redisTimeoutMs: 5_000,
      maxTopicsPerCommand: 10,
      maxLingeringTopics: 10_000,
    };
    const interest = newInterest(listener, settings);
    const wanting = interest.want(topic('confirmed'));
    await turn();
    listener.answerAll();
    await wanting;
    interest.release(topic('confirmed'));
    interest.want(topic('sent')).catch(() => undefined);
    await turn();
    interest.release(topic('sent'));
    for (let losses = 0; losses < 2; losses++) {
      listener.breakDown();
      interest.onLost();
      listener.comeBack();
      interest.onReady();
      await turn();
    }
    listener.answerAll();
    expect([...listener.subscribed]).toEqual(['confirmed']);
    interest.close();
  });

  it('resubscribes in batches, a few at a time, without topics that are released in the meantime', async () => {
    const listener = new ScriptedListener();
    const settings = {
      unsubscribeLingerMs: 0,
      redisTimeoutMs: 5_000,
      maxTopicsPerCommand: 10,
      maxLingeringTopics: 10_000,
    };
    const interest = newInterest(listener, settings);
    const topics = Array.from({ length: 200 }, (_, index) => topic(`t${index}`));
    const wanting = topics.map((each) => interest.want(each));
    for (let round = 0; round < 30; round++) {
      await turn();
      listener.answerAll();
    }
    await Promise.all(wanting);
    listener.breakDown();
    interest.onLost();
    listener.comeBack();
    interest.onReady();
    await turn();
    expect(listener.unanswered.map(({ size }) => size)).toEqual(Array.from({ length: 8 }, () => 10));
    interest.release(topics[150] as Topic);
    // The linger (0 ms) ends before the batch with this topic is requested.
    await new Promise((resolve) => setTimeout(resolve, 5));
    for (let round = 0; round < 30; round++) {
      listener.answerAll();
      await turn();
    }
    expect([...listener.subscribed].toSorted()).toEqual(topics.filter((each) => each !== topics[150]).toSorted());
    interest.close();
  });

  it('sends Redis no commands for topics that come and go within a turn', async () => {
    const listener = new ScriptedListener();
    const settings = {
      unsubscribeLingerMs: 60_000,
      redisTimeoutMs: 5_000,
      maxTopicsPerCommand: 512,
      maxLingeringTopics: 10_000,
    };
    const interest = newInterest(listener, settings);
    for (let number = 0; number < 1_000; number++) {
      interest.want(topic(`t${number}`)).catch(() => undefined);
      interest.release(topic(`t${number}`));
    }
    await turn();
    expect(listener.unanswered).toEqual([]);
    interest.close();
  });

  it('answers requests for a topic that was released within a turn', async () => {
    const settings = {
      unsubscribeLingerMs: 60_000,
      redisTimeoutMs: 60_000,
      maxTopicsPerCommand: 512,
      maxLingeringTopics: 10_000,
    };
    const interest = newInterest(new ScriptedListener(), settings);
    let isWaiting = true;
    interest.want(topic('a')).catch(() => {
      isWaiting = false;
    });
    interest.release(topic('a'));
    await turn();
    await turn();
    expect(isWaiting).toBe(false);
    interest.close();
  });

  it('releases the oldest topics early if too many linger', async () => {
    const listener = new ScriptedListener();
    const settings = {
      unsubscribeLingerMs: 60_000,
      redisTimeoutMs: 5_000,
      maxTopicsPerCommand: 512,
      maxLingeringTopics: 10_000,
    };
    const interest = newInterest(listener, settings);
    for (let number = 0; number < 30_000; number++) {
      interest.want(topic(`t${number}`)).catch(() => undefined);
      if (number % 512 === 511) {
        await turn();
        listener.answerAll();
        await turn();
        for (let back = number - 511; back <= number; back++) interest.release(topic(`t${back}`));
      }
    }
    listener.answerAll();
    expect(listener.subscribed.size).toBeLessThan(12_000);
    interest.close();
  });

  it('refuses within the timeout if Redis does not answer', async () => {
    const settings = {
      unsubscribeLingerMs: 0,
      redisTimeoutMs: 20,
      maxTopicsPerCommand: 512,
      maxLingeringTopics: 10_000,
    };
    const interest = newInterest(new ScriptedListener(), settings);
    await expect(interest.want(topic('a'))).rejects.toMatchObject({ code: 'unavailable' });
    interest.close();
  });
});
