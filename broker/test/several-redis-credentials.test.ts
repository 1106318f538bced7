/** Passwords in files, for several Redis servers: all must accept a change, and each fault names its server. */
import {
  findFreePort,
  type RedisProcess,
  startRedis,
  startRedisCluster,
  startRedisShards,
} from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { CertificateFolder } from './certificates.js';
import { startCluster, type TestNode } from './harness.js';
import { until } from './wait.js';

const user = ['--user', 'fanfare', 'on', '>old', '~*', '&*', '+@all'];

/** Sends a command to each server. */
async function atEach(servers: readonly RedisProcess[], ...command: readonly [string, ...string[]]): Promise<void> {
  for (const { port } of servers) {
    const admin = new Redis({ port });
    await admin.call(...command);
    admin.disconnect();
  }
}

/** The old password stops working, and all connections are lost. */
async function endOld(servers: readonly RedisProcess[]): Promise<void> {
  await atEach(servers, 'ACL', 'SETUSER', 'fanfare', '<old');
  await atEach(servers, 'CLIENT', 'KILL', 'USER', 'fanfare');
}

const isAccepted = ({ log }: TestNode): boolean => log.some(({ event }) => event === 'redisCredentialsAccepted');

it('a changed password is accepted when all shards accept it, and a fault names the shard', async () => {
  using folder = new CertificateFolder('unused');
  const file = folder.write('password', 'old');
  await using shards = await startRedisShards(2, { args: user });
  const [first, second] = shards.servers as [RedisProcess, RedisProcess];
  await using cluster = await startCluster({
    env: { FANFARE_REDIS_URL: shards.url.replace('//', '//fanfare@'), FANFARE_REDIS_PASSWORD_FILE: file },
  });
  const node = cluster.node();
  await atEach([first], 'ACL', 'SETUSER', 'fanfare', '>new');
  folder.write('password', 'new');
  const refusal = await until('a shard refuses it', () =>
    node.log.find(({ event, link }) => event === 'redisError' && link === 'check'),
  );
  expect(refusal).toMatchObject({ shard: `127.0.0.1:${second.port}` });
  expect(isAccepted(node)).toBe(false);
  await atEach([second], 'ACL', 'SETUSER', 'fanfare', '>new');
  await until('both shards accept it', () => isAccepted(node));
  const lost = await node.metric('fanfare_redis_reconnects_total');
  await endOld(shards.servers);
  await until(
    'the connections are lost',
    async () => (await node.metric('fanfare_redis_reconnects_total')) >= lost + 4,
  );
  const connected = /^fanfare_shard_connected\{.*\} 1$/gm;
  await until('both shards are used again', async () => {
    return (await node.broker.metrics('fanfare_shard_connected')).match(connected)?.length === 2;
  });
});

it('the login in a changed file with the URL of a Redis Cluster is used for all masters', async () => {
  using folder = new CertificateFolder('unused');
  await using redis = await startRedisCluster({ masters: 3, replicasPerMaster: 0, args: user });
  const [seed] = redis.servers as [RedisProcess];
  const file = folder.write('url', redis.url.replace('//', '//fanfare:old@'));
  await using cluster = await startCluster({ env: { FANFARE_REDIS_URL_FILE: file } });
  const node = cluster.node();
  await atEach(redis.servers, 'ACL', 'SETUSER', 'fanfare', '>new');
  // Only entry points, so their number may change too.
  folder.write('url', `redis+cluster://fanfare:new@127.0.0.1:${seed.port}`);
  await until('the servers accept it', () => isAccepted(node));
  const lost = await node.metric('fanfare_redis_reconnects_total');
  await endOld(redis.servers);
  await until(
    'the connections are lost',
    async () => (await node.metric('fanfare_redis_reconnects_total')) >= lost + 6,
  );
  await until('all masters are used again', async () => {
    const text = await node.broker.metrics('fanfare_shard_connected');
    return text.match(/^fanfare_shard_connected\{shard="127.*\} 1$/gm)?.length === 3;
  });
  expect((await node.readiness()).status).toBe(200);
});

it('shards are used with TLS, each with its own login', async () => {
  using folder = new CertificateFolder('redis');
  const ports = [await findFreePort(), await findFreePort()];
  const files = ['--tls-cert-file', folder.certFile, '--tls-key-file', folder.keyFile, '--tls-auth-clients', 'no'];
  const start = (number: number): Promise<RedisProcess> => {
    const own = ['--user', `user${number}`, 'on', `>secret${number}`, '~*', '&*', '+@all'];
    return startRedis({ args: ['--tls-port', String(ports[number]), ...files, ...own] });
  };
  await using first = await start(0);
  await using second = await start(1);
  const logins = ports.map((port, number) => `user${number}:secret${number}@localhost:${port}`);
  await using cluster = await startCluster({
    env: { FANFARE_REDIS_URL: `rediss+shards://${logins.join(';')}`, FANFARE_REDIS_CA_FILE: folder.certFile },
  });
  const connection = await cluster.connect();
  for (let number = 0; number < 20; number++)
    expect(await connection.publish(`t${number}`, number)).toMatchObject({ type: 'published' });
  for (const { port } of [first, second]) {
    const admin = new Redis({ port });
    expect((await admin.keys('*:topic:*')).length).toBeGreaterThan(0);
    admin.disconnect();
  }
});
