/** The relay over a Redis Cluster while an operator changes it, and while its servers fail. */
import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { type RedisClusterProcess, type RedisProcess, redisCommand, startRedisCluster } from '@fanfare/local-cluster';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Partitions } from '../src/relay/partitions.js';
import type { Relay } from '../src/relay/relay.js';
import { publishAcknowledged, topic } from './relay.contract.js';
import { startRelay, untilConnected } from './test-relay.js';
import { until } from './wait.js';

const partitions = new Partitions(16);

/** A topic of each partition, by the number of the partition. */
const names = Array.from({ length: partitions.count }, (_, partition) => {
  for (let number = 0; ; number++) if (partitions.of(topic(`t${number}`)) === partition) return `t${number}`;
});

/** The slot that moves and fails over. */
const slot = partitions.slotOf(3);

const hasRedisCli = spawnSync('redis-cli', ['--version']).status === 0;

/** Publishes the numbers from 1 to each topic, each number again until it is accepted, as a client does. */
class Publishing {
  /** Rejects as soon as a publication is refused for good. */
  readonly #all: Promise<unknown>;
  readonly #accepted = new Map<string, number>();
  #isOver = false;

  constructor(relay: Relay) {
    this.#all = Promise.all(names.map((name) => this.#publish(relay, name)));
    this.#all.catch(() => undefined);
  }

  /** How many numbers of a topic were accepted. */
  accepted(name: string): number {
    return this.#accepted.get(name) ?? 0;
  }

  /** Resolves after some more publications to all topics. */
  async continues(): Promise<void> {
    for (const name of names) {
      const before = this.accepted(name);
      const more = until(`publications to ${name} are accepted`, () => this.accepted(name) > before + 5);
      await Promise.race([more, this.#all]);
    }
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#all;
  }

  async #publish(relay: Relay, name: string): Promise<void> {
    for (let number = 1; !this.#isOver; number++) {
      await until(`${name} ${number} is accepted`, async () => {
        const outcome = await publishAcknowledged(relay, name, number, `${name}-${number}`);
        if (!(outcome instanceof Error)) return true;
        // With its messageId, it is published once.
        if (!outcome.retryable) throw outcome;
        return false;
      });
      this.#accepted.set(name, number);
    }
  }
}

describe('a relay over a Redis Cluster', () => {
  let cluster: RedisClusterProcess;
  beforeAll(async () => {
    cluster = await startRedisCluster();
  });
  afterAll(async () => {
    await cluster[Symbol.asyncDispose]();
  });
  let prefixes = 0;

  async function otherMaster(): Promise<RedisProcess> {
    const owner = await cluster.masterOf(slot);
    const masters = await Promise.all(names.map((_, partition) => cluster.masterOf(partitions.slotOf(partition))));
    return masters.find((master) => master !== owner) as RedisProcess;
  }

  async function moveSlot(): Promise<void> {
    const from = await cluster.masterOf(slot);
    await cluster.moveSlot(slot, await otherMaster());
    await cluster.moveSlot(slot, from);
  }

  const events: Readonly<Record<string, () => Promise<void>>> = {
    'a slot moves': moveSlot,
    'a slot with many keys moves': async () => {
      const [from, tag] = [await cluster.masterOf(slot), partitions.tagOf(3)];
      const keys = Array.from({ length: 1_000 }, (_, index) => [`{${tag}}:other:${index}`, 'x'.repeat(100)]);
      await redisCommand(from.port, ['MSET', ...keys.flat()]);
      await moveSlot();
      await redisCommand(from.port, ['UNLINK', ...keys.map(([key = '']) => key)]);
    },
    'redis-cli moves many slots': async () => {
      const [from, to] = [await cluster.masterOf(partitions.slotOf(0)), await otherMaster()];
      const ids = await Promise.all([from, to].map(({ port }) => redisCommand(port, ['CLUSTER', 'MYID'])));
      const options = ['--cluster-from', String(ids[0]), '--cluster-to', String(ids[1]), '--cluster-slots', '600'];
      const address = `127.0.0.1:${from.port}`;
      await promisify(execFile)('redis-cli', ['--cluster', 'reshard', address, ...options, '--cluster-yes']);
    },
    'a master fails over as planned': () => cluster.failover(slot),
    'a replica moves': async () => {
      const master = await cluster.masterOf(slot);
      const [replica] = (await cluster.replicasOf(master)) as [RedisProcess];
      await cluster.moveReplica(replica, await otherMaster());
      await cluster.moveReplica(replica, master);
    },
    'a master is killed': async () => {
      const master = await cluster.masterOf(slot);
      await master.kill();
      await cluster.untilHealthy();
      await master.restart();
    },
    'a master hangs': async () => {
      const master = await cluster.masterOf(slot);
      await master.pause();
      await cluster.untilHealthy();
      await master.resume();
    },
  };

  it.each(Object.entries(events).filter(([name]) => hasRedisCli || !name.includes('redis-cli')))(
    'delivers each publication once and in order while %s',
    async (_, happen) => {
      await cluster.untilHealthy();
      const settings = {
        redisUrl: cluster.url,
        redisPrefix: `p${++prefixes}`,
        redisPartitions: partitions.count,
        redisTimeoutMs: 500,
      };
      await using publisher = startRelay(settings);
      await using subscriber = startRelay(settings);
      for (const { relay } of [publisher, subscriber]) await untilConnected(relay);
      for (const name of names) await subscriber.relay.subscribe(topic(name), null);
      const publishing = new Publishing(publisher.relay);
      await publishing.continues();
      await happen();
      await cluster.untilHealthy();
      await publishing.continues();
      await publishing.end();
      for (const name of names) {
        const count = publishing.accepted(name);
        await until(`all of ${name} has arrived`, () => subscriber.delivery.of(name).length >= count);
        expect(subscriber.delivery.of(name)).toEqual(Array.from({ length: count }, (_, index) => String(index + 1)));
      }
      expect(subscriber.delivery.gaps).toEqual([]);
      expect(subscriber.delivery.resets).toEqual([]);
    },
  );
});
