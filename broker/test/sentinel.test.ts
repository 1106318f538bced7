/** Redis with Sentinels: the nodes find the master, and the next one after a failover. */
import { readFileSync } from 'node:fs';
import { type RedisProcess, type SentinelProcess, startRedis, startSentinel } from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { describe, expect, it, vi } from 'vitest';
import { createApiKey } from '../src/auth/api-keys.js';
import { SentinelWatch } from '../src/redis/sentinel-watch.js';
import { commandsForAll, commandsIn, commandsPermitted } from './acl.js';
import { CertificateFolder } from './certificates.js';
import { startCluster, type TestNode } from './harness.js';
import { until } from './wait.js';

const settingsLines = ({ log }: TestNode) => log.filter(({ event }) => event === 'redisSettings').map(({ msg }) => msg);

const quick = { FANFARE_REDIS_TIMEOUT_MS: '500' };

/** A master and a replica that follows it. */
class Pair implements AsyncDisposable {
  private constructor(
    readonly master: RedisProcess,
    readonly replica: RedisProcess,
    /** Connections of the test to both. */
    readonly admin: Redis,
    readonly next: Redis,
  ) {}

  static async start(): Promise<Pair> {
    const master = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
    const replica = await startRedis({ args: ['--replicaof', `127.0.0.1 ${master.port}`] });
    const admin = new Redis(master.url);
    await until('the replica follows', async () => (await admin.info('replication')).includes('state=online'));
    return new Pair(master, replica, admin, new Redis(replica.url));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const redis of [this.admin, this.next]) redis.disconnect();
    await Promise.all([this.master, this.replica].map((redis) => redis[Symbol.asyncDispose]()));
  }
}

/** A Sentinel that knows master and replica, and a connection to it. */
async function watching({ master }: Pair, lines: readonly string[] = []): Promise<[SentinelProcess, Redis]> {
  const sentinel = await startSentinel({ masterName: 'mymaster', masterPort: master.port, lines });
  const admin = new Redis({ port: sentinel.port });
  await until('the Sentinel knows the replica', async () => /slaves=1/.test(await admin.info('sentinel')));
  return [sentinel, admin];
}

/** The connections of nodes that a Redis or Sentinel has, by their names. */
async function namesAt(redis: Redis): Promise<string[]> {
  const lines = String(await redis.client('LIST')).split('\n');
  return lines.flatMap((line) => / name=fanfare:(\S+)/.exec(line)?.[1] ?? []).toSorted();
}

/** The id of the connection by which a node listens to the announcements of this Sentinel; null if it does not. */
async function listenerOf(sentinel: Redis): Promise<string | null> {
  return /^id=(\d+) .* name=fanfare:\S+:sentinels .* sub=1 /m.exec(String(await sentinel.client('LIST')))?.[1] ?? null;
}

/** Makes the replica the master, as soon as the Sentinel finds it fit for that. */
async function failOver(sentinel: Redis): Promise<void> {
  await until('the Sentinel begins', () =>
    sentinel.call('SENTINEL', 'FAILOVER', 'mymaster').then(
      () => true,
      (error: Error) => {
        if (error.message.startsWith('NOGOODSLAVE')) return false;
        throw error;
      },
    ),
  );
}

const logged = ({ log }: TestNode, event: string) => log.filter((line) => line.event === event);

describe('Redis with Sentinels', () => {
  it('is found by them, and after a failover again: what was acknowledged is kept, subscribers go on', async () => {
    await using master = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
    await using replica = await startRedis({ args: ['--replicaof', `127.0.0.1 ${master.port}`] });
    const admin = new Redis(master.url);
    await until('the replica follows', async () => (await admin.info('replication')).includes('state=online'));
    await using sentinel = await startSentinel({ masterName: 'mymaster', masterPort: master.port });
    const sentinelAdmin = new Redis({ port: sentinel.port });
    await until('the Sentinel knows the replica', async () => {
      const info = await sentinelAdmin.info('sentinel');
      return /slaves=1/.test(info);
    });
    // The first one does not answer: the second is asked.
    const url = `redis+sentinel://127.0.0.1:1,127.0.0.1:${sentinel.port}/mymaster`;
    await using cluster = await startCluster({ nodes: 2, redis: false, env: { ...quick, FANFARE_REDIS_URL: url } });
    const reader = await cluster.subscriber('t', 1);
    const writer = await cluster.connect(0);
    expect(await writer.publish('t', 1)).toMatchObject({ type: 'published' });
    expect(await reader.take('t', 1)).toEqual([1]);
    // Asynchronous replication: only what the replica has is to be kept.
    await admin.call('WAIT', '1', '0');
    admin.disconnect();
    await master.kill();
    await until('a publication is accepted', async () => (await writer.publish('t', 2)).type === 'published');
    expect(await reader.take('t', 1)).toEqual([2]);
    expect(await sentinelAdmin.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'mymaster')).toEqual([
      '127.0.0.1',
      String(replica.port),
    ]);
    sentinelAdmin.disconnect();
    // Of both masters, but once.
    for (const node of cluster.nodes)
      expect(settingsLines(node)).toEqual([expect.stringContaining('Set min-replicas-to-write 1')]);
  });

  it('is followed in a planned failover at once, before the old master is demoted: nothing is lost or told', async () => {
    await using master = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
    await using replica = await startRedis({ args: ['--replicaof', `127.0.0.1 ${master.port}`] });
    const [admin, next] = [new Redis(master.url), new Redis(replica.url)];
    await until('the replica follows', async () => (await admin.info('replication')).includes('state=online'));
    await using sentinel = await startSentinel({ masterName: 'mymaster', masterPort: master.port });
    const sentinelAdmin = new Redis({ port: sentinel.port });
    await until('the Sentinel knows the replica', async () => /slaves=1/.test(await sentinelAdmin.info('sentinel')));
    const url = `redis+sentinel://127.0.0.1:${sentinel.port}/mymaster`;
    await using cluster = await startCluster({ nodes: 2, redis: false, env: { ...quick, FANFARE_REDIS_URL: url } });
    const reader = await cluster.subscriber('t', 1);
    const writer = await cluster.connect(0);
    let accepted = 0;
    const publish = () =>
      until('a publication is accepted', async () => {
        const publication = { type: 'publish', topic: 't', data: accepted, messageId: `m${accepted}` } as const;
        return (await writer.request(publication)).type === 'published';
      });
    for (; accepted < 50; accepted++) await publish();
    await failOver(sentinelAdmin);
    const nodesAt = async (redis: Redis) =>
      String(await redis.client('LIST'))
        .split('\n')
        .filter((line) => line.includes(':publisher')).length;
    while ((await nodesAt(next)) < 2) {
      await publish();
      accepted++;
    }
    expect(await admin.info('replication')).toContain('role:master');
    for (const end = accepted + 50; accepted < end; accepted++) await publish();
    expect(await reader.take('t', accepted)).toEqual(Array.from({ length: accepted }, (_, number) => number));
    expect(reader.inbox.waiting).toEqual([]);
    for (const each of [admin, next, sentinelAdmin]) each.disconnect();
  });

  it('is followed in a planned failover although one of them hears of it later', async () => {
    await using pair = await Pair.start();
    const { master, replica, admin, next } = pair;
    // Neither hears what the Sentinels tell each other by way of Redis, nor changes what the first one does.
    for (const redis of [admin, next])
      await redis.call('ACL', 'SETUSER', 'deaf', 'on', '>x', '~*', 'resetchannels', '+@all', '-replicaof', '-slaveof');
    const [first, firstAdmin] = await watching(pair);
    const deaf = ['sentinel auth-user mymaster deaf', 'sentinel auth-pass mymaster x'];
    const [late, lateAdmin] = await watching(pair, deaf);
    await using _first = first;
    await using _late = late;
    const url = `redis+sentinel://127.0.0.1:${first.port},127.0.0.1:${late.port}/mymaster`;
    await using cluster = await startCluster({ env: { ...quick, FANFARE_REDIS_URL: url } });
    const node = cluster.node();
    const both = ['node-0:publisher', 'node-0:subscriber'];
    expect(await namesAt(admin)).toEqual(both);

    await failOver(firstAdmin);
    await until('the node uses the new master', async () => String(await namesAt(next)) === String(both));
    await until('and only that one', async () => (await namesAt(admin)).length === 0);
    // Neither because the old master was demoted, nor because the other Sentinel has heard of it.
    expect(await admin.info('replication')).toContain('role:master');
    expect(await lateAdmin.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'mymaster')).toContain(String(master.port));
    expect(logged(node, 'masterAnnounced').map(({ msg }) => msg)).toEqual([
      `The Sentinel at 127.0.0.1:${first.port} announced a new master: 127.0.0.1:${replica.port} replaces 127.0.0.1:${master.port}.`,
    ]);
    await until('it is ready', async () => (await node.readiness()).status === 200);
    const lost = logged(node, 'redisLost').map(({ msg }) => msg);
    expect(lost.length).toBeGreaterThanOrEqual(2);
    expect(new Set(lost)).toEqual(
      new Set([
        `Closed the connection to Redis: the Sentinels announced 127.0.0.1:${replica.port} as the new master. Reconnecting.`,
      ]),
    );

    // The late one hears of it, as one Sentinel tells it to another. The node is where it should be, and stays.
    const about = await firstAdmin.info('sentinel');
    expect(about).toContain(`127.0.0.1:${replica.port}`);
    const [id, epoch] = [await firstAdmin.call('SENTINEL', 'MYID'), '7'];
    const hello = ['127.0.0.1', first.port, id, epoch, 'mymaster', '127.0.0.1', replica.port, epoch].join(',');
    await lateAdmin.publish('__sentinel__:hello', hello);
    await until('the node hears of it again', () => logged(node, 'masterAnnounced').length === 2);
    expect(await (await cluster.connect()).publish('t', 1)).toMatchObject({ type: 'published' });
    expect(logged(node, 'redisLost').length).toBe(lost.length);
    for (const redis of [firstAdmin, lateAdmin]) redis.disconnect();
  });

  it('are believed for 20 s: after that a server is used again of which another announcement was missed', async () => {
    await using pair = await Pair.start();
    const { master, replica } = pair;
    const [sentinel, sentinelAdmin] = await watching(pair);
    await using _ = sentinel;
    const settings = {
      redisUrl: `redis+sentinel://127.0.0.1:${sentinel.port}/mymaster`,
      redisTimeoutMs: 500,
      nodeName: 'a',
    };
    const watch = SentinelWatch.start(settings, pino({ level: 'silent' }));
    if (watch === null) throw new Error('There are Sentinels.');
    await until('it listens', () => listenerOf(sentinelAdmin));
    expect(watch.replacementOf('127.0.0.1', master.port)).toBeNull();
    const announced = new Promise<void>((resolve) => watch.add(resolve));
    await failOver(sentinelAdmin);
    await announced;
    try {
      expect(watch.replacementOf('127.0.0.1', master.port)).toBe(`127.0.0.1:${replica.port}`);
      expect(watch.replacementOf('127.0.0.1', replica.port)).toBeNull();
      vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 20_000);
      expect(watch.replacementOf('127.0.0.1', master.port)).toBeNull();
    } finally {
      vi.restoreAllMocks();
      watch.close();
      sentinelAdmin.disconnect();
    }
  });

  it('have one connection of a node that listens to them, whatever the node uses', async () => {
    await using pair = await Pair.start();
    const [sentinel, sentinelAdmin] = await watching(pair);
    await using _ = sentinel;
    const { entry } = createApiKey('test');
    const url = `redis+sentinel://127.0.0.1:${sentinel.port}/mymaster`;
    const env = {
      ...quick,
      FANFARE_REDIS_URL: url,
      FANFARE_TOPICS: '{"d":{"level":"durable"}}',
      FANFARE_AUTH: JSON.stringify({ apiKeys: [{ ...entry, permissions: {} }] }),
    };
    const cluster = await startCluster({ env });
    await until('all are connected', () => logged(cluster.node(), 'redisConnected').length === 4);
    await until('one listens', async () => String(await namesAt(sentinelAdmin)) === 'node-0:sentinels');
    await cluster[Symbol.asyncDispose]();
    await until('it is closed with the node', async () => (await namesAt(sentinelAdmin)).length === 0);
    sentinelAdmin.disconnect();
  });

  it('have a user that suffices and is permitted no more, as docs/operations.md gives it', async () => {
    const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
    const rule = /^user fanfare .*$/m.exec(page)?.[0] ?? '';
    await using pair = await Pair.start();
    const [sentinel, sentinelAdmin] = await watching(pair, [rule]);
    await using _ = sentinel;
    const url = `redis+sentinel://127.0.0.1:${sentinel.port}/mymaster?sentinelUsername=fanfare&sentinelPassword=password`;
    await using cluster = await startCluster({ env: { ...quick, FANFARE_REDIS_URL: url } });
    await until('it listens', () => listenerOf(sentinelAdmin));
    await failOver(sentinelAdmin);
    await until('it follows', async () => (await namesAt(pair.next)).length === 2);
    expect(logged(cluster.node(), 'sentinelRefused')).toEqual([]);
    const confined = new Redis({
      port: sentinel.port,
      username: 'fanfare',
      password: 'password',
      enableReadyCheck: false,
    });
    expect(await commandsPermitted(sentinelAdmin, confined)).toEqual(commandsIn(rule));
    expect((await commandsForAll(sentinelAdmin)).toSorted()).toEqual(['auth', 'hello']);
    for (const channel of ['+sdown', '*', '__sentinel__:hello'])
      await expect(confined.subscribe(channel)).rejects.toThrow('NOPERM');
    for (const redis of [confined, sentinelAdmin]) redis.disconnect();
  });

  it.each([
    ['SUBSCRIBE', '-subscribe'],
    ['its channel', 'resetchannels'],
  ])(
    'have a user without %s: the log says so once, and the node listens as soon as it may',
    async (_what, withheld) => {
      await using pair = await Pair.start();
      const user = `user app on >secret &+switch-master +@all ${withheld}`;
      const [sentinel, sentinelAdmin] = await watching(pair, [user]);
      await using _ = sentinel;
      const where = `127.0.0.1:${sentinel.port}`;
      const url = `redis+sentinel://app:unused@${where}/mymaster?sentinelUsername=app&sentinelPassword=secret`;
      for (const redis of [pair.admin, pair.next])
        await redis.call('ACL', 'SETUSER', 'app', 'on', '>unused', '~*', '&*', '+@all');
      await using cluster = await startCluster({ env: { ...quick, FANFARE_REDIS_URL: url } });
      const refusals = () => logged(cluster.node(), 'sentinelRefused').map(({ msg }) => msg);
      await until('it is logged', () => refusals().length > 0);
      expect(await listenerOf(sentinelAdmin)).toBeNull();
      // Each connection asks again.
      for (let round = 0; round < 3; round++) {
        await sentinelAdmin.call('ACL', 'LOG', 'RESET');
        await sentinelAdmin.client('KILL', 'USER', 'app');
        await until('it is refused again', async () => String(await sentinelAdmin.call('ACL', 'LOG')) !== '');
      }
      expect(refusals()).toEqual([
        expect.stringContaining(`The Sentinel at ${where} does not permit this node to subscribe`),
      ]);
      await sentinelAdmin.call('ACL', 'SETUSER', 'app', '+subscribe', '&+switch-master');
      await sentinelAdmin.client('KILL', 'USER', 'app');
      await until('it listens', () => listenerOf(sentinelAdmin));
      sentinelAdmin.disconnect();
    },
  );

  it('get the password that its file has now, also from the connection that listens', async () => {
    await using pair = await Pair.start();
    const [sentinel, sentinelAdmin] = await watching(pair, ['user app on >old &* +@all']);
    await using _ = sentinel;
    using folder = new CertificateFolder('unused');
    const file = folder.write('password', 'old\n');
    const url = `redis+sentinel://127.0.0.1:${sentinel.port}/mymaster?sentinelUsername=app`;
    const env = { ...quick, FANFARE_REDIS_URL: url, FANFARE_REDIS_SENTINEL_PASSWORD_FILE: file };
    await using cluster = await startCluster({ env });
    const before = await until('it listens', () => listenerOf(sentinelAdmin));
    folder.write('password', 'new\n');
    await sentinelAdmin.call('ACL', 'SETUSER', 'app', 'resetpass', '>new');
    await sentinelAdmin.client('KILL', 'USER', 'app');
    await until('it listens again', async () => ![null, before].includes(await listenerOf(sentinelAdmin)));
    await failOver(sentinelAdmin);
    await until('it follows', async () => (await namesAt(pair.next)).length === 2);
    expect(logged(cluster.node(), 'sentinelRefused')).toEqual([]);
    sentinelAdmin.disconnect();
  });

  it('has nothing said of its settings where a master that was cut off does not go on', async () => {
    await using master = await startRedis({
      args: ['--repl-diskless-sync-delay', '0', '--min-replicas-to-write', '1'],
    });
    await using _replica = await startRedis({ args: ['--replicaof', `127.0.0.1 ${master.port}`] });
    await using sentinel = await startSentinel({ masterName: 'mymaster', masterPort: master.port });
    const url = `redis+sentinel://127.0.0.1:${sentinel.port}/mymaster`;
    await using cluster = await startCluster({ env: { ...quick, FANFARE_REDIS_URL: url } });
    expect(settingsLines(cluster.node())).toEqual([]);
  });

  it('says what is wrong: no Sentinel answers, and comes to life when one does', async () => {
    await using redis = await startRedis();
    const gone = await startSentinel({ masterName: 'mymaster', masterPort: redis.port });
    await gone[Symbol.asyncDispose]();
    const url = `redis+sentinel://127.0.0.1:${gone.port}/mymaster`;
    await using cluster = await startCluster({ env: { ...quick, FANFARE_REDIS_URL: url }, waitReady: false });
    const node = cluster.node();
    await until('the log says so', () =>
      node.log.some(
        ({ msg }) =>
          msg ===
          'No Sentinel in FANFARE_REDIS_URL responds. Check that they are running and that host, port, password and TLS (rediss or redis) are correct.',
      ),
    );
    await using _ = await startSentinel({ masterName: 'mymaster', masterPort: redis.port, port: gone.port });
    await until('the node is ready', async () => (await node.readiness()).status === 200);
  });

  it('says what is wrong: the URL of a Redis leads to a Sentinel', async () => {
    await using redis = await startRedis();
    await using sentinel = await startSentinel({ masterName: 'mymaster', masterPort: redis.port });
    const url = `redis://127.0.0.1:${sentinel.port}`;
    await using cluster = await startCluster({ env: { ...quick, FANFARE_REDIS_URL: url }, waitReady: false });
    await until('the log says so', () =>
      cluster.node().log.some(({ msg }) => msg.includes('To use Sentinels, write redis+sentinel://host:26379/name')),
    );
  });

  it('says what is wrong: they know no master of that name', async () => {
    await using redis = await startRedis();
    await using sentinel = await startSentinel({ masterName: 'mymaster', masterPort: redis.port });
    const url = `redis+sentinel://127.0.0.1:${sentinel.port}/other`;
    await using cluster = await startCluster({ env: { ...quick, FANFARE_REDIS_URL: url }, waitReady: false });
    await until('the log says so', () =>
      cluster
        .node()
        .log.some(
          ({ msg }) =>
            msg === 'The Sentinels in FANFARE_REDIS_URL have no master of that name. Check the name after the slash.',
        ),
    );
  });
});
