/** Copying a partition from one Redis to another, and the scripts that keep both from accepting publications at once. */
import { type RedisProcess, startRedis } from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Script } from '../src/redis/redis.js';
import type { Reply } from '../src/redis/reply-reader.js';
import { publishScript, scripts, shardScripts } from '../src/relay/scripts.js';
import { encodeEntry } from '../src/relay/stream-entry.js';
import { type CopyLink, clear, PartitionCopy, renewEnded } from '../src/shards/partition-copy.js';
import { ShardLink } from '../src/shards/shard-link.js';

const keys = { topicPrefix: 'fanfare:{7}:topic:', generation: 'fanfare:generation', newestEpoch: 'fanfare:epoch' };
const news = `${keys.topicPrefix}news`;
const epoch = '1700000000000000';
const floor = '0000000000000000';
const entry = encodeEntry({ count: 1, bytes: Buffer.from([0xa1, 0x61]), hasKeys: false }, new Map());

const servers: RedisProcess[] = [];
let from: Redis;
let to: Redis;
let source: ShardLink;
let target: ShardLink;

beforeAll(async () => {
  servers.push(...(await Promise.all([startRedis(), startRedis()])));
  [from, to] = servers.map(({ url }) => new Redis(url)) as [Redis, Redis];
  [source, target] = servers.map(linkTo) as [ShardLink, ShardLink];
  await Promise.all([source.ready(), target.ready()]);
});

afterAll(async () => {
  for (const redis of [from, to]) redis.disconnect();
  await Promise.all([source.close(), target.close()]);
  await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
});

beforeEach(async () => {
  await Promise.all([from.flushall(), to.flushall()]);
});

function linkTo({ url }: RedisProcess): ShardLink {
  return new ShardLink('shard', { redisUrl: url, redisTimeoutMs: 5_000, nodeName: 'test' });
}

/** The names of the commands that were sent, in addition to their answers. */
function recorded(link: ShardLink): CopyLink & { readonly sent: string[] } {
  const sent: string[] = [];
  return {
    sent,
    run: (commands) => {
      sent.push(...commands.map(([name]) => name));
      return link.run(commands);
    },
    evaluate: (call) => link.evaluate(call),
  };
}

function run(redis: Redis, { source }: Script, names: readonly string[], args: readonly (string | number | Buffer)[]) {
  return redis.call('EVAL', source, names.length, ...names, ...args) as Promise<Reply>;
}

/** Adds a publication without a script. */
async function add(topic: string, offset: number, id?: string): Promise<void> {
  await from.xadd(topic, `${epoch}-${offset}`, '', entry);
  await from.pexpire(topic, 60_000);
  if (id === undefined) return;
  await from.hset(`${topic}:ids`, id, `${epoch}-${offset}`);
  await from.pexpire(`${topic}:ids`, 30_000);
}

async function namesIn(redis: Redis): Promise<string[]> {
  return (await redis.keys('*')).toSorted();
}

describe('a copy of a partition', () => {
  it('has the streams, the messageIds and the expiries of its topics, and nothing else', async () => {
    await add(news, 1, 'id-1');
    await add(news, 2);
    await from.hset(`${news}:ids:old`, 'id-0', `${epoch}-0`);
    await from.set('fanfare:{8}:topic:other', 'x');
    await from.set('fanfare:generation', `ab:${floor}`);
    expect(await new PartitionCopy(source, target, keys).pass(floor)).toBe(1);
    expect(await namesIn(to)).toEqual([news, `${news}:ids`, `${news}:ids:old`]);
    expect(await to.xrangeBuffer(news, '-', '+')).toEqual(await from.xrangeBuffer(news, '-', '+'));
    expect(await to.hgetall(`${news}:ids`)).toEqual({ 'id-1': `${epoch}-1` });
    expect(await to.pttl(news)).toBeGreaterThan(30_000);
    expect(await to.pttl(news)).toBeLessThanOrEqual(60_000);
    expect(await to.pttl(`${news}:ids`)).toBeLessThanOrEqual(30_000);
    expect(await to.pttl(`${news}:ids:old`)).toBe(-1);
  });

  it('keeps the positions of topics without publications', async () => {
    await add(news, 5);
    await from.xtrim(news, 'MAXLEN', 0);
    await from.set(keys.generation, `ab:${floor}`);
    const fresh = `${keys.topicPrefix}fresh`;
    const names = [keys.generation, keys.newestEpoch, fresh];
    const [position] = (await run(from, scripts.read, names, [
      floor,
      60_000,
      '',
      1,
      1,
      1,
      `ab:${floor}`,
      0,
    ])) as string[];
    await new PartitionCopy(source, target, keys).pass(floor);
    const both = [keys.generation, keys.newestEpoch, news, fresh];
    expect(await run(to, scripts.positions, both, [floor, 1, 1])).toEqual([`${epoch}-5`, position]);
  });

  it('copies only what has changed since the last pass, and removes what is gone', async () => {
    const topics = Array.from({ length: 300 }, (_, number) => `${keys.topicPrefix}t${number}`);
    for (const topic of topics) await add(topic, 1);
    const watched = recorded(source);
    const copy = new PartitionCopy(watched, target, keys);
    expect(await copy.pass(floor)).toBe(300);
    expect(await copy.pass(floor)).toBe(0);
    watched.sent.length = 0;
    await add(topics[3] as string, 2, 'id');
    await from.del(topics[4] as string);
    await add(`${keys.topicPrefix}late`, 1);
    expect(await copy.pass(floor)).toBe(3);
    expect(watched.sent.filter((name) => name === 'DUMP')).toHaveLength(9);
    expect(await namesIn(to)).toEqual(await namesIn(from));
    expect(await to.xlen(topics[3] as string)).toBe(2);
  });

  it('removes what an interrupted copy has left', async () => {
    await to.xadd(`${keys.topicPrefix}gone`, `${epoch}-1`, '', entry);
    await to.set('fanfare:{8}:topic:other', 'x');
    await add(news, 1);
    await new PartitionCopy(source, target, keys).pass(floor);
    expect(await namesIn(to)).toEqual([news, 'fanfare:{8}:topic:other']);
  });

  it('gives a stream another epoch first if its epoch has ended', async () => {
    await add(news, 4);
    await new PartitionCopy(source, target, keys).pass('1800000000000000');
    const [position] = (await run(
      to,
      scripts.positions,
      [keys.generation, keys.newestEpoch, news],
      [floor, 1],
    )) as string[];
    expect(position).toMatch(/^18\d{14}-4$/);
  });

  it('is removed without other partitions', async () => {
    await add(news, 1, 'id');
    await from.set('fanfare:{8}:topic:other', 'x');
    await clear(source, keys.topicPrefix);
    expect(await namesIn(from)).toEqual(['fanfare:{8}:topic:other']);
  });
});

describe('a shard that gets a partition', () => {
  const control = 'fanfare:control';
  const accept = (minEpoch: string, newest: string) =>
    run(
      to,
      shardScripts.accept,
      [keys.generation, keys.newestEpoch, control, 'lock', 'map'],
      [minEpoch, newest, 'me', 4],
    );

  beforeEach(async () => {
    await to.set('lock', 'me');
    await to.set('map', '{"version":4,"partitions":16}');
  });

  it('takes the epochs of the other shard as valid, and begins only later ones', async () => {
    await to.set(keys.generation, `ab.3:1800000000000000`);
    await to.set(keys.newestEpoch, '1800000000000000');
    expect(await accept(floor, '1900000000000000')).toBe(`ab.3:${floor}`);
    expect(await to.get(keys.generation)).toBe(`ab.3:${floor}`);
    expect(await to.get(keys.newestEpoch)).toBe('1900000000000000');
    expect(await accept('1700000000000000', '1')).toBe(`ab.3:${floor}`);
    expect(await to.get(keys.newestEpoch)).toBe('1900000000000000');
  });

  it('first gives its own ended streams another epoch', async () => {
    await to.xadd(news, '1700000000000000-3', '', entry);
    await to.hset(`${news}:ids`, 'a', 'b');
    await to.xadd('fanfare:{8}:topic:new', '1800000000000001-3', '', entry);
    await renewEnded(target, keys, 'fanfare:{', '1800000000000000');
    const [old, fresh] = (await run(
      to,
      scripts.positions,
      [keys.generation, keys.newestEpoch, news, 'fanfare:{8}:topic:new'],
      [floor, 1, 1],
    )) as string[];
    expect(old).toMatch(/^18\d{14}-3$/);
    expect(fresh).toBe('1800000000000001-3');
  });

  it('is not touched while nodes restore its data', async () => {
    await expect(accept(floor, '1')).rejects.toThrow(/^NOGENERATION/);
    expect(await namesIn(to)).toEqual(['lock', 'map']);
  });

  it('is not touched by a command that has lost the lock, or is in another step', async () => {
    await to.set(keys.generation, `ab:1800000000000000`);
    await to.set('map', '{"version":5,"partitions":16}');
    await expect(accept(floor, '1')).rejects.toThrow(/^LOCKLOST/);
    await to.set('map', '{"version":4,"partitions":16}');
    await to.set('lock', 'other');
    await expect(accept(floor, '1')).rejects.toThrow(/^LOCKLOST/);
    expect(await to.get(keys.generation)).toBe('ab:1800000000000000');
    expect(await to.get(keys.newestEpoch)).toBe(null);
  });
});

describe('the fence of a shard', () => {
  const runKey = 'fanfare:run';

  async function serve(generation: string): Promise<void> {
    const of = (section: string, field: string): Promise<string> =>
      from.info(section).then((text) => new RegExp(`${field}:(\\w+)`).exec(text)?.[1] ?? '');
    await from.set(runKey, `${await of('server', 'run_id')}:${await of('replication', 'master_replid')}`);
    await from.set(keys.generation, generation);
  }

  /** As the command that has the lock, and has written the map of this version. */
  async function fence(version: number, recovery = ''): Promise<string[]> {
    await from.set('lock', 'me');
    await from.set('map', `{"version":${version},"partitions":16}`);
    return raise(version, 'me', recovery);
  }

  const raise = (version: number, owner: string, recovery = '') =>
    run(
      from,
      shardScripts.fence,
      [keys.generation, keys.newestEpoch, 'lock', 'map'],
      [version, owner, recovery],
    ) as Promise<string[]>;

  const publish = (generation: string) =>
    run(
      from,
      publishScript(''),
      [keys.generation, keys.newestEpoch, runKey, news],
      [generation, floor, 60_000, '', '', '', 60_000, 1, entry, '', 0],
    );

  const probe = (generation: string) =>
    run(
      from,
      scripts.heartbeat,
      ['nodes', runKey, 'clock', 'connections', 'layout', 'unpublished', keys.generation, 'probe'],
      ['node', 1_000, '1', '3', 1, '', generation, 1],
    ).then((answer) => (answer as readonly unknown[])[6]);

  const readNew = (generation: string) =>
    run(
      from,
      scripts.read,
      [keys.generation, keys.newestEpoch, `${keys.topicPrefix}new`],
      [floor, 60_000, '', 1, 1, 1, generation, 0],
    );

  it('refuses nodes with an older map, and only them', async () => {
    await serve(`ab:${floor}`);
    await publish(`ab:${floor}`);
    expect(await fence(7)).toEqual([`ab.7:${floor}`, expect.stringMatching(/^\d{16}$/)]);
    for (const call of [publish, readNew]) {
      await expect(call(`ab:${floor}`)).rejects.toThrow(/^STALE/);
      await expect(call(`ab.6:${floor}`)).rejects.toThrow(/^STALE/);
      await expect(call(`cd.7:${floor}`)).rejects.toThrow(/^STALE/);
      await expect(call('ab.7:')).rejects.toThrow(/^STALE/);
      await expect(call('')).rejects.toThrow(/^STALE/);
      await call(`ab.7:${floor}`);
    }
    expect(await probe(`ab.6:${floor}`)).toMatchObject({ message: expect.stringMatching(/^STALE/) });
    expect(await probe(`ab.7:${floor}`)).toBe(1);
    expect(await from.xlen(news)).toBe(2);
  });

  it('lets nodes be ahead, and is never lowered', async () => {
    await serve(`ab:${floor}`);
    await publish(`ab.7:${floor}`);
    expect(await probe(`ab.7:${floor}`)).toBe(1);
    await fence(7);
    expect((await fence(5))[0]).toBe(`ab.7:${floor}`);
    await publish(`ab.12:${floor}`);
    // A partition with older epochs is being copied here, and the node does not know it yet.
    await publish('ab.12:1800000000000000');
    await expect(publish('')).rejects.toThrow(/^STALE/);
  });

  it('is raised only by the command that has the lock and has written the map, and in the wanted recovery', async () => {
    await serve(`ab:${floor}`);
    await fence(3);
    await expect(raise(4, 'me')).rejects.toThrow(/^LOCKLOST/);
    await expect(raise(3, 'other')).rejects.toThrow(/^LOCKLOST/);
    await from.del('lock');
    await expect(raise(3, 'me')).rejects.toThrow(/^LOCKLOST/);
    expect((await fence(5, 'cd'))[0]).toBe(`ab.3:${floor}`);
    expect((await fence(5, 'ab'))[0]).toBe(`ab.5:${floor}`);
  });

  it('refuses everybody while there is no generation', async () => {
    await serve(`ab:${floor}`);
    await from.del(keys.generation);
    await expect(fence(7)).rejects.toThrow(/^NOGENERATION/);
    for (const name of ['', `ab.7:${floor}`]) await expect(readNew(name)).rejects.toThrow(/^STALE/);
    await expect(publish(`ab.7:${floor}`)).rejects.toThrow(/^STALE/);
  });
});

describe('commands of a command that changes the map', () => {
  const runAll = (owner: string, ...words: readonly (string | number)[]) =>
    run(from, shardScripts.run, ['lock'], [owner, ...words]);

  it('are run one after the other while it has the lock, and not at all later', async () => {
    await from.set('lock', 'me');
    expect(await runAll('me', 3, 'SET', 'a', '1', 2, 'GET', 'a', 2, 'DEL', 'b')).toEqual(['OK', '1', 0]);
    await from.set('lock', 'other');
    await expect(runAll('me', 2, 'UNLINK', 'a')).rejects.toThrow(/^LOCKLOST/);
    expect(await from.get('a')).toBe('1');
  });
});

describe('the map in a shard', () => {
  const exchange = async (text: string, version: number, owner = '') => {
    const [map] = (await run(
      from,
      scripts.map,
      ['map', 'lock', 'control', 'layout'],
      [text, version, owner],
    )) as string[];
    return map;
  };
  const map = (version: number): string => `{"version":${version},"partitions":16}`;

  it('is replaced only by a newer one', async () => {
    expect(await exchange('', 0)).toBe('');
    expect(await exchange(map(2), 2)).toBe(map(2));
    expect(await exchange(map(1), 1)).toBe(map(2));
    expect(await exchange('{"version":2,"partitions":32}', 2)).toBe(map(2));
    expect(await exchange('', 0)).toBe(map(2));
    expect(await exchange(map(10), 10)).toBe(map(10));
  });

  it('is changed only by the owner of the lock', async () => {
    await exchange(map(1), 1);
    expect(await exchange(map(2), 2, 'me')).toBe(map(1));
    await from.set('lock', 'me');
    expect(await exchange(map(2), 2, 'other')).toBe(map(1));
    expect(await exchange(map(2), 2, 'me')).toBe(map(2));
  });
});
