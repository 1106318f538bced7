/** FANFARE_REDIS_URL with several servers: its forms, and a sentence for each mistake. */
import { describe, expect, it } from 'vitest';
import { type Placement, readPlacement, urlsOf } from '../src/redis/placement.js';
import { readRedisCredentials } from '../src/redis/redis-credentials.js';
import { RedisUrlError, readRedisUrl } from '../src/redis/redis-url.js';
import { CertificateFolder } from './certificates.js';
import { wrong } from './wrong.js';

function shards(...list: readonly (readonly [name: string, url: string])[]): Placement {
  return { kind: 'shards', shards: list.map(([name, url]) => ({ name, url })) };
}

function cluster(...seeds: readonly string[]): Placement {
  return { kind: 'cluster', seeds };
}

function mistakeOf(url: string): string {
  try {
    readPlacement(url);
  } catch (error) {
    if (error instanceof RedisUrlError) return error.message;
    throw error;
  }
  return '';
}

describe('the Redis URL', () => {
  it.each(['redis://:a;b,c@redis/1', 'unix:///run/redis/redis.sock', 'rediss+sentinel://one,two/mymaster'])(
    'places all partitions in one Redis: %s',
    (url) => {
      expect(readPlacement(url)).toEqual({ kind: 'single', url });
    },
  );

  it.each<[string, Placement]>([
    ['redis+shards://a', shards(['a:6379', 'redis://a'])],
    ['redis+shards://A:1;[::1]', shards(['a:1', 'redis://A:1'], ['[::1]:6379', 'redis://[::1]'])],
    [
      'rediss+shards://user:p%40%3B@a:6379;b:6380/2',
      shards(['a:6379', 'rediss://user:p%40%3B@a:6379/2'], ['b:6380', 'rediss://user:p%40%3B@b:6380/2']),
    ],
    ['redis+shards://:p@a;b?db=2', shards(['a:6379', 'redis://:p@a?db=2'], ['b:6379', 'redis://:p@b?db=2'])],
    [
      'redis+shards://u1:p1@a;u2:p2@b;c',
      shards(['a:6379', 'redis://u1:p1@a'], ['b:6379', 'redis://u2:p2@b'], ['c:6379', 'redis://u1:p1@c']),
    ],
    [
      'redis+shards+sentinel://user:p@one,two:1/red;one,two:1/blue?db=1&sentinelPassword=s@;',
      shards(
        ['one:26379,two:1/red', 'redis+sentinel://user:p@one,two:1/red?db=1&sentinelPassword=s@;'],
        ['one:26379,two:1/blue', 'redis+sentinel://user:p@one,two:1/blue?db=1&sentinelPassword=s@;'],
      ),
    ],
    // Different masters that happen to have one name.
    [
      'rediss+shards+sentinel://one/m;two/m',
      shards(['one:26379/m', 'rediss+sentinel://one/m'], ['two:26379/m', 'rediss+sentinel://two/m']),
    ],
    ['redis+cluster://a', cluster('redis://a:6379')],
    [
      'rediss+cluster://user:p@a:7000,B,[::1]:7002/0',
      cluster(...['a:7000', 'b:6379', '[::1]:7002'].map((host) => `rediss://user:p@${host}`)),
    ],
  ])('places the partitions on several servers: %s', (url, placement) => {
    expect(readPlacement(url)).toEqual(placement);
    for (const server of urlsOf(placement)) expect(readRedisUrl(server).servers).not.toEqual([]);
  });

  it.each([
    [
      'redis://:secret@a,b',
      'has several hosts. Write redis+shards://a:6379;b:6379 for several Redis, redis+cluster://',
    ],
    [
      'redis+cluster+sentinel://:secret@a/m',
      'has an unknown scheme. Use redis://, redis+sentinel://, redis+shards://,',
    ],
    ['REDIS+SHARDS://:secret@a', 'has an unknown scheme.'],
    ['redis+shards://:sec#ret@a;b', 'has a "?" or "#" in a user or password. In users and passwords, percent-encode'],
    ['redis+cluster://:sec?ret@a,b', 'has a "?" or "#" in a user or password. In users and passwords, percent-encode'],
    ['redis+shards://:sec ret@a;b', 'has a mistake in shard 1: it contains a space or a line break.'],
    ['redis+shards://:secret%zz@a;b', 'has a mistake in shard 1: it has a "%" that is not followed by two'],
    ['redis+shards://redis://:secret@a;redis://b', 'has "://" more than once. Write the scheme only at the beginning,'],
    ['redis+shards://a;unix:///secret', 'Unix sockets cannot be in a list.'],
    ['redis+shards://', 'has no shards. Write them after "://", with ";" between them.'],
    ['redis+shards://:secret@', 'has no shards. Write them after'],
    ['redis+shards:///secret.sock', 'has no shards. Write them after'],
    ['redis+shards://:secret@a;;b', 'has an empty entry in its list of shards. Separate them with a single ";".'],
    ['redis+shards://:secret@a;b;', 'has an empty entry in its list of shards. Separate them with a single ";".'],
    ['redis+shards://:secret@a,b', 'has a "," in a list of shards. Separate them with ";", as in redis+shards://a'],
    ['redis+shards://:secret@a,:secret@b', 'has an unexpected "/" or "@". Separate shards with ";". In users and'],
    ['redis+shards://:sec/ret@a;b', 'has an unexpected "/" or "@". Separate shards with ";". In users and'],
    ['redis+shards://:sec;ret@a;b', 'has a user or password, but not before its first host. Write it there: shards'],
    ['redis+shards://:secret@a/1;b/1', 'has a database before its last shard. All shards use the same one: write it'],
    ['redis+shards://:secret@a;b/mymaster', 'has an invalid database. Write its number after the "/", as in'],
    ['redis+shards://:secret@a;b/1?db=1', 'has two databases.'],
    ['redis+shards://:secret@a;b?timeout=1', 'has an unknown parameter after the "?". Valid parameters: db=.'],
    [
      'redis+shards://:secret@a;b:x;c',
      'has a mistake in shard 2: it has an invalid port. Use 1-65535, or omit it for 6379.',
    ],
    ['redis+shards://:secret@a;b;A:6379', 'lists the same Redis as shard 1 and as shard 3. Remove one.'],
    ['redis+shards+sentinel://:secret@one,two/m;two,three/m', 'lists the same Redis as shard 1 and as shard 2. Remove'],
    ['redis+shards+sentinel://:secret@one/m;two', 'has a mistake in shard 2: it has no master name. Write the name'],
    ['redis+shards+sentinel://:secret@one,,two/m', 'has a mistake in shard 1: it has an empty entry in its list of'],
    ['redis+shards+sentinel://:secret@one/m;two/m/1', 'has a mistake in shard 2: it has a master name with characters'],
    ['redis+cluster://', 'has no servers. Write them after "://", with "," between them.'],
    // Found by `npm run fuzz -- --target config`.
    ['redis+cluster://:secret%@a,b', 'has a "%" that is not followed by two'],
    ['redis+cluster://:sec ret@a,b', 'contains a space or a line break.'],
    ['redis+cluster://:secret@a,,b', 'has an empty entry in its list of servers. Separate them with a single ",".'],
    ['redis+cluster://:secret@a;b', 'has a ";" in a list of servers of a Redis Cluster. Separate them with ","'],
    ['redis+cluster://:secret@a,:secret@b', 'has an unexpected "/" or "@". Write the login once, before the first'],
    ['redis+cluster://:secret@a,b/1', 'has a database, and a Redis Cluster has only database 0. Remove the "/" and'],
    ['redis+cluster://:secret@a,b?db=0', 'has a "?". A Redis Cluster has no parameters: remove it.'],
    ['redis+cluster://:secret@a,b:0', 'has a mistake in server 2: it has an invalid port.'],
    ['redis+cluster://:secret@a,b,A:6379', 'lists a server twice. Remove one.'],
  ])('stops the start with a sentence about %s, and does not print it', (url, begin) => {
    expect(mistakeOf(url)).toContain(begin);
    const sentences = wrong({ FANFARE_REDIS_URL: url });
    expect(sentences).toEqual([expect.stringMatching(/^FANFARE_REDIS_URL [^\n]+\.$/)]);
    expect(sentences[0]).not.toMatch(/sec.?ret/);
  });
});

describe('files for several servers', () => {
  it('apply to all of them', () => {
    using folder = new CertificateFolder('one');
    const password = folder.write('password', 'p');
    const files = {
      FANFARE_REDIS_PASSWORD_FILE: password,
      FANFARE_REDIS_CA_FILE: folder.certFile,
      FANFARE_REDIS_CERT_FILE: folder.certFile,
      FANFARE_REDIS_KEY_FILE: folder.keyFile,
    };
    for (const url of ['rediss+shards://user@a;b', 'rediss+shards+sentinel://a/m;b/m', 'rediss+cluster://user@a,b'])
      expect(wrong({ FANFARE_REDIS_URL: url, ...files })).toEqual([]);
    expect(wrong({ FANFARE_REDIS_URL: 'rediss+shards://u1@a;u2:p@b', ...files })).toEqual([
      'FANFARE_REDIS_PASSWORD_FILE is set, and FANFARE_REDIS_URL also has a password. Remove one.',
    ]);
    expect(
      wrong({
        FANFARE_REDIS_URL: 'redis+shards://a;b',
        FANFARE_REDIS_CA_FILE: folder.certFile,
        FANFARE_REDIS_SENTINEL_PASSWORD_FILE: password,
      }),
    ).toEqual([
      'FANFARE_REDIS_CA_FILE requires TLS. FANFARE_REDIS_URL must begin with "rediss" instead of "redis".',
      'FANFARE_REDIS_SENTINEL_PASSWORD_FILE is set, but FANFARE_REDIS_URL has no Sentinels. Remove the setting.',
    ]);
  });

  it('with the URL give each server its own login, and all masters of a Redis Cluster the same one', () => {
    using folder = new CertificateFolder('one');
    const loginOf = (text: string, redisUrl: string, isCluster = false): unknown => {
      const redisUrlFile = folder.write('url', `${text}\n`);
      const { username, password } = readRedisCredentials({ redisUrl, redisUrlFile, isCluster });
      return [username, password];
    };
    const list = 'redis+shards://u:p@a;u2:p2@b;c/1';
    expect(loginOf(list, 'redis://old@a:6379/1')).toEqual(['u', 'p']);
    expect(loginOf(list, 'redis://old@b/1')).toEqual(['u2', 'p2']);
    expect(loginOf(list, 'redis://old@c/1')).toEqual(['u', 'p']);
    expect(loginOf('redis+shards+sentinel://u:p@a/one;u2@a/two', 'redis+sentinel://a/two')).toEqual(['u2', null]);
    expect(loginOf('rediss+cluster://u:p@a,b', 'rediss://master:7000', true)).toEqual(['u', 'p']);
    for (const [text, redisUrl, isCluster] of [
      [list, 'redis://a/2'],
      [list, 'redis://d/1'],
      [list, 'rediss://a/1'],
      ['redis+cluster://a', 'rediss://a', true],
      ['redis+cluster://a', 'redis://a', false],
      ['redis://a', 'redis://a', true],
      ['redis://a', 'redis://b'],
    ] as const)
      expect(() => loginOf(text, redisUrl, isCluster)).toThrow(
        'whose URL points to a different server, database or master',
      );
  });
});
