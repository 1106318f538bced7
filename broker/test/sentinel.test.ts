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

/** A Redis of a busy machine that is late is not down for the Sentinel, in milliseconds. */
const calmMs = 60_000;

/** A master and a replica of it. */
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
    await until('the replica is connected', async () => (await admin.info('replication')).includes('state=online'));
    return new Pair(master, replica, admin, new Redis(replica.url));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const redis of [this.admin, this.next]) redis.disconnect();
    await Promise.all([this.master, this.replica].map((redis) => redis[Symbol.asyncDispose]()));
  }
}

/** A Sentinel that knows master and replica, and a connection to it. */
async function watching({ master }: Pair, lines: readonly string[] = []): Promise<[SentinelProcess, Redis]> {
  const sentinel = await startSentinel({ masterName: 'mymaster', masterPort: master.port, downAfterMs: calmMs, lines });
  const admin = new Redis({ port: sentinel.port });
  await until('the Sentinel knows the replica', async () => /slaves=1/.test(await admin.info('sentinel')));
  return [sentinel, admin];
}

/** The connections of nodes to a Redis or Sentinel, by their names. */
async function namesAt(redis: Redis): Promise<string[]> {
  const lines = String(await redis.client('LIST')).split('\n');
  return lines.flatMap((line) => / name=fanfare:(\S+)/.exec(line)?.[1] ?? []).toSorted();
}

/** The id of the connection on which a node listens to the announcements of this Sentinel; null if there is none. */
async function listenerOf(sentinel: Redis): Promise<string | null> {
  return /^id=(\d+) .* name=fanfare:\S+:sentinels .* sub=1 /m.exec(String(await sentinel.client('LIST')))?.[1] ?? null;
}

/**
 * Keeps the Sentinel from demoting this master after a failover, as it otherwise does after some seconds: what nodes do
 * then, they do because of the announcement.
 */
async function refuseDemotion(master: Redis): Promise<void> {
  await master.call('ACL', 'SETUSER', 'default', '-replicaof', '-slaveof');
}

/** Makes the replica the master as soon as the Sentinel accepts it as a candidate. */
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

// Concurrent: they wait for Sentinels.
describe.concurrent('Redis with Sentinels', () => {
  it('is found through them, and again after a failover: acknowledged data is kept, and subscribers continue', async () => {
    await using master = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
    await using replica = await startRedis({ args: ['--replicaof', `127.0.0.1 ${master.port}`] });
    const admin = new Redis(master.url);
    await until('the replica is connected', async () => (await admin.info('replication')).includes('state=online'));
    await using sentinel = await startSentinel({
      masterName: 'mymaster',
      masterPort: master.port,
      downAfterMs: 3_000,
    });
    const sentinelAdmin = new Redis({ port: sentinel.port });
    await until('the Sentinel knows the replica', async () => {
      const info = await sentinelAdmin.info('sentinel');
      return /slaves=1/.test(info);
    });
    // The first one does not answer, so the node asks the second.
    const url = `redis+sentinel://127.0.0.1:1,127.0.0.1:${sentinel.port}/mymaster`;
    await using cluster = await startCluster({ nodes: 2, redis: false, env: { FANFARE_REDIS_URL: url } });
    const reader = await cluster.subscriber('t', 1);
    const writer = await cluster.connect(0);
    expect(await writer.publish('t', 1)).toMatchObject({ type: 'published' });
    expect(await reader.take('t', 1)).toEqual([1]);
    // Replication is asynchronous: only data that the replica has must survive.
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
    // One warning for both masters.
    for (const node of cluster.nodes)
      expect(settingsLines(node)).toEqual([expect.stringContaining('Set min-replicas-to-write 1')]);
  });

  it('is followed in a planned failover at once, before the old master is demoted: nothing is lost, and no client gets a notice', async () => {
    await using master = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
    await using replica = await startRedis({ args: ['--replicaof', `127.0.0.1 ${master.port}`] });
    const [admin, next] = [new Redis(master.url), new Redis(replica.url)];
    await until('the replica is connected', async () => (await admin.info('replication')).includes('state=online'));
    await using sentinel = await startSentinel({
      masterName: 'mymaster',
      masterPort: master.port,
      downAfterMs: calmMs,
    });
    const sentinelAdmin = new Redis({ port: sentinel.port });
    await until('the Sentinel knows the replica', async () => /slaves=1/.test(await sentinelAdmin.info('sentinel')));
    await refuseDemotion(admin);
    const url = `redis+sentinel://127.0.0.1:${sentinel.port}/mymaster`;
    await using cluster = await startCluster({ nodes: 2, redis: false, env: { FANFARE_REDIS_URL: url } });
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
    for (const end = accepted + 50; accepted < end; accepted++) await publish();
    expect(await reader.take('t', accepted)).toEqual(Array.from({ length: accepted }, (_, number) => number));
    expect(reader.inbox.waiting).toEqual([]);
    for (const each of [admin, next, sentinelAdmin]) each.disconnect();
  });

  it('is followed in a planned failover even if one Sentinel learns of it later', async () => {
    await using pair = await Pair.start();
    const { master, replica, admin, next } = pair;
    // The other Sentinel neither receives messages of the first one through Redis, nor changes what the first one does.
    for (const redis of [admin, next])
      await redis.call('ACL', 'SETUSER', 'deaf', 'on', '>x', '~*', 'resetchannels', '+@all', '-replicaof', '-slaveof');
    await refuseDemotion(admin);
    const [first, firstAdmin] = await watching(pair);
    const deaf = ['sentinel auth-user mymaster deaf', 'sentinel auth-pass mymaster x'];
    const [late, lateAdmin] = await watching(pair, deaf);
    await using _first = first;
    await using _late = late;
    const url = `redis+sentinel://127.0.0.1:${first.port},127.0.0.1:${late.port}/mymaster`;
    await using cluster = await startCluster({ env: { FANFARE_REDIS_URL: url } });
    const node = cluster.node();
    const both = ['node-0:publisher', 'node-0:subscriber'];
    expect(await namesAt(admin)).toEqual(both);

    await failOver(firstAdmin);
    await until('the node uses the new master', async () => String(await namesAt(next)) === String(both));
    await until('the node uses no other server', async () => (await namesAt(admin)).length === 0);
    // Not because the other Sentinel knows about it.
    expect(await lateAdmin.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'mymaster')).toContain(String(master.port));
    expect(logged(node, 'masterAnnounced').map(({ msg }) => msg)).toEqual([
      `The Sentinel at 127.0.0.1:${first.port} announced a new master: 127.0.0.1:${replica.port} replaces 127.0.0.1:${master.port}.`,
    ]);
    await until('the node is ready', async () => (await node.readiness()).status === 200);
    const lost = logged(node, 'redisLost').map(({ msg }) => msg);
    expect(lost.length).toBeGreaterThanOrEqual(2);
    expect(new Set(lost)).toEqual(
      new Set([
        `Closed the connection to Redis: the Sentinels announced 127.0.0.1:${replica.port} as the new master. Reconnecting.`,
      ]),
    );

    // The late Sentinel learns of it from the other one. The node already uses that master, and stays.
    const about = await firstAdmin.info('sentinel');
    expect(about).toContain(`127.0.0.1:${replica.port}`);
    const [id, epoch] = [await firstAdmin.call('SENTINEL', 'MYID'), '7'];
    const hello = ['127.0.0.1', first.port, id, epoch, 'mymaster', '127.0.0.1', replica.port, epoch].join(',');
    await lateAdmin.publish('__sentinel__:hello', hello);
    await until('the node gets the announcement again', () => logged(node, 'masterAnnounced').length === 2);
    expect(await (await cluster.connect()).publish('t', 1)).toMatchObject({ type: 'published' });
    expect(logged(node, 'redisLost').length).toBe(lost.length);
    for (const redis of [firstAdmin, lateAdmin]) redis.disconnect();
  });

  it('does not lead a node back to a replaced master for 20 s after an announcement', async () => {
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
    if (watch === null) throw new Error('The URL has no Sentinels.');
    await until('the node listens', () => listenerOf(sentinelAdmin));
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

  it('has one listening connection for each node, whatever the node uses', async () => {
    await using pair = await Pair.start();
    const [sentinel, sentinelAdmin] = await watching(pair);
    await using _ = sentinel;
    const { entry } = createApiKey('test');
    const url = `redis+sentinel://127.0.0.1:${sentinel.port}/mymaster`;
    const env = {
      FANFARE_REDIS_URL: url,
      FANFARE_TOPICS: '{"d":{"level":"durable"}}',
      FANFARE_AUTH: JSON.stringify({ apiKeys: [{ ...entry, permissions: {} }] }),
    };
    const cluster = await startCluster({ env });
    const all = ['auth', 'durable', 'publisher', 'subscriber'].map((link) => `node-0:${link}`);
    await until('all connections are open', async () => String(await namesAt(pair.admin)) === String(all));
    await until('one connection listens', async () => String(await namesAt(sentinelAdmin)) === 'node-0:sentinels');
    await cluster[Symbol.asyncDispose]();
    await until('the connection is closed with the node', async () => (await namesAt(sentinelAdmin)).length === 0);
    sentinelAdmin.disconnect();
  });

  it('works with a Sentinel user that has only the permissions in docs/operations.md', async () => {
    const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
    const rule = /^user fanfare .*$/m.exec(page)?.[0] ?? '';
    await using pair = await Pair.start();
    const [sentinel, sentinelAdmin] = await watching(pair, [rule]);
    await using _ = sentinel;
    const url = `redis+sentinel://127.0.0.1:${sentinel.port}/mymaster?sentinelUsername=fanfare&sentinelPassword=password`;
    await using cluster = await startCluster({ env: { FANFARE_REDIS_URL: url } });
    await until('the node listens', () => listenerOf(sentinelAdmin));
    await failOver(sentinelAdmin);
    await until('the node follows the failover', async () => (await namesAt(pair.next)).length === 2);
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
    'causes one log line if the Sentinel user lacks %s, and the node listens as soon as it has the permission',
    async (_what, withheld) => {
      await using pair = await Pair.start();
      const user = `user app on >secret &+switch-master +@all ${withheld}`;
      const [sentinel, sentinelAdmin] = await watching(pair, [user]);
      await using _ = sentinel;
      const where = `127.0.0.1:${sentinel.port}`;
      const url = `redis+sentinel://app:unused@${where}/mymaster?sentinelUsername=app&sentinelPassword=secret`;
      for (const redis of [pair.admin, pair.next])
        await redis.call('ACL', 'SETUSER', 'app', 'on', '>unused', '~*', '&*', '+@all');
      await using cluster = await startCluster({ env: { FANFARE_REDIS_URL: url } });
      const refusals = () => logged(cluster.node(), 'sentinelRefused').map(({ msg }) => msg);
      await until('the node logs it', () => refusals().length > 0);
      expect(await listenerOf(sentinelAdmin)).toBeNull();
      // Each connection tries again.
      for (let round = 0; round < 3; round++) {
        await sentinelAdmin.call('ACL', 'LOG', 'RESET');
        await sentinelAdmin.client('KILL', 'USER', 'app');
        await until(
          'the subscription is refused again',
          async () => String(await sentinelAdmin.call('ACL', 'LOG')) !== '',
        );
      }
      expect(refusals()).toEqual([
        expect.stringContaining(`The Sentinel at ${where} does not permit this node to subscribe`),
      ]);
      await sentinelAdmin.call('ACL', 'SETUSER', 'app', '+subscribe', '&+switch-master');
      await sentinelAdmin.client('KILL', 'USER', 'app');
      await until('the node listens', () => listenerOf(sentinelAdmin));
      sentinelAdmin.disconnect();
    },
  );

  it('gets the current password of the file, also from the listening connection', async () => {
    await using pair = await Pair.start();
    const [sentinel, sentinelAdmin] = await watching(pair, ['user app on >old &* +@all']);
    await using _ = sentinel;
    using folder = new CertificateFolder('unused');
    const file = folder.write('password', 'old\n');
    const url = `redis+sentinel://127.0.0.1:${sentinel.port}/mymaster?sentinelUsername=app`;
    const env = { FANFARE_REDIS_URL: url, FANFARE_REDIS_SENTINEL_PASSWORD_FILE: file };
    await using cluster = await startCluster({ env });
    const before = await until('the node listens', () => listenerOf(sentinelAdmin));
    folder.write('password', 'new\n');
    await sentinelAdmin.call('ACL', 'SETUSER', 'app', 'resetpass', '>new');
    await sentinelAdmin.client('KILL', 'USER', 'app');
    await until('the node listens again', async () => ![null, before].includes(await listenerOf(sentinelAdmin)));
    await failOver(sentinelAdmin);
    await until('the node follows the failover', async () => (await namesAt(pair.next)).length === 2);
    expect(logged(cluster.node(), 'sentinelRefused')).toEqual([]);
    sentinelAdmin.disconnect();
  });

  it('causes no warning about its settings if a master that is cut off stops accepting writes', async () => {
    await using master = await startRedis({
      args: ['--repl-diskless-sync-delay', '0', '--min-replicas-to-write', '1'],
    });
    await using _replica = await startRedis({ args: ['--replicaof', `127.0.0.1 ${master.port}`] });
    await using sentinel = await startSentinel({
      masterName: 'mymaster',
      masterPort: master.port,
      downAfterMs: calmMs,
    });
    const url = `redis+sentinel://127.0.0.1:${sentinel.port}/mymaster`;
    await using cluster = await startCluster({ env: { FANFARE_REDIS_URL: url } });
    expect(settingsLines(cluster.node())).toEqual([]);
  });

  it('causes a log line if no Sentinel responds, and works as soon as one does', async () => {
    await using redis = await startRedis();
    const gone = await startSentinel({ masterName: 'mymaster', masterPort: redis.port });
    await gone[Symbol.asyncDispose]();
    const url = `redis+sentinel://127.0.0.1:${gone.port}/mymaster`;
    await using cluster = await startCluster({ env: { FANFARE_REDIS_URL: url }, waitReady: false });
    const node = cluster.node();
    await until('the node logs it', () =>
      node.log.some(
        ({ msg }) =>
          msg ===
          'No Sentinel in FANFARE_REDIS_URL responds. Check that they are running and that host, port, password and TLS (rediss or redis) are correct.',
      ),
    );
    await using _ = await startSentinel({ masterName: 'mymaster', masterPort: redis.port, port: gone.port });
    await until('the node is ready', async () => (await node.readiness()).status === 200);
  });

  it('causes a log line if the URL of a Redis leads to a Sentinel', async () => {
    await using redis = await startRedis();
    await using sentinel = await startSentinel({ masterName: 'mymaster', masterPort: redis.port });
    const url = `redis://127.0.0.1:${sentinel.port}`;
    await using cluster = await startCluster({ env: { FANFARE_REDIS_URL: url }, waitReady: false });
    await until('the node logs it', () =>
      cluster.node().log.some(({ msg }) => msg.includes('To use Sentinels, write redis+sentinel://host:26379/name')),
    );
  });

  it('causes a log line if the Sentinels have no master of that name', async () => {
    await using redis = await startRedis();
    await using sentinel = await startSentinel({ masterName: 'mymaster', masterPort: redis.port });
    const url = `redis+sentinel://127.0.0.1:${sentinel.port}/other`;
    await using cluster = await startCluster({ env: { FANFARE_REDIS_URL: url }, waitReady: false });
    await until('the node logs it', () =>
      cluster
        .node()
        .log.some(
          ({ msg }) =>
            msg === 'The Sentinels in FANFARE_REDIS_URL have no master of that name. Check the name after the slash.',
        ),
    );
  });
});
