/**
 * The Redis user of docs/operations.md: its permissions suffice for the whole life of a node, and everything else is
 * refused.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { type RedisProcess, startRedis } from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApiKey } from '../src/auth/api-keys.js';
import { answersForKey, commandsForAll, commandsIn, commandsPermitted } from './acl.js';
import { startCluster, type TestCluster } from './harness.js';
import { TestConnection } from './test-connection.js';
import { until } from './wait.js';

const root = new URL('../../', import.meta.url);
const read = (file: string): string => readFileSync(new URL(file, root), 'utf8');
const [, rules = ''] = /^ACL SETUSER fanfare reset on >password (.*)$/m.exec(read('docs/operations.md')) ?? [];
const documented = commandsIn(rules);

/** Redis 7.0 uses the second form. The third form means that no script may use the command, with any user. */
const refusedInScript = /NOPERM|The user executing the script can't|not allowed from script/;

describe('the documented user of Redis', () => {
  let redis: RedisProcess;
  let admin: Redis;
  let confined: Redis;

  beforeAll(async () => {
    // In its configuration, so that it exists again after a restart.
    const user = ['--user', 'fanfare', 'on', '>password', ...rules.split(' ')];
    // The default server refuses these to everybody: here, the rules have to.
    const all = ['--enable-debug-command', 'yes', '--enable-module-command', 'yes'];
    redis = await startRedis({ args: ['--repl-diskless-sync-delay', '0', ...all, ...user] });
    admin = new Redis(redis.url);
    confined = new Redis({ port: redis.port, username: 'fanfare', password: 'password', disableClientInfo: true });
    // Redis is unavailable for a moment below.
    for (const each of [admin, confined]) each.on('error', () => undefined);
  });

  afterAll(async () => {
    admin?.disconnect();
    confined?.disconnect();
    await redis?.[Symbol.asyncDispose]();
  });

  it('is also the user of docker-compose.yml and of the components in k8s/', () => {
    expect(documented.length).toBeGreaterThan(20);
    const components = ['example-redis', 'redis-cluster'].map((name) => `k8s/components/${name}/redis.conf`);
    for (const file of ['compose/redis.conf', ...components])
      expect(read(file)).toMatch(`\nuser fanfare on nopass ${rules}\n`);
  });

  it('may run the commands that the sources of a node contain, and no others', () => {
    const sources = ['broker/lua/', 'broker/src/'].flatMap((folder) =>
      readdirSync(new URL(folder, root), { recursive: true, encoding: 'utf8' })
        // `fanfare shards` needs more than a node.
        .filter((name) => /\.(lua|ts)$/.test(name) && !name.startsWith('shards/'))
        .map((name) => read(folder + name)),
    );
    const text = sources.join('\n');
    const inScripts = [...text.matchAll(/(?<!this\.)redis\.p?call\('(\w+)'(?:, '(CREATE|DESTROY|STREAM)')?/g)].map(
      ([, name = '', sub]) => (sub === undefined ? name : `${name}|${sub}`),
    );
    // Commands are written as lists, as parts of a command, or by the methods that send them.
    const commands =
      /(?:\[\s*|asciiPart\(|\.ask\(|commandOf\(|carryOut\()'((?!SIG)[A-Z]+)'(?:, '(ID|LIST|LOAD|INFO|SLOTS)')?/g;
    const inNode = [...text.matchAll(commands)].map(([, name = '', sub]) =>
      sub === undefined ? name : `${name}|${sub}`,
    );
    const byIoredis = [...text.matchAll(/#redis\.(info|select)\(/g)].map(([, name = '']) => name);
    const named = [
      ...inScripts,
      ...inNode,
      ...byIoredis,
      // By ioredis, for the name of the connection.
      'client|setname',
    ];
    expect([...new Set(named.map((name) => name.toLowerCase()))].toSorted()).toEqual(documented);
  });

  it('may run no other command, and may use no keys or channels outside of the prefix', async () => {
    expect(await commandsPermitted(admin, confined)).toEqual(documented);
    expect((await commandsForAll(admin)).toSorted()).toEqual(['auth', 'hello', 'quit', 'reset']);

    const outside = await answersForKey(admin, confined, documented, 'other', 'fanfare:x');
    // RENAME has two.
    expect(outside.map(([place]) => place)).toEqual(
      expect.arrayContaining(['rename 1', 'rename 2', 'xgroup|create 2']),
    );
    expect(outside.length).toBeGreaterThan(20);
    expect(outside.filter(([, answer]) => !/^NOPERM .*(keys|channels)/.test(answer))).toEqual([]);
    // Its SSUBSCRIBE succeeds: then the connection is for nothing else.
    const listener = confined.duplicate();
    const inside = await answersForKey(admin, listener, documented, 'fanfare:y', 'fanfare:x');
    listener.disconnect();
    expect(inside.filter(([, answer]) => answer.startsWith('NOPERM'))).toEqual([]);
    for (const name of ['other', 'fanfar', 'fanfare', 'FANFARE:x']) {
      await expect(confined.get(name)).rejects.toThrow('NOPERM');
      await expect(confined.spublish(name, '1')).rejects.toThrow('NOPERM');
      await expect(confined.ssubscribe(name)).rejects.toThrow('NOPERM');
      await expect(confined.eval('return 1', 1, name)).rejects.toThrow('NOPERM');
      for (const command of ["'GET', ARGV[1]", "'SPUBLISH', ARGV[1], '1'"])
        await expect(confined.eval(`return redis.call(${command})`, 0, name)).rejects.toThrow(refusedInScript);
    }
    for (const command of [
      "'FLUSHALL'",
      "'KEYS', '*'",
      "'SCRIPT', 'FLUSH'",
      "'FUNCTION', 'FLUSH'",
      "'CONFIG', 'GET', '*'",
    ])
      await expect(confined.eval(`return redis.call(${command})`, 0)).rejects.toThrow(refusedInScript);
    await admin.flushall();
    await admin.call('ACL', 'LOG', 'RESET');
  });

  it('suffices for the whole life of nodes', async () => {
    await using _replica = await startRedis({ args: ['--replicaof', `127.0.0.1 ${redis.port}`] });
    await until('the replica is connected', async () => (await admin.info('replication')).includes('state=online'));
    const { key, entry } = createApiKey('test');
    const secret = 'a secret that is known to this test only';
    const permissions = { publish: ['>'], subscribe: ['>'], history: ['>'] };
    const env = {
      FANFARE_REDIS_URL: redis.url.replace('redis://', 'redis://fanfare:password@'),
      FANFARE_TOPICS: '{"fast":{"level":"fast"},"durable":{"level":"durable"},"short":{"historySize":2}}',
      FANFARE_AUTH: JSON.stringify({
        issuers: [{ issuer: 'https://id.test', keys: [{ algorithm: 'HS256', secret }] }],
        apiKeys: [{ ...entry, permissions, admin: true }],
      }),
      FANFARE_PROBE_INTERVAL_MS: '100',
      // On a busy machine, the replica may confirm late.
      FANFARE_DURABLE_TIMEOUT_MS: '20000',
    };
    const cluster = await startCluster({ nodes: 2, redis: false, env });
    const headers = { Authorization: `Bearer ${key}` };
    const [writer, reader] = await Promise.all(
      cluster.nodes.map(({ url }) => TestConnection.open(url, 'json', { headers })),
    );
    if (writer === undefined || reader === undefined) throw new Error('A node is missing.');
    let number = 0;
    const topics = ['fast', 'kept', 'durable', 'short'];
    /** Each topic delivers, from one node to the other. */
    const deliver = async (): Promise<void> => {
      for (const topic of topics) {
        number++;
        const publish = { type: 'publish', topic, data: number, messageId: `m${number}` } as const;
        await until(
          `a publication to ${topic} is accepted`,
          async () => (await writer.request(publish)).type === 'published',
        );
        expect(await reader.take(topic, 1)).toEqual([number]);
      }
    };
    for (const topic of topics) expect(await reader.subscribe(topic)).toMatchObject({ type: 'subscribed' });
    for (let times = 0; times < 4; times++) await deliver();
    expect(
      await writer.request({ type: 'history', topic: 'short', since: null, limit: 10, direction: 'backward' }),
    ).toMatchObject({ type: 'history' });

    // A user connects with a ticket, is counted with its connections and publications, and is revoked.
    const token = await new SignJWT({ fanfare: permissions })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer('https://id.test')
      .setSubject('ada')
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(Buffer.from(secret));
    const post = (path: string, bearer: string, body: object = {}): Promise<Response> => {
      const url = cluster.node().url.replace('ws:', 'http:').replace('/ws', path);
      return fetch(url, { method: 'POST', headers: { Authorization: `Bearer ${bearer}` }, body: JSON.stringify(body) });
    };
    const { ticket } = (await (await post('/v1/tickets', token)).json()) as { ticket: string };
    const user = await TestConnection.open(`${cluster.node(1).url}?ticket=${ticket}`, 'json');
    await until('the user may publish', async () => (await user.publish('kept', ++number)).type === 'published');
    expect(await reader.take('kept', 1)).toEqual([number]);
    await until('the nodes share its rate', async () => (await admin.keys('fanfare:budget:*')).length > 0);
    await until('its connections are counted', async () => (await admin.keys('fanfare:connections:*')).length > 0);
    expect((await post('/v1/revocations', key, { subject: 'ada' })).status).toBe(202);
    expect(await user.closed).toMatchObject({ code: 4503 });

    // Another program flushes the script cache.
    await admin.script('FLUSH');
    await deliver();
    // Redis loses everything, and the nodes restore what they remember.
    await redis.restart();
    await until('the nodes have recovered', () => logged(cluster, 'redisRecovered').length > 0);
    await deliver();
    // One node leaves, and one joins.
    await Promise.all([writer.close(), reader.close()]);
    await cluster[Symbol.asyncDispose]();
    // In another database, which requires SELECT.
    await using _other = await startCluster({ env: { ...env, FANFARE_REDIS_URL: `${env.FANFARE_REDIS_URL}/1` } });

    expect(logged(cluster, 'redisError').filter(({ msg }) => msg.includes('permit'))).toEqual([]);
    expect(await admin.call('ACL', 'LOG')).toEqual([]);
  });
});

function logged({ nodes }: TestCluster, event: string) {
  return nodes.flatMap(({ log }) => log).filter((line) => line.event === event);
}
