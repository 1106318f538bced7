/** How a node connects to Redis: database, TLS, passwords in files, Unix sockets, and its error messages. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFreePort, type RedisProcess, startRedis, startSentinel } from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { createApiKey } from '../src/auth/api-keys.js';
import { createLog, loadConfig } from '../src/index.js';
import { Metrics } from '../src/observe/metrics.js';
import { PublisherLink } from '../src/redis/redis.js';
import { explain } from '../src/redis/redis-fault.js';
import { ignoreLaterErrors } from '../src/redis/redis-options.js';
import { readRedisUrl } from '../src/redis/redis-url.js';
import { CertificateFolder } from './certificates.js';
import { type ClusterOptions, fastTopics, startCluster, type TestCluster, type TestNode } from './harness.js';
import { nameInRedis } from './redis-names.js';
import { until } from './wait.js';

const clusterSentence =
  'FANFARE_REDIS_URL points to a server of a Redis Cluster. Write redis+cluster://host1:6379,host2:6379 with some of its servers.';

function withUrl(url: string, env: Readonly<Record<string, string>> = {}, options: ClusterOptions = {}) {
  return startCluster({ redis: false, ...options, env: { FANFARE_REDIS_URL: url, ...env } });
}

function untilReady(node: TestNode): Promise<true> {
  return until('the node is ready', async () => (await node.readiness()).status === 200);
}

/** A node that cannot use its Redis reports this sentence in its log and in readiness. */
async function expectFault(
  url: string,
  sentence: string | RegExp,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const quick = { FANFARE_REDIS_TIMEOUT_MS: '500', ...env };
  await using cluster = await withUrl(url, quick, { waitReady: false });
  const node = cluster.node();
  const fits = (text: string): boolean =>
    typeof sentence === 'string' ? text.includes(sentence) : sentence.test(text);
  await until(`the log contains: ${sentence}`, () =>
    node.log.some(({ event, msg }) => event === 'redisError' && fits(msg)),
  );
  await until('readiness contains it too', async () => {
    const { status, reason } = await node.readiness();
    return status === 503 && fits(reason);
  });
  expect(JSON.stringify(node.log)).not.toContain('hush');
}

/** Functions that two nodes need to share a Redis. */
async function expectDelivery(cluster: TestCluster): Promise<void> {
  const reader = await cluster.subscriber('t', cluster.nodes.length - 1);
  const writer = await cluster.connect();
  expect(await writer.publish('t', 'hello')).toMatchObject({ type: 'published' });
  expect(await reader.take('t', 1)).toEqual(['hello']);
}

describe('a database that Redis does not have', () => {
  it('is named in the log and in readiness, and no connection of the node uses another one', async () => {
    await using redis = await startRedis();
    const { entry } = createApiKey('test');
    const permissions = { publish: ['>'], subscribe: ['>'] };
    const env = {
      FANFARE_TOPICS: '{"fast":{"level":"fast"},"durable":{"level":"durable"}}',
      FANFARE_AUTH: JSON.stringify({ apiKeys: [{ ...entry, permissions }] }),
    };
    await using cluster = await withUrl(`${redis.url}/16`, env, { waitReady: false });
    const node = cluster.node();
    const sentence =
      'Redis rejects database 16 of FANFARE_REDIS_URL: it has fewer databases. Correct the number, or raise "databases" in Redis.';
    for (const link of ['publisher', 'durable', 'subscriber', 'auth']) {
      await until(`the ${link} connection logs it`, () =>
        node.log.some((line) => line.link === link && line.event === 'redisError' && line.msg === sentence),
      );
    }
    expect(await node.readiness()).toEqual({ status: 503, reason: `Redis is not connected. ${sentence}` });
    expect(node.log.filter(({ event }) => event === 'redisConnected')).toEqual([]);
    const admin = new Redis(redis.url);
    expect(await admin.dbsize()).toBe(0);
    admin.disconnect();
  });

  it('is named if the user has no permission for it, and used once it is permitted', async () => {
    await using redis = await startRedis();
    const admin = new Redis(redis.url);
    await admin.call('ACL', 'SETUSER', 'app', 'on', '>secret', '~*', '&*', '+@all', '-select');
    await using cluster = await withUrl(`${redis.url.replace('//', '//app:secret@')}/4`, {}, { waitReady: false });
    const node = cluster.node();
    await until('the node logs it', () =>
      node.log.some(({ msg }) =>
        msg.startsWith('Redis rejects database 4 of FANFARE_REDIS_URL: the user has no permission for SELECT.'),
      ),
    );
    expect(await admin.info('keyspace')).not.toContain('db');
    await admin.call('ACL', 'SETUSER', 'app', '+select');
    await untilReady(node);
    await expectDelivery(cluster);
    expect(await admin.info('keyspace')).toMatch(/^db4:/m);
    expect(await admin.info('keyspace')).not.toMatch(/^db0:/m);
    admin.disconnect();
  });
});

describe('brokers in different databases of one Redis', () => {
  it.each(['fast', 'recoverable'])('do not hear each other: topics of level %s', async (level) => {
    await using redis = await startRedis();
    const env = { FANFARE_TOPICS: JSON.stringify({ '>': { level } }) };
    await using production = await startCluster({ nodes: 2, redis, env });
    await using staging = await withUrl(`${redis.url}/1`, env, { nodes: 2 });
    await using testing = await withUrl(`${redis.url}/2`, env);
    const readers = await Promise.all(
      [production, staging, testing].map((each) => each.subscriber('t', each.nodes.length - 1)),
    );
    for (const [index, each] of [production, staging, testing].entries()) {
      const writer = await each.connect();
      expect(await writer.publish('t', index)).toMatchObject({ type: 'published' });
    }
    // Redis delivers in the order in which it accepts: a leaked publication would arrive before these.
    for (const each of [production, staging, testing]) await (await each.connect()).publish('t', 'last');
    const got = await Promise.all(readers.map((reader) => reader.take('t', 2)));
    expect(got).toEqual([0, 1, 2].map((index) => [index, 'last']));
  });

  it('count only their own nodes', async () => {
    await using redis = await startRedis();
    await using production = await startCluster({ nodes: 2, redis });
    await using staging = await withUrl(`${redis.url}/1`);
    await production.subscriber('t');
    await staging.subscriber('t');
    expect(await production.node().metric('fanfare_nodes')).toBe(2);
    expect(await staging.node().metric('fanfare_nodes')).toBe(1);
    const admin = new Redis(redis.url);
    expect(await admin.pubsub('SHARDCHANNELS', '*:topic:t')).toEqual(
      expect.arrayContaining([nameInRedis('t'), nameInRedis('t', 'fanfare', 1)]),
    );
    expect(await admin.get('fanfare:layout')).toBe('3.64');
    await admin.select(1);
    expect((await admin.keys('*')).filter((key) => !key.startsWith('fanfare:'))).toEqual([]);
    admin.disconnect();
  });

  it.each([
    ['belongs to a release without partitions', '1', '(layout 1 is not 3.64)'],
    [
      'has another number of partitions',
      '3.128',
      'has 128 partitions, but FANFARE_REDIS_PARTITIONS is 64. Set it to 128',
    ],
  ])('refuse to work if the data %s', async (_, layout, sentence) => {
    await using redis = await startRedis();
    const admin = new Redis(redis.url);
    await admin.select(1);
    await admin.set('fanfare:layout', layout);
    await expectFault(`${redis.url}/1`, sentence);
    admin.disconnect();
  });
});

/** A Redis that accepts TLS on a second port. */
async function startSecure(
  folder: CertificateFolder,
  args: readonly string[] = [],
): Promise<RedisProcess & { readonly secureUrl: string; readonly securePort: number }> {
  const securePort = await findFreePort();
  const tls = ['--tls-port', String(securePort), '--tls-cert-file', folder.certFile, '--tls-key-file', folder.keyFile];
  const redis = await startRedis({
    args: [...tls, '--tls-ca-cert-file', folder.certFile, '--tls-auth-clients', 'no', ...args],
  });
  return Object.assign(redis, { securePort, secureUrl: `rediss://localhost:${securePort}` });
}

describe('Redis over TLS', () => {
  it('with a private CA works if the CA is set, and otherwise the log names the setting', async () => {
    using folder = new CertificateFolder('redis');
    await using redis = await startSecure(folder);
    await using cluster = await withUrl(redis.secureUrl, { FANFARE_REDIS_CA_FILE: folder.certFile }, { nodes: 2 });
    await expectDelivery(cluster);
    await expectFault(
      redis.secureUrl,
      'a CA that this node does not trust. Set FANFARE_REDIS_CA_FILE to a PEM file with the certificate of that CA.',
    );
  });

  it('that requires a client certificate gets it if it is set, and otherwise the log names the settings', async () => {
    using folder = new CertificateFolder('redis');
    using client = new CertificateFolder('client');
    using stranger = new CertificateFolder('stranger');
    await using redis = await startSecure(folder, ['--tls-auth-clients', 'yes', '--tls-ca-cert-file', client.certFile]);
    const ca = { FANFARE_REDIS_CA_FILE: folder.certFile };
    const shown = (of: CertificateFolder) => ({
      ...ca,
      FANFARE_REDIS_CERT_FILE: of.certFile,
      FANFARE_REDIS_KEY_FILE: of.keyFile,
    });
    await using cluster = await withUrl(redis.secureUrl, shown(client), { nodes: 2 });
    await expectDelivery(cluster);
    await expectFault(redis.secureUrl, 'set FANFARE_REDIS_CERT_FILE and FANFARE_REDIS_KEY_FILE', ca);
    await expectFault(
      redis.secureUrl,
      'It may not trust the client certificate in FANFARE_REDIS_CERT_FILE',
      shown(stranger),
    );
  });

  it('with a certificate for another name causes an error with both names', async () => {
    using folder = new CertificateFolder('redis', 90, 'DNS:redis.internal');
    await using redis = await startSecure(folder);
    await expectFault(
      redis.secureUrl,
      'The certificate of Redis is not valid for localhost, only for: DNS:redis.internal.',
      { FANFARE_REDIS_CA_FILE: folder.certFile },
    );
  });

  it('with the wrong scheme in the URL, in either direction, causes an error with the right scheme', async () => {
    using folder = new CertificateFolder('redis');
    await using redis = await startSecure(folder);
    await expectFault(
      redis.secureUrl.replace('rediss', 'redis'),
      'Redis closed the connection before it answered. If its port uses TLS, write rediss:// in FANFARE_REDIS_URL.',
    );
    await expectFault(
      redis.url.replace('redis', 'rediss'),
      'If its port does not use TLS, write redis:// in FANFARE_REDIS_URL.',
      {
        FANFARE_REDIS_CA_FILE: folder.certFile,
      },
    );
  });

  it('is not suggested when a Redis that worked without it closes connections, as it does when it is killed', async () => {
    const redis = await startRedis();
    await using cluster = await withUrl(redis.url);
    const node = cluster.node();
    await redis[Symbol.asyncDispose]();
    const closing = createServer((socket) => void socket.resetAndDestroy()).listen(redis.port, '127.0.0.1');
    try {
      const said = await until('the node logs it', () =>
        node.log.map(({ msg }) => msg).find((msg) => msg.startsWith('Redis closed the connection')),
      );
      expect(said).toContain('It may be stopping or starting');
    } finally {
      closing.close();
    }
    expect(JSON.stringify(node.log)).not.toContain('TLS');
  });

  it('works with Sentinels, all of them with a private CA, client certificates and passwords in files', async () => {
    using folder = new CertificateFolder('redis');
    using client = new CertificateFolder('client');
    const passwordFile = client.write('password', 'of redis\n');
    const sentinelPasswordFile = client.write('sentinel-password', 'of/the+Sentinels==\n');
    const bundle = client.write('ca.pem', Buffer.concat([folder.ca, client.ca]));
    const tls = ['--tls-auth-clients', 'yes', '--tls-ca-cert-file', bundle];
    await using redis = await startSecure(folder, [...tls, '--requirepass', 'of redis', '--tls-replication', 'yes']);
    const port = await findFreePort();
    await using _ = await startSentinel({
      masterName: 'mymaster',
      masterPort: redis.securePort,
      lines: [
        `tls-port ${port}`,
        `tls-cert-file ${folder.certFile}`,
        `tls-key-file ${folder.keyFile}`,
        `tls-ca-cert-file ${bundle}`,
        'tls-auth-clients yes',
        'tls-replication yes',
        'sentinel auth-pass mymaster "of redis"',
        'requirepass of/the+Sentinels==',
      ],
    });
    const env = {
      FANFARE_REDIS_CA_FILE: bundle,
      FANFARE_REDIS_CERT_FILE: client.certFile,
      FANFARE_REDIS_KEY_FILE: client.keyFile,
      FANFARE_REDIS_PASSWORD_FILE: passwordFile,
      FANFARE_REDIS_SENTINEL_PASSWORD_FILE: sentinelPasswordFile,
    };
    await using cluster = await withUrl(`rediss+sentinel://localhost:${port}/mymaster`, env, { nodes: 2 });
    await expectDelivery(cluster);
  });
});

describe('a password in a file', () => {
  const names = 'FANFARE_REDIS_PASSWORD_FILE';

  it('is tried as soon as it changes, and used for the next connection', async () => {
    using folder = new CertificateFolder('unused');
    await using redis = await startRedis();
    const admin = new Redis(redis.url);
    await admin.call('ACL', 'SETUSER', 'app', 'on', '>old/one+==', '~*', '&*', '+@all');
    const passwordFile = folder.write('password', 'old/one+==\n');
    const url = redis.url.replace('//', '//app@');
    await using cluster = await withUrl(url, { FANFARE_REDIS_PASSWORD_FILE: passwordFile });
    const node = cluster.node();

    // A mistake is visible before any connection is lost.
    folder.write('password', 'hush');
    await until('the node logs the mistake', () =>
      node.log.some(
        ({ event, link, msg }) =>
          event === 'redisError' &&
          link === 'check' &&
          msg ===
            `The files of ${names} have changed, and a new connection to Redis fails. Open connections continue to work. Redis rejects the user or password in FANFARE_REDIS_URL or ${names}. Correct it.`,
      ),
    );
    expect((await node.readiness()).status).toBe(200);
    await expectDelivery(cluster);
    expect(node.log.some(({ event }) => event === 'redisCredentialsAccepted')).toBe(false);

    // Both passwords are valid for a while: this is how to rotate them.
    await admin.call('ACL', 'SETUSER', 'app', '>new one');
    folder.write('password', 'new one\r\n');
    await until('Redis accepts the new password', () =>
      node.log.some(
        ({ event, msg }) =>
          event === 'redisCredentialsAccepted' &&
          msg.startsWith(`The files of ${names} have changed, and Redis accepts them`),
      ),
    );
    await admin.call('ACL', 'SETUSER', 'app', '<old/one+==');
    const connected = node.log.filter(({ event }) => event === 'redisConnected').length;
    await admin.client('KILL', 'USER', 'app');
    await until(
      'both connections are back',
      () => node.log.filter(({ event }) => event === 'redisConnected').length >= connected + 2,
    );
    await untilReady(node);
    await expectDelivery(cluster);
    expect(JSON.stringify(node.log)).not.toContain('hush');
    admin.disconnect();
  });

  it('may be in the URL too: a new user is used for the next connection, a new server only after a restart', async () => {
    using folder = new CertificateFolder('unused');
    await using redis = await startRedis();
    const admin = new Redis(redis.url);
    for (const [user, password] of [
      ['one', 'hush/1'],
      ['two', 'hush 2'],
    ] as const)
      await admin.call('ACL', 'SETUSER', user, 'on', `>${password}`, '~*', '&*', '+@all');
    await admin.call('ACL', 'SETUSER', 'default', '-@all', '+@connection');
    const urlOf = (login: string): string => `${redis.url.replace('//', `//${login}@`)}\n`;
    const urlFile = folder.write('url', urlOf('one:hush%2F1'));
    await using cluster = await startCluster({ env: { FANFARE_REDIS_URL_FILE: urlFile } });
    const node = cluster.node();
    await expectDelivery(cluster);

    folder.write('url', urlOf('one:hush%2F1').replace(/:\d+\n/, '/1'));
    await until('the node logs that a restart is needed', () =>
      node.log.some(
        ({ event, link, msg }) =>
          event === 'redisError' &&
          link === 'check' &&
          msg.includes('points to a different server, database or master'),
      ),
    );
    expect((await node.readiness()).status).toBe(200);

    folder.write('url', urlOf('two:hush%202'));
    await until('Redis accepts the new user', () =>
      node.log.some(({ event, msg }) => event === 'redisCredentialsAccepted' && msg.includes('FANFARE_REDIS_URL_FILE')),
    );
    const keeper = new Redis({ port: redis.port, username: 'two', password: 'hush 2' });
    await keeper.call('ACL', 'DELUSER', 'one');
    await until('both connections use the new user', async () => {
      const clients = String(await keeper.client('LIST'));
      return (clients.match(/ name=fanfare:\S+ .* user=two /g) ?? []).length === 2;
    });
    await untilReady(node);
    await expectDelivery(cluster);
    expect(JSON.stringify(node.log)).not.toContain('hush');
    for (const each of [admin, keeper]) each.disconnect();
  });

  it('is kept in memory if the file is missing when a connection is lost, and the node logs it', async () => {
    using folder = new CertificateFolder('unused');
    await using redis = await startRedis({ args: ['--requirepass', 'secret'] });
    const passwordFile = folder.write('password', 'secret');
    await using cluster = await withUrl(redis.url, { FANFARE_REDIS_PASSWORD_FILE: passwordFile });
    const node = cluster.node();
    rmSync(passwordFile);
    await redis.restart();
    await until('the connections were lost', () => node.log.some(({ event }) => event === 'redisLost'));
    await untilReady(node);
    await expectDelivery(cluster);
    expect(node.log.some(({ msg }) => msg.includes(`${names} names a file that cannot be read`))).toBe(true);
  });
});

describe('a Redis at a Unix socket', () => {
  it('works with the database in its URL, and a missing socket is logged', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'fanfare-socket-'));
    const socket = join(folder, 'redis.sock');
    await using _ = await startRedis({ args: ['--unixsocket', socket, '--requirepass', 'a/b'] });
    await using cluster = await withUrl(`unix://:a%2Fb@${socket}?db=3`, {}, { nodes: 2 });
    await expectDelivery(cluster);
    await expectFault(`unix://${folder}/none.sock`, 'No Unix socket exists at the path in FANFARE_REDIS_URL');
    rmSync(folder, { recursive: true });
  });
});

// Concurrent: they mostly wait for a node.
describe.concurrent('a Redis that Fanfare cannot use', () => {
  it.each(['', '/1'])('is a Redis Cluster (database "%s")', async (database) => {
    await using redis = await startRedis({ args: ['--cluster-enabled', 'yes'] });
    await expectFault(redis.url + database, clusterSentence);
  });

  it.each([
    [
      'EVALSHA',
      'This Redis does not have EVALSHA, which Fanfare needs. It may be renamed or disabled by rename-command.',
    ],
    ['INFO', 'This Redis does not have INFO, which Fanfare needs. It may be renamed or disabled by rename-command.'],
    // Called from scripts, where Redis does not name it.
    [
      'SPUBLISH',
      'This Redis does not have SPUBLISH, which Fanfare needs. It may be renamed or disabled by rename-command.',
    ],
    ['XADD', 'This Redis does not have XADD, which Fanfare needs. It may be renamed or disabled by rename-command.'],
    [
      'SSUBSCRIBE',
      'This Redis does not have SSUBSCRIBE, which Fanfare needs. It may be renamed or disabled by rename-command.',
    ],
  ])('has %s renamed', async (command, sentence) => {
    await using redis = await startRedis({ args: ['--rename-command', command, ''] });
    await expectFault(redis.url, sentence);
  });

  it('has AUTH renamed: its answer repeats the password, the log does not', async () => {
    await using redis = await startRedis({ args: ['--rename-command', 'AUTH', 'other'] });
    await expectFault(redis.url.replace('//', '//:hush@'), 'This Redis does not have AUTH, which Fanfare needs');
  });

  it('does not permit the keys of the prefix', async () => {
    await using redis = await startRedis();
    const admin = new Redis(redis.url);
    await admin.call('ACL', 'SETUSER', 'app', 'on', '>secret', '~other:*', '&other:*', '+@all');
    await expectFault(
      redis.url.replace('//', '//app:secret@'),
      'The Redis user has no permission for the keys or channels of FANFARE_REDIS_PREFIX',
    );
    admin.disconnect();
  });

  it.each([
    ['a command', '-ssubscribe', 'Redis does not permit the command SSUBSCRIBE to this user. Grant the rules in'],
    ['a command of a script', '-get', 'Redis does not permit a command to this user. Grant the rules in'],
  ])('does not permit %s', async (_, withheld, sentence) => {
    await using redis = await startRedis();
    const admin = new Redis(redis.url);
    await admin.call('ACL', 'SETUSER', 'app', 'on', '>secret', '~*', '&*', '+@all', withheld);
    await expectFault(redis.url.replace('//', '//app:secret@'), sentence);
    admin.disconnect();
  });

  it('is something else, such as a web server', async () => {
    await using node = await startCluster({ env: fastTopics });
    const port = new URL(node.node().url).port;
    await expectFault(
      `redis://127.0.0.1:${port}`,
      /Redis (closed the connection before it answered|does not respond)|does not use the Redis protocol/,
    );
  });
});

it('a connection that was given up is not used if the answers of Redis arrive afterwards', async () => {
  const info = Buffer.from('redis_mode:standalone\r\n');
  const answer = `$${info.length}\r\n${info}\r\n`;
  const events: string[] = [];
  let attempts = 0;
  // Holds back the last answer of the handshake until the node has closed its side of the connection.
  const late = createServer({ allowHalfOpen: true }, (socket) => {
    attempts++;
    let infos = 0;
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      const isInfo = /\r\ninfo\r\n/i.test(bytes.toString('latin1'));
      if (!isInfo) socket.write('+OK\r\n');
      else if (++infos === 1) socket.write(answer);
    });
    socket.on('end', () => socket.end(answer));
  }).listen(0, '127.0.0.1');
  await once(late, 'listening');
  const redisUrl = `redis://127.0.0.1:${(late.address() as AddressInfo).port}`;
  const config = loadConfig({ FANFARE_REDIS_TIMEOUT_MS: '50' });
  const log = createLog(config, { write: (line) => void events.push(JSON.parse(line).event) });
  const link = new PublisherLink({ ...config, redisUrl }, log, new Metrics().counters, {});
  await until('the node tries again', () => attempts === 2);
  expect(new Set(events)).toEqual(new Set(['redisError']));
  await link.close();
  late.close();
});

it('a connection to a proxy that calls the mode of Redis by another name is used', async () => {
  const info = 'redis_mode:proxy\r\n';
  const proxy = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      const isInfo = /\r\ninfo\r\n/i.test(bytes.toString('latin1'));
      socket.write(isInfo ? `$${info.length}\r\n${info}\r\n` : '+OK\r\n');
    });
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const redisUrl = `redis://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const settings = { ...loadConfig({}), redisUrl };
  const link = new PublisherLink(settings, pino({ level: 'silent' }), new Metrics().counters, {});
  await until('it is connected', () => link.isReady);
  await link.close();
  proxy.close();
});

it('a connection to Redis does not crash the process if its socket has a second error, as after a refused certificate', async () => {
  const redis = new Redis({ port: await findFreePort(), lazyConnect: true, retryStrategy: null });
  ignoreLaterErrors(redis);
  await expect(redis.connect()).rejects.toThrow();
  expect(redis.stream.emit('error', new Error('a TLS alert'))).toBe(true);
});

describe('a rare error of Redis', () => {
  const context = (url: string) => ({ address: readRedisUrl(url), hasWorked: false, hasClientCertificate: true });
  const withCode = (code: string): Error => Object.assign(new Error('failed'), { code });

  it.each([
    ['redis://a', new Error("CROSSSLOT Keys in request don't hash to the same slot"), clusterSentence],
    ['redis://a', new Error('MOVED 3999 10.0.0.1:6379'), clusterSentence],
    ['redis://a', new Error('TRYAGAIN Multiple keys request during rehashing of slot'), clusterSentence],
    ['redis://a', new Error('CLUSTERDOWN Hash slot not served'), clusterSentence],
    ['rediss://a', withCode('CERT_HAS_EXPIRED'), 'The certificate of Redis has expired or is not valid yet'],
    ['rediss://a', withCode('ERR_SSL_WRONG_VERSION_NUMBER'), 'the port does not use TLS. Use the TLS port, or write'],
    ['rediss://a', withCode('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA'), 'It may not trust the client certificate in FANFARE'],
    ['unix:///a', withCode('EACCES'), 'The node has no permission to use the Unix socket in FANFARE_REDIS_URL'],
    [
      'redis://a',
      new Error('ERR unknown command `EVALSHA`, with args beginning with: `hush`'),
      'does not have EVALSHA,',
    ],
  ])('at %s is explained: %s', (url, error, sentence) => {
    expect(explain(error, context(url))).toContain(sentence);
    expect(explain(error, context(url))).not.toContain('hush');
  });

  it.each([
    [
      new Error('ASK 3999 10.0.0.1:6379'),
      'The Redis Cluster is moving a slot to another server. Publications to topics',
    ],
    [new Error('TRYAGAIN Multiple keys request'), 'If it was interrupted, redis-cli --cluster fix completes it.'],
    [new Error('CLUSTERDOWN The cluster is down'), 'The Redis Cluster is down: a master has failed'],
    [new Error('MOVED 3999 10.0.0.1:6379'), 'A slot of the Redis Cluster has moved to another server.'],
    [new Error("READONLY You can't write"), 'This server of the Redis Cluster is a replica now.'],
    [new Error('ERR This instance has cluster support disabled'), 'but this server does not belong to one'],
    [withCode('ECONNREFUSED'), 'refuses the connection or is unreachable: a:6379. Check that it is running, and that'],
    [new Error('WRONGPASS invalid username-password pair'), 'Redis rejects the user or password in FANFARE_REDIS_URL'],
  ])('at a server of a Redis Cluster is explained: %s', (error, sentence) => {
    expect(explain(error, { ...context('redis://a'), isCluster: true })).toContain(sentence);
  });
});
