/** The connections of a node to a Redis Cluster: each partition follows its slot, and nothing listens at a replica. */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import {
  findFreePort,
  type RedisClusterProcess,
  type RedisProcess,
  redisCommand,
  startRedis,
  startRedisCluster,
} from '@fanfare/local-cluster';
import { type Logger, pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Metrics } from '../src/observe/metrics.js';
import { readMoved, SlotMap } from '../src/redis/cluster/slot-map.js';
import {
  ClusterConnections,
  type ClusterSettings,
  ClusterStoreLink,
  type LinksOwner,
  type PartitionLinks,
  scriptOf,
} from '../src/redis/redis.js';
import { slotOf } from '../src/relay/partitions.js';
import { CertificateFolder } from './certificates.js';
import { monitorRedis } from './redis-monitor.js';
import { until } from './wait.js';

interface LogLine {
  readonly event: string;
  readonly msg: string;
  readonly shard?: string;
}

/** A log that tests can read. */
function newLog(): { readonly log: Logger; readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  return { lines, log: pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line)) }) };
}

/** Subscribes to one channel whenever it can, as the relay does, and remembers what it receives. */
class Listener implements LinksOwner {
  readonly links: PartitionLinks;
  readonly received: string[] = [];
  /** What has happened to the connections. */
  readonly events: string[] = [];
  /** The server at which the subscription is confirmed; null if it is not. */
  at: string | null = null;
  readonly channel: string;
  provenAt = Number.NEGATIVE_INFINITY;

  constructor(
    connections: ClusterConnections,
    readonly tag: string,
    private readonly beforeSubscribe: () => Promise<void> = async () => {},
  ) {
    this.channel = `test:{${tag}}:topic:news`;
    this.links = connections.open(tag, slotOf(tag), this);
  }

  onPublisherReady(): void {
    this.events.push('publisherReady');
  }

  onPublisherLost(): void {
    this.events.push('publisherLost');
  }

  onSubscriberReady(): void {
    this.events.push('subscriberReady');
    void this.#subscribe();
  }

  onSubscriberLost(): void {
    this.events.push('subscriberLost');
    this.at = null;
  }

  onMessage({ bytes, start, end }: { readonly bytes: Buffer; readonly start: number; readonly end: number }): void {
    this.received.push(bytes.toString('utf8', start, end));
  }

  /** Publishes and waits for the message. */
  async expectDelivery(message: string, through = this.links): Promise<void> {
    // The connection that publishes may be ready later than the one that listens.
    await until(`${this.tag} publishes ${message}`, async () => {
      const [error] = await through.publisher.publish([{ channel: this.channel, message: Buffer.from(message) }]);
      return error === null;
    });
    await until(`${this.tag} receives ${message}`, () => this.received.includes(message));
  }

  async #subscribe(): Promise<void> {
    await this.beforeSubscribe();
    await this.links.subscriber.subscribe([this.channel]).then(
      () => {
        this.at = this.links.server?.name ?? null;
      },
      () => {
        // The connection is lost, and this is called again.
      },
    );
  }
}

function settingsOf(cluster: Pick<RedisClusterProcess, 'servers'>): ClusterSettings {
  const seeds = cluster.servers.map(({ port }) => `redis://127.0.0.1:${port}`);
  return {
    redisUrl: seeds[0] as string,
    seeds,
    // Only for servers that hang: a busy machine may need more than a second.
    redisTimeoutMs: 10_000,
    nodeName: 'test',
    durableTimeoutMs: 100,
    usesDurable: false,
  };
}

class Node implements AsyncDisposable {
  readonly #log = newLog();
  readonly connections: ClusterConnections;
  readonly listeners: readonly Listener[];

  constructor(
    cluster: Pick<RedisClusterProcess, 'servers'>,
    tags: readonly string[],
    settings: Partial<ClusterSettings> = {},
  ) {
    this.connections = new ClusterConnections(
      { ...settingsOf(cluster), ...settings },
      this.#log.log,
      new Metrics().counters,
    );
    this.listeners = tags.map((tag) => new Listener(this.connections, tag));
  }

  get log(): readonly LogLine[] {
    return this.#log.lines;
  }

  listener(tag: string): Listener {
    return this.listeners.find((listener) => listener.tag === tag) as Listener;
  }

  /** Resolves when all partitions listen at the masters of their slots. */
  async untilServed(cluster: RedisClusterProcess): Promise<void> {
    for (const { links, tag, ...listener } of this.listeners)
      await until(`${tag} listens at its master, ${JSON.stringify(listener)}`, async () => {
        const owner = nameOf(await cluster.masterOf(links.slot));
        return this.listener(tag).at === owner && links.publisher.isReady;
      });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connections.close();
  }
}

const nameOf = ({ port }: RedisProcess): string => `127.0.0.1:${port}`;

/** The connections of nodes at a server, without those of replicas and of tests. */
async function linksAt(server: RedisProcess): Promise<string[]> {
  const list = String(await redisCommand(server.port, ['CLIENT', 'LIST']));
  return [...list.matchAll(/ name=fanfare:test:(\S+)/g)].map(([, name = '']) => name).toSorted();
}

/** Tags whose slots are spread over all masters. */
const tags = ['a', 'b', 'c', 'd', 'e', 'f'];

describe('partitions of a Redis Cluster', () => {
  let cluster: RedisClusterProcess;
  beforeAll(async () => {
    cluster = await startRedisCluster();
  });
  afterAll(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  it('share the connections to their masters, and receive only their own messages', async () => {
    await using node = new Node(cluster, tags, { usesDurable: true });
    await node.untilServed(cluster);
    for (const listener of node.listeners) await listener.expectDelivery(`for ${listener.tag}`);
    for (const { received, tag } of node.listeners) expect(received).toEqual([`for ${tag}`]);
    const masters = new Set(await Promise.all(tags.map((tag) => cluster.masterOf(slotOf(tag)))));
    expect(masters.size).toBe(3);
    for (const server of cluster.servers) {
      const expected = masters.has(server) ? ['durable', 'publisher', 'subscriber'] : [];
      await until('there are no other connections', async () => `${await linksAt(server)}` === `${expected}`);
    }
    expect(node.log.filter(({ event }) => event === 'redisError')).toEqual([]);
  });

  it('follow their slot, and others at the same master notice nothing', async () => {
    const [moving = '', staying = ''] = await tagsOfOneMaster(cluster);
    await using node = new Node(cluster, [moving, staying]);
    await node.untilServed(cluster);
    const { events, links } = node.listener(moving);
    const from = await cluster.masterOf(links.slot);
    const target = await otherMaster(cluster, from);
    await cluster.moveSlot(links.slot, target);
    await until('it listens at the new master', () => node.listener(moving).at === nameOf(target));
    for (const listener of node.listeners) await listener.expectDelivery('after the move');
    expect(events).toEqual([
      'publisherReady',
      'subscriberReady',
      'subscriberLost',
      'publisherLost',
      'publisherReady',
      'subscriberReady',
    ]);
    expect(node.listener(staying).events).toEqual(['publisherReady', 'subscriberReady']);
    expect(node.log.filter(({ event }) => event === 'redisError')).toEqual([]);
    await cluster.moveSlot(links.slot, from);
    await until('it listens at the first master', () => node.listener(moving).at === nameOf(from));
  });

  it('stay where they are while their slot moves, although keys are refused', async () => {
    await using node = new Node(cluster, ['a']);
    await node.untilServed(cluster);
    const listener = node.listener('a');
    const { links, events } = listener;
    const from = await cluster.masterOf(links.slot);
    const to = await otherMaster(cluster, from);
    const [fromId, toId] = await Promise.all([from, to].map(({ port }) => redisCommand(port, ['CLUSTER', 'MYID'])));
    const setSlot = ['CLUSTER', 'SETSLOT', String(links.slot)];
    await redisCommand(from.port, ['SET', 'test:{a}:there', '1']);
    await redisCommand(to.port, [...setSlot, 'IMPORTING', String(fromId)]);
    await redisCommand(from.port, [...setSlot, 'MIGRATING', String(toId)]);
    const script = scriptOf("return redis.call('EXISTS', KEYS[1])");
    await links.publisher.load([script]);
    const call = async (...keys: string[]): Promise<string> =>
      String((await links.publisher.evaluate([{ script, keys, args: [] }]))[0]);
    expect(await call('test:{a}:missing')).toMatch(/ASK /);
    const answer = await call('test:{a}:there', 'test:{a}:missing');
    expect(answer).toMatch(/TRYAGAIN/);
    // As if two probes had been refused.
    links.publisher.noteWrite(new Error(answer.replace('RedisError: ', '')));
    links.replace('it accepts no publications', performance.now());
    await listener.expectDelivery('while the slot moves');
    expect(events).toEqual(['publisherReady', 'subscriberReady']);
    expect(links.fault).toContain('The Redis Cluster is moving a slot to another server.');
    await redisCommand(from.port, ['DEL', 'test:{a}:there']);
    await redisCommand(from.port, [...setSlot, 'STABLE']);
    await redisCommand(to.port, [...setSlot, 'STABLE']);
  });

  it('get no other answer for an UNSUBSCRIBE that crosses the move of their slot', async () => {
    const [moving = '', staying = ''] = await tagsOfOneMaster(cluster);
    await using node = new Node(cluster, [moving, staying]);
    await node.untilServed(cluster);
    const { links, channel } = node.listener(moving);
    const from = await cluster.masterOf(links.slot);
    const to = await otherMaster(cluster, from);
    const toId = String(await redisCommand(to.port, ['CLUSTER', 'MYID']));
    const admin = connect(from.port, '127.0.0.1');
    // Redis has accepted this connection, and so it reads the two commands in the order in which they arrive.
    admin.write('PING\r\n');
    await once(admin, 'data');
    admin.write(`CLUSTER SETSLOT ${links.slot} NODE ${toId}\r\n`);
    const unsubscribed = links.subscriber.unsubscribe([channel]);
    const other = node.listener(staying);
    const subscribed = other.links.subscriber.subscribe([`${other.channel}2`]);
    await expect(unsubscribed).rejects.toThrow(/MOVED/);
    await subscribed;
    admin.destroy();
    const fromId = String(await redisCommand(from.port, ['CLUSTER', 'MYID']));
    for (const state of [`IMPORTING ${fromId}`, `NODE ${toId}`])
      await redisCommand(to.port, ['CLUSTER', 'SETSLOT', String(links.slot), ...state.split(' ')]);
    await until('it listens at the new master', () => node.listener(moving).at === nameOf(to));
    for (const listener of node.listeners) await listener.expectDelivery('after the move');
    expect(node.listener(staying).events).toEqual(['publisherReady', 'subscriberReady']);
    await cluster.untilHealthy();
    await cluster.moveSlot(links.slot, from);
  });

  it.each(['normal', 'pubsub'])('come back after a lost connection (%s)', async (type) => {
    await using node = new Node(cluster, tags);
    await node.untilServed(cluster);
    const server = await cluster.masterOf(slotOf('a'));
    await redisCommand(server.port, ['CLIENT', 'KILL', 'TYPE', type]);
    const lost = type === 'normal' ? 'publisherLost' : 'subscriberLost';
    await until('it is noticed', () => node.listener('a').events.includes(lost));
    await node.untilServed(cluster);
    for (const listener of node.listeners) await listener.expectDelivery('after the loss');
    for (const { events, links } of node.listeners)
      expect(events.includes(lost)).toBe((await cluster.masterOf(links.slot)) === server);
  });

  it('never use a replica, whatever the Cluster says', async () => {
    await using node = new Node(cluster, ['a']);
    await node.untilServed(cluster);
    const { links } = node.listener('a');
    const master = await cluster.masterOf(links.slot);
    const [replica] = await cluster.replicasOf(master);
    await redisCommand(master.port, ['CLIENT', 'KILL', 'TYPE', 'normal']);
    node.connections.topology.move(links.slot, nameOf(replica as RedisProcess));
    await node.untilServed(cluster);
    await node.listener('a').expectDelivery('from the master');
  });

  it('notice that a master has become a replica while they subscribed', async () => {
    await using node = new Node(cluster, []);
    let failovers = 0;
    const listener = new Listener(node.connections, 'a', async () => {
      // Nothing is subscribed yet, so Redis has nothing to end.
      if (failovers++ === 0) await cluster.failover(slotOf('a'));
    });
    await until('it listens at the new master', async () => {
      return listener.at === nameOf(await cluster.masterOf(slotOf('a')));
    });
    await listener.expectDelivery('from the new master');
    expect(failovers).toBeGreaterThan(1);
  });

  it('go to the new master after a planned failover', async () => {
    await cluster.untilHealthy();
    await using node = new Node(cluster, tags);
    await using other = new Node(cluster, tags);
    await Promise.all([node.untilServed(cluster), other.untilServed(cluster)]);
    const before = await cluster.masterOf(slotOf('a'));
    await cluster.failover(slotOf('a'));
    expect(await cluster.masterOf(slotOf('a'))).not.toBe(before);
    await Promise.all([node.untilServed(cluster), other.untilServed(cluster)]);
    for (const listener of node.listeners)
      await listener.expectDelivery('after the failover', other.listener(listener.tag).links);
    await until('nobody is at the old master', async () => (await linksAt(before)).length === 0);
  });

  it('do not wait for a hung master', async () => {
    await cluster.untilHealthy();
    await using node = new Node(cluster, tags, { redisTimeoutMs: 500 });
    await node.untilServed(cluster);
    const hung = await cluster.masterOf(slotOf('a'));
    const { links, channel } = node.listener('a');
    await hung.pause();
    const published = links.publisher.publish([{ channel, message: Buffer.from('nobody knows') }]);
    expect(await published).toEqual([expect.any(Error)]);
    await node.untilServed(cluster);
    for (const listener of node.listeners) await listener.expectDelivery('from the new master');
    await hung.resume();
    await cluster.untilHealthy();
    await node.untilServed(cluster);
  });

  it('go to the replica of a killed master, without hundreds of attempts to connect', async () => {
    await cluster.untilHealthy();
    await using node = new Node(cluster, tags);
    await node.untilServed(cluster);
    const killed = await cluster.masterOf(slotOf('a'));
    await killed.kill();
    let attempts = 0;
    const impostor = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', (bytes) => {
        if (bytes.includes('fanfare:test:')) attempts++;
        socket.destroy();
      });
    });
    impostor.listen(killed.port, '127.0.0.1');
    await once(impostor, 'listening');
    await until('another master has the slot', async () => (await cluster.masterOf(slotOf('a'))) !== killed);
    await node.untilServed(cluster);
    for (const listener of node.listeners) await listener.expectDelivery('from the new master');
    await new Promise((resolve) => impostor.close(resolve));
    // Two connections, each with pauses of about a second.
    expect(attempts).toBeGreaterThan(0);
    expect(attempts).toBeLessThan(50);
    expect(node.log.filter(({ event, shard }) => event === 'redisLost' && shard !== nameOf(killed))).toEqual([]);
    await killed.restart();
    await cluster.untilHealthy();
  });

  it('leave their master alone if probes of another partition come back through it', async () => {
    const [silent = '', proven = ''] = await tagsOfOneMaster(cluster);
    await using node = new Node(cluster, [silent, proven]);
    await node.untilServed(cluster);
    const { links, events } = node.listener(silent);
    const since = performance.now();
    node.listener(proven).provenAt = since;
    links.replace('it accepts no publications', since);
    await until('it has left', () => events.includes('publisherLost'));
    await node.untilServed(cluster);
    for (const listener of node.listeners) await listener.expectDelivery('afterwards');
    const ready = ['publisherReady', 'subscriberReady'];
    expect(events).toEqual([...ready, 'subscriberLost', 'publisherLost', ...ready]);
    expect(node.listener(proven).events).toEqual(ready);
    expect(node.log.filter(({ event }) => event === 'redisLost')).toEqual([]);
    expect(node.log.find(({ event }) => event === 'busDead')?.msg).toContain(`Probes of slot ${links.slot} do not`);
  });

  it('reconnect together if the probes of none come back through their master', async () => {
    const [silent = '', other = ''] = await tagsOfOneMaster(cluster);
    await using node = new Node(cluster, [silent, other]);
    await node.untilServed(cluster);
    node.listener(other).provenAt = performance.now() - 1;
    node.listener(silent).links.replace('it accepts no publications', performance.now());
    for (const { events } of node.listeners) expect(events).toContain('publisherLost');
    for (const { events } of node.listeners) expect(events).toContain('subscriberLost');
    await node.untilServed(cluster);
    for (const listener of node.listeners) await listener.expectDelivery('afterwards');
  });

  it('do not ask the server that they have just left where they are, if another one can be asked', async () => {
    const left = await cluster.masterOf(slotOf('a'));
    let elsewhere = '';
    for (const tag of tags) if ((await cluster.masterOf(slotOf(tag))) !== left) elsewhere = tag;
    await using node = new Node(cluster, ['a', elsewhere]);
    await node.untilServed(cluster);
    using monitor = await monitorRedis(left);
    const listener = node.listener('a');
    listener.provenAt = performance.now();
    listener.links.replace('it accepts no publications', listener.provenAt);
    const indexOf = (command: string): number => monitor.commands.findIndex(([name]) => name === command);
    await until('it subscribes again', () => indexOf('ssubscribe') !== -1);
    // ROLE is the last that the partition has sent before.
    const meanwhile = monitor.commands.slice(indexOf('role'), indexOf('ssubscribe')).map(([name]) => name);
    expect(meanwhile).toContain('role');
    expect(meanwhile).not.toContain('cluster');
    await listener.expectDelivery('afterwards');
  });

  it('are served if only one seed works, and that is a replica', async () => {
    await cluster.untilHealthy();
    const dead = await startRedis();
    await dead.kill();
    const [replica] = await cluster.replicasOf(await cluster.masterOf(slotOf('a')));
    const seeds = [dead.url, replica?.url ?? ''];
    await using node = new Node(cluster, tags, { seeds });
    await node.untilServed(cluster);
    await dead[Symbol.asyncDispose]();
  });

  it('of authentication: its connection follows the slot', async () => {
    await using node = new Node(cluster, []);
    const slot = slotOf('a');
    let readies = 0;
    const store = new ClusterStoreLink(
      node.connections.topology,
      slot,
      settingsOf(cluster),
      newLog().log,
      new Metrics().counters,
      { onReady: () => readies++ },
    );
    await until('it is connected', () => store.isReady);
    await store.run([['SET', 'test:{a}:value', '1']]);
    const from = await cluster.masterOf(slot);
    await cluster.moveSlot(slot, await otherMaster(cluster, from));
    await until('it reads the value at the new master', async () => {
      return (await store.run([['GET', 'test:{a}:value']]).catch(() => [null]))[0] === '1';
    });
    expect(readies).toBe(2);
    await cluster.failover(slot);
    await until('it writes at the new master', async () => {
      return (await store.run([['DEL', 'test:{a}:value']]).catch(() => [null]))[0] === 1;
    });
    await store.close();
  });
});

describe('a Redis Cluster of one server', () => {
  /** Stops itself, and has all slots. */
  async function startOne(...args: readonly string[]): Promise<RedisProcess> {
    // By default the bus uses another port that may be taken.
    const busPort = String(await findFreePort());
    const redis = await startRedis({ args: ['--cluster-enabled', 'yes', '--cluster-port', busPort, ...args] });
    await redisCommand(redis.port, ['CLUSTER', 'ADDSLOTSRANGE', '0', '16383']);
    await untilServing(redis);
    return redis;
  }

  const untilServing = (redis: RedisProcess): Promise<true> =>
    until('it serves', async () =>
      String(await redisCommand(redis.port, ['CLUSTER', 'INFO'])).includes('cluster_state:ok'),
    );

  it('is used with TLS, and with the user and password of the seed', async () => {
    using folder = new CertificateFolder('redis');
    const port = await findFreePort();
    const files = ['--tls-cert-file', folder.certFile, '--tls-key-file', folder.keyFile];
    const tls = ['--tls-port', String(port), '--tls-cluster', 'yes', ...files, '--tls-ca-cert-file', folder.certFile];
    const user = ['--user', 'node', 'on', '>secret', '~test:*', '&test:*', '+@all'];
    await using redis = await startOne(...tls, '--tls-auth-clients', 'no', ...user);
    const seeds = [`rediss://node:secret@localhost:${port}`];
    await using node = new Node({ servers: [redis] }, ['a'], { seeds, redisCaFile: folder.certFile });
    const listener = node.listener('a');
    await until('it listens', () => listener.at === `localhost:${port}`);
    await listener.expectDelivery('with TLS');
  });

  it('is used again as soon as it has the slot again', async () => {
    await using redis = await startOne();
    await using node = new Node({ servers: [redis] }, ['a']);
    const listener = node.listener('a');
    await until('it listens', () => listener.at !== null);
    await redisCommand(redis.port, ['CLUSTER', 'DELSLOTS', String(slotOf('a'))]);
    await until('its subscription has ended', () => listener.at === null);
    expect(listener.links.publisher.isReady).toBe(false);
    await until('the reason is known', () => {
      return listener.links.fault?.startsWith(`No server of the Redis Cluster has slot ${slotOf('a')}.`) === true;
    });
    await redisCommand(redis.port, ['CLUSTER', 'ADDSLOTS', String(slotOf('a'))]);
    await until('it listens', () => listener.at !== null);
    await listener.expectDelivery('again');
  });

  it.each(['role', 'cluster|slots'])(
    'has a fault if its user may not run a command, and is used later: %s',
    async (command) => {
      await using redis = await startOne();
      await redisCommand(redis.port, ['ACL', 'SETUSER', 'default', `-${command}`]);
      await using node = new Node({ servers: [redis] }, ['a']);
      const { links } = node.listener('a');
      const sentence = await until('it has a fault', () => links.fault);
      expect(sentence).toContain(command.toUpperCase());
      expect(node.log.some(({ event, msg }) => event === 'redisError' && msg === sentence)).toBe(true);
      await redisCommand(redis.port, ['ACL', 'SETUSER', 'default', `+${command}`]);
      await until('it is used when the permission is there', () => node.listener('a').at !== null);
    },
  );

  it('is not left while it refuses all commands because another slot has no server', async () => {
    await using redis = await startOne('--cluster-allow-pubsubshard-when-down', 'no');
    await using node = new Node({ servers: [redis] }, ['a']);
    const { links, events, channel } = node.listener('a');
    await until('it listens', () => node.listener('a').at !== null);
    await redisCommand(redis.port, ['CLUSTER', 'DELSLOTS', String(slotOf('b'))]);
    const down = 'The Redis Cluster is down: a master has failed and has no replacement yet, or slots have no server.';
    await until('it refuses publications', async () => {
      const [error = null] = await links.publisher.publish([{ channel, message: Buffer.from('refused') }]);
      links.publisher.noteWrite(error);
      return error?.message.startsWith('CLUSTERDOWN') === true;
    });
    expect(links.fault).toContain(down);
    // As if two probes had been refused.
    links.replace('it accepts no publications', performance.now());
    expect(events).toEqual(['publisherReady', 'subscriberReady']);
    // A new subscription is refused, so everything is subscribed again when that is possible.
    await expect(links.subscriber.subscribe([`${channel}2`])).rejects.toThrow('CLUSTERDOWN');
    expect(events).toEqual(['publisherReady', 'subscriberReady', 'subscriberLost']);
    await redisCommand(redis.port, ['CLUSTER', 'ADDSLOTS', String(slotOf('b'))]);
    await untilServing(redis);
    await until('it listens', () => node.listener('a').at !== null);
    await node.listener('a').expectDelivery('again');
    expect(events).not.toContain('publisherLost');
    expect(node.log.filter(({ event }) => event === 'busDead')).toEqual([]);
  });
});

describe('the map of slots', () => {
  const text = (value: string): Buffer => Buffer.from(value);

  it('has the addresses that the servers announce', () => {
    const slots = SlotMap.read(
      [
        [0, 99, [text('10.0.0.1'), 6379, text('id'), []], [text('10.0.0.2'), 6380, text('id'), []]],
        [200, 200, [text('fd00::1'), 6379, text('id'), []]],
        [300, 399, [text(''), 7000, text('id'), []]],
        [400, 499, [null, 7001, text('id'), []]],
        [500, 599, [text('?'), 7002, text('id'), []]],
      ],
      '[::1]:6379',
    );
    expect([0, 99, 100, 200, 350, 450, 550].map((slot) => slots.ownerOf(slot))).toEqual([
      '10.0.0.1:6379',
      '10.0.0.1:6379',
      null,
      '[fd00::1]:6379',
      '[::1]:7000',
      '[::1]:7001',
      null,
    ]);
    expect([...slots.servers]).toContain('10.0.0.2:6380');
  });

  it.each([
    ['MOVED 3999 10.0.0.1:6379', { slot: 3999, server: '10.0.0.1:6379' }],
    ['MOVED 1 fd00::1:6379', { slot: 1, server: '[fd00::1]:6379' }],
    ['MOVED 1 :7000', { slot: 1, server: 'redis:7000' }],
    ['ASK 3999 10.0.0.1:6379', null],
    ['CLUSTERDOWN Hash slot not served', null],
  ])('is corrected by MOVED: %s', (message, moved) => {
    expect(readMoved(new Error(message), 'redis:6379')).toEqual(moved);
  });

  it('is not read from a reply of another kind', () => {
    expect(() => SlotMap.read('OK', 'redis:6379')).toThrow('unexpected reply to CLUSTER SLOTS');
  });
});

describe('a server that is no Redis Cluster', () => {
  it('is refused with a sentence', async () => {
    await using redis = await startRedis();
    await using node = new Node({ servers: [redis] }, ['a']);
    const sentence =
      'FANFARE_REDIS_URL names a Redis Cluster, but this server does not belong to one (cluster-enabled no). Write redis://host:6379 for a single Redis.';
    await until('it is logged', () => node.log.some(({ event, msg }) => event === 'redisError' && msg === sentence));
    expect(node.listener('a').links.fault).toBe(sentence);
  });
});

async function otherMaster(cluster: RedisClusterProcess, master: RedisProcess): Promise<RedisProcess> {
  const masters = await Promise.all([0, 8_192, 16_383].map((slot) => cluster.masterOf(slot)));
  return masters.find((other) => other !== master) as RedisProcess;
}

/** Two tags whose slots one master has. */
async function tagsOfOneMaster(cluster: RedisClusterProcess): Promise<readonly string[]> {
  const master = await cluster.masterOf(slotOf('a'));
  const found: string[] = [];
  for (const tag of tags) if ((await cluster.masterOf(slotOf(tag))) === master) found.push(tag);
  return found;
}
