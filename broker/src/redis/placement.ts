/** FANFARE_REDIS_URL: where the partitions are. One Redis, a list of shards, or a Redis Cluster. */
import { isIPv6 } from 'node:net';
import { type RedisAddress, RedisUrlError, readRedisUrl } from './redis-url.js';

/** Each `url`, and each of the seeds, is a URL for {@link readRedisUrl}, with the login. */
export type Placement =
  | { readonly kind: 'single'; readonly url: string }
  | { readonly kind: 'shards'; readonly shards: readonly Shard[] }
  /** Any servers of the Cluster: nodes find the others through them. */
  | { readonly kind: 'cluster'; readonly seeds: readonly string[] };

export interface Shard {
  /**
   * How nodes, metrics and `fanfare shards` call it, however the URL is written: `host:port`, or with Sentinels
   * `host:port,host:port/master`. Contains no login.
   */
  readonly name: string;
  readonly url: string;
}

/** One shard, or all seeds of a Cluster, as in the URL. */
interface Entry {
  /** `user:password@`, still percent-encoded; empty if there is none. */
  readonly login: string;
  readonly hosts: string;
  /** `/` and the database or the master; empty if there is none. */
  readonly path: string;
}

const placementUrl = /^(rediss?)\+(shards|shards\+sentinel|cluster):\/\/([^?]*)(\?.*)?$/s;
const entryText = /^([^/@]*@)?([^/@]*)(\/[^@]*)?$/;

const encoding =
  'In users and passwords, percent-encode every character except letters, digits and "-._~", or put the plain password into a file and set FANFARE_REDIS_PASSWORD_FILE.';

/** Throws {@link RedisUrlError}. */
export function readPlacement(text: string): Placement {
  const match = placementUrl.exec(text);
  if (match === null) {
    readRedisUrl(text);
    return { kind: 'single', url: text };
  }
  const [, scheme = '', form, list = '', query = ''] = match;
  // The password of a Sentinel, which follows a "=", may contain "@".
  if (text.includes('#') || /^[^=]*@/.test(query))
    throw new RedisUrlError(`has a "?" or "#" in a user or password. ${encoding}`);
  if (list.includes('://'))
    throw new RedisUrlError(
      'has "://" more than once. Write the scheme only at the beginning, as in redis+shards://a:6379;b:6379. Unix sockets cannot be in a list.',
    );
  if (form === 'cluster') return { kind: 'cluster', seeds: readSeeds(scheme, list, query) };
  return { kind: 'shards', shards: readShards(scheme, list, query, form === 'shards+sentinel') };
}

/** The addresses of all servers in the URL. */
export function addressesOf(placement: Placement): readonly RedisAddress[] {
  return urlsOf(placement).map(readRedisUrl);
}

/** The URLs of all servers in the URL. */
export function urlsOf(placement: Placement): readonly string[] {
  switch (placement.kind) {
    case 'single':
      return [placement.url];
    case 'shards':
      return placement.shards.map(({ url }) => url);
    case 'cluster':
      return placement.seeds;
  }
}

function readSeeds(scheme: string, list: string, query: string): readonly string[] {
  if (query !== '') throw new RedisUrlError('has a "?". A Redis Cluster has no parameters: remove it.');
  if (list.includes(';'))
    throw new RedisUrlError(
      'has a ";" in a list of servers of a Redis Cluster. Separate them with ",", as in redis+cluster://a:6379,b:6379.',
    );
  const { login, hosts, path } = readEntry(list, 'Write the login once, before the first host.');
  if (!/^(\/0?)?$/.test(path))
    throw new RedisUrlError('has a database, and a Redis Cluster has only database 0. Remove the "/" and its number.');
  const seeds = hosts.split(',');
  // Mistakes in what all servers share are reported without the number of a server.
  readRedisUrl(`${scheme}://${login}host`);
  checkList(seeds, 'servers', ',');
  const names = seeds.map((host, index) => nameOf(checkServer(`${scheme}://${host}`, `server ${index + 1}`)));
  if (new Set(names).size < names.length) throw new RedisUrlError('lists a server twice. Remove one.');
  return names.map((name) => `${scheme}://${login}${name}`);
}

function readShards(scheme: string, list: string, query: string, isSentinel: boolean): readonly Shard[] {
  const entries = list.split(';').map((text) => readEntry(text, 'Separate shards with ";".'));
  checkList(
    entries.map(({ hosts }) => hosts),
    'shards',
    ';',
  );
  const [first, last] = [entries[0] as Entry, entries.at(-1) as Entry];
  if (first.login === '' && entries.some(({ login }) => login !== ''))
    throw new RedisUrlError(
      `has a user or password, but not before its first host. Write it there: shards without one use the first. ${encoding}`,
    );
  if (!isSentinel && entries.some(({ hosts }) => hosts.includes(',')))
    throw new RedisUrlError(
      'has a "," in a list of shards. Separate them with ";", as in redis+shards://a:6379;b:6379.',
    );
  if (!isSentinel && entries.some((entry) => entry !== last && entry.path !== ''))
    throw new RedisUrlError('has a database before its last shard. All shards use the same one: write it at the end.');
  const kind = isSentinel ? `${scheme}+sentinel` : scheme;
  const pathOf = (entry: Entry): string => (isSentinel ? entry.path : last.path);
  // Mistakes in what all shards share are reported without the number of a shard.
  readRedisUrl(`${kind}://host${isSentinel ? '/master' : last.path}${query}`);
  const shards = entries.map((entry, index) => {
    const url = `${kind}://${entry.login || first.login}${entry.hosts}${pathOf(entry)}${query}`;
    return { name: nameOf(checkServer(url, `shard ${index + 1}`)), url };
  });
  checkDifferent(shards.map(({ url }) => readRedisUrl(url)));
  return shards;
}

function readEntry(text: string, advice: string): Entry {
  const match = entryText.exec(text);
  if (match === null) throw new RedisUrlError(`has an unexpected "/" or "@". ${advice} ${encoding}`);
  const [, login = '', hosts = '', path = ''] = match;
  return { login, hosts, path };
}

function checkList(parts: readonly string[], what: string, separator: string): void {
  if (parts.join('') === '')
    throw new RedisUrlError(`has no ${what}. Write them after "://", with "${separator}" between them.`);
  if (parts.includes(''))
    throw new RedisUrlError(`has an empty entry in its list of ${what}. Separate them with a single "${separator}".`);
}

function checkServer(url: string, which: string): RedisAddress {
  try {
    return readRedisUrl(url);
  } catch (error) {
    if (!(error instanceof RedisUrlError)) throw error;
    throw new RedisUrlError(`has a mistake in ${which}: it ${error.message}`);
  }
}

/** Sentinels watch several masters, and a master has several Sentinels: one of them in common is enough. */
function checkDifferent(addresses: readonly RedisAddress[]): void {
  const seen = new Map<string, number>();
  for (const [index, { servers, masterName }] of addresses.entries()) {
    for (const server of servers) {
      const name = `${hostAndPort(server)}/${masterName}`;
      const earlier = seen.get(name) ?? index;
      if (earlier !== index)
        throw new RedisUrlError(`lists the same Redis as shard ${earlier + 1} and as shard ${index + 1}. Remove one.`);
      seen.set(name, index);
    }
  }
}

/**
 * The same shard at another address: login, database and query stay. `name`: as in {@link Shard.name}. Throws
 * {@link RedisUrlError}.
 */
export function shardAt({ url }: Shard, name: string): Shard {
  const [, head = '', path = '', query = ''] = /^([^:]*:\/\/(?:[^@/]*@)?)[^/?]*(\/[^?]*)?(\?.*)?$/s.exec(url) ?? [];
  const isSentinel = readRedisUrl(url).masterName !== null;
  if (!(isSentinel ? /^[^@?#;/]+\/[^@?#;/]+$/ : /^[^@?#;/]+$/).test(name))
    throw new RedisUrlError('has an invalid name of a shard.');
  const renamed = `${head}${name}${isSentinel ? '' : path}${query}`;
  return { name: nameOf(readRedisUrl(renamed)), url: renamed };
}

/** The name of a shard. */
export function nameOf({ servers, masterName }: RedisAddress): string {
  return servers.map(hostAndPort).join(',') + (masterName === null ? '' : `/${masterName}`);
}

function hostAndPort({ host, port }: RedisAddress['servers'][number]): string {
  return `${isIPv6(host) ? `[${host}]` : host.toLowerCase()}:${port}`;
}
