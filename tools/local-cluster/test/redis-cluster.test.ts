/** The Redis Cluster that tests start, and what an operator does with it. */
import { execFile, spawnSync } from 'node:child_process';
import { access, readlink } from 'node:fs/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type RedisClusterProcess,
  type RedisProcess,
  type RedisReply,
  redisCommand,
  startRedis,
  startRedisCluster,
} from '../src/index.js';

const hasRedisCli = spawnSync('redis-cli', ['--version']).status === 0;

/** The slot of keys with the hash tag `{tu}`: one of the first that the third master has. */
const slot = 10_927;

/** Rejects with its output if it fails. */
const redisCli = (...args: readonly string[]) => promisify(execFile)('redis-cli', args);

let cluster: RedisClusterProcess;
beforeAll(async () => {
  cluster = await startRedisCluster();
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

const at = ({ port }: RedisProcess, ...command: string[]): Promise<RedisReply> => redisCommand(port, command);

/** Another master than that of the slot. */
async function otherMaster(): Promise<RedisProcess> {
  const owner = await cluster.masterOf(slot);
  const masters = await Promise.all([0, 8_000, 16_383].map((each) => cluster.masterOf(each)));
  return masters.find((master) => master !== owner) as RedisProcess;
}

// Each test leaves a healthy cluster.
describe('a Redis Cluster', () => {
  it('has three masters with equal ranges of slots, and a replica of each', async () => {
    const [first, second, third] = cluster.servers as [RedisProcess, RedisProcess, RedisProcess];
    expect(await Promise.all([0, 5460, 5461, 10_922, 10_923, 16_383].map((each) => cluster.masterOf(each)))).toEqual([
      first,
      first,
      second,
      second,
      third,
      third,
    ]);
    const replicas = await Promise.all([first, second, third].map((master) => cluster.replicasOf(master)));
    expect(replicas).toEqual(cluster.servers.slice(3).map((server) => [server]));
    expect(cluster.url).toBe(`redis+cluster://${cluster.servers.map(({ port }) => `127.0.0.1:${port}`).join()}`);
    for (const { port } of cluster.servers) expect(port + 10_000).toBeLessThan(65_536);
  });

  it('moves a slot with its keys', async () => {
    const [from, to] = [await cluster.masterOf(slot), await otherMaster()];
    expect(await at(from, 'CLUSTER', 'KEYSLOT', '{tu}')).toBe(slot);
    for (let key = 0; key < 10; key++) await at(from, 'SET', `{tu}:${key}`, String(key));
    await cluster.moveSlot(slot, to, { keysPerCommand: 3 });
    expect(await cluster.masterOf(slot)).toBe(to);
    await expect(at(from, 'GET', '{tu}:9')).rejects.toThrow(`MOVED ${slot} 127.0.0.1:${to.port}`);
    expect(await at(to, 'GET', '{tu}:9')).toBe('9');
    expect(await at(to, 'CLUSTER', 'COUNTKEYSINSLOT', String(slot))).toBe(10);
    await cluster.untilHealthy();
    // It is there already.
    await cluster.moveSlot(slot, to);
    await cluster.moveSlot(slot, from);
    await cluster.untilHealthy();
    expect(await cluster.masterOf(slot)).toBe(from);
    await at(from, 'FLUSHALL');
  });

  it.skipIf(!hasRedisCli)('is resharded by redis-cli', async () => {
    const [from, to] = [await cluster.masterOf(slot), await otherMaster()];
    await at(from, 'SET', '{tu}:1', 'kept');
    const ids = await Promise.all([from, to].map((server) => at(server, 'CLUSTER', 'MYID')));
    const address = `127.0.0.1:${from.port}`;
    // The first 50 slots.
    const options = ['--cluster-from', String(ids[0]), '--cluster-to', String(ids[1]), '--cluster-slots', '50'];
    await redisCli('--cluster', 'reshard', address, ...options, '--cluster-yes');
    await cluster.untilHealthy();
    expect(await cluster.masterOf(slot)).toBe(to);
    expect(await at(to, 'GET', '{tu}:1')).toBe('kept');
    await redisCli('--cluster', 'check', address);
  });

  it('fails over to the replica of a slot', async () => {
    const master = await cluster.masterOf(slot);
    const [replica] = await cluster.replicasOf(master);
    await cluster.failover(slot);
    expect(await cluster.masterOf(slot)).toBe(replica);
    await cluster.untilHealthy();
    expect(await cluster.replicasOf(replica as RedisProcess)).toEqual([master]);
  });

  it('moves a replica to another master, which has two then', async () => {
    const [master, other] = [await cluster.masterOf(slot), await otherMaster()];
    const [replica] = (await cluster.replicasOf(master)) as [RedisProcess];
    await at(other, 'WAIT', '1', '0');
    await cluster.moveReplica(replica, other);
    expect(await cluster.replicasOf(other)).toHaveLength(2);
    await cluster.untilHealthy();
    expect(await at(replica, 'ROLE')).toEqual(['slave', '127.0.0.1', other.port, 'connected', expect.any(Number)]);
    await expect(cluster.failover(slot)).rejects.toThrow(`No replica of the master of slot ${slot} replies.`);
    await cluster.moveReplica(replica, master);
    await cluster.untilHealthy();
  });

  it.each(['kill', 'pause'] as const)('elects the replica of a master after %s', async (fault) => {
    const master = await cluster.masterOf(slot);
    const [replica] = await cluster.replicasOf(master);
    await at(master, 'SET', '{tu}:1', 'kept');
    await at(master, 'WAIT', '1', '0');
    await master[fault]();
    // Until the others notice.
    expect(await cluster.masterOf(slot)).toBe(master);
    await cluster.untilHealthy();
    expect(await cluster.masterOf(slot)).toBe(replica);
    expect(await cluster.replicasOf(replica as RedisProcess)).toEqual([]);
    expect(await at(replica as RedisProcess, 'GET', '{tu}:1')).toBe('kept');
    if (fault === 'kill') await master.restart();
    else await master.resume();
    await cluster.untilHealthy();
    expect(await cluster.replicasOf(replica as RedisProcess)).toEqual([master]);
  });

  it('refuses a server of somebody else, and a slot that does not exist', async () => {
    await using stranger = await startRedis();
    await expect(cluster.replicasOf(stranger)).rejects.toThrow(
      `The server on port ${stranger.port} is not in this Redis Cluster.`,
    );
    await expect(cluster.masterOf(16_384)).rejects.toThrow('No master of the Redis Cluster has slot 16384.');
  });
});

it('a Redis Cluster may have a single server, gets arguments, and leaves no process and no files', async () => {
  const args = ['--cluster-require-full-coverage', 'no'];
  const small = await startRedisCluster({ masters: 1, replicasPerMaster: 0, args, nodeTimeoutMs: 500 });
  const [server] = small.servers as [RedisProcess];
  expect(small.servers).toHaveLength(1);
  expect(await at(server, 'CONFIG', 'GET', 'cluster-require-full-coverage')).toContain('no');
  expect(await at(server, 'CONFIG', 'GET', 'cluster-node-timeout')).toContain('500');
  const folder = await readlink(`/proc/${server.pid}/cwd`);
  await access(`${folder}/nodes.conf`);
  await small[Symbol.asyncDispose]();
  await expect(at(server, 'PING')).rejects.toThrow('ECONNREFUSED');
  await expect(access(folder)).rejects.toThrow('ENOENT');
});

it('a Redis Cluster needs a master, and says why its servers cannot start', async () => {
  await expect(startRedisCluster({ masters: 0 })).rejects.toThrow('A Redis Cluster needs at least 1 master, not 0.');
  await expect(startRedisCluster({ masters: 2, args: ['--maxmemory', 'plenty'] })).rejects.toThrow(/plenty/);
});
