/** The URL of one Redis: by TCP or Unix socket, or by the Sentinels that know the master. placement.ts reads lists. */
import { isIPv6 } from 'node:net';

export interface RedisAddress {
  /** One Redis, or Sentinels; empty for a Unix socket. */
  readonly servers: readonly RedisServer[];
  /** The path of a Unix socket; null for TCP. */
  readonly socketPath: string | null;
  /** The name of the master for the Sentinels; null without Sentinels. */
  readonly masterName: string | null;
  /** User of Redis, percent-decoded; null if the URL has none. The user of the Sentinels is in the query. */
  readonly username: string | null;
  readonly password: string | null;
  readonly sentinelUsername: string | null;
  readonly sentinelPassword: string | null;
  /** Whether to use TLS for Redis and for the Sentinels. */
  readonly isTls: boolean;
  readonly database: number;
}

interface RedisServer {
  readonly host: string;
  readonly port: number;
}

/**
 * The URL is invalid. The message continues after the name of the setting, and repeats no part of the URL, which may
 * contain a password.
 */
export class RedisUrlError extends Error {
  override readonly name = 'RedisUrlError';
}

const redisPort = 6_379;
const sentinelPort = 26_379;

const socketUrl = /^unix:\/\/(?:([^/?#]*)@)?(\/[^?#]+)(?:\?([^#]*))?$/;
const url = /^(rediss?)(\+sentinel)?:\/\/(?:([^/?#]*)@)?([^@/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/;
const hostAndPort = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/;
const hostName = /^[A-Za-z0-9._-]+$/;
const redisFields = ['db'];
const sentinelFields = ['db', 'sentinelUsername', 'sentinelPassword'];

/** How to write characters that must be encoded. Base64 contains one of them, the "/". */
const encoding =
  'In a user or password, write % as %25, / as %2F, ? as %3F and # as %23, or put the plain password into a file and set FANFARE_REDIS_PASSWORD_FILE.';

/** Throws {@link RedisUrlError}. */
export function readRedisUrl(text: string): RedisAddress {
  checkCharacters(text);
  if (text.startsWith('unix:')) return readSocketUrl(text);
  const match = url.exec(text);
  if (match === null) throw new RedisUrlError(explainForm(text));
  const [, scheme, sentinel, login = '', hosts = '', path = '', query = ''] = match;
  // The password of a Sentinel, which follows a "=", may contain "@".
  if (path.includes('@') || /^[^=]*@/.test(query))
    throw new RedisUrlError(`has a "/" or "?" in its user or password. ${encoding}`);
  const isSentinel = sentinel !== undefined;
  const servers = readServers(hosts, isSentinel);
  if (isSentinel) checkMasterName(path);
  const fields = readQuery(query, isSentinel ? sentinelFields : redisFields);
  if (!isSentinel && path !== '' && fields.has('db'))
    throw new RedisUrlError('has two databases. Write the number after the "/" or in ?db=, not in both.');
  return {
    servers,
    socketPath: null,
    masterName: isSentinel ? path : null,
    ...readLogin(login),
    sentinelUsername: fields.get('sentinelUsername'),
    sentinelPassword: fields.get('sentinelPassword'),
    isTls: scheme === 'rediss',
    database: readDatabase((isSentinel ? '' : path) || (fields.get('db') ?? '0'), isSentinel),
  };
}

function readSocketUrl(text: string): RedisAddress {
  if (/^unix:\/\/[^/?#]*[/?#].*@/.test(text))
    throw new RedisUrlError(`has a "/", "?" or "#" in its user or password. ${encoding}`);
  const match = socketUrl.exec(text);
  if (match === null)
    throw new RedisUrlError(
      'is not a valid URL of a Unix socket. Write unix:///run/redis/redis.sock, or unix://user:password@/run/redis/redis.sock?db=1.',
    );
  const [, login = '', path = '', query = ''] = match;
  return {
    servers: [],
    socketPath: decodeURIComponent(path),
    masterName: null,
    ...readLogin(login),
    sentinelUsername: null,
    sentinelPassword: null,
    isTls: false,
    database: readDatabase(readQuery(query, redisFields).get('db') ?? '0', true),
  };
}

function readLogin(login: string): Pick<RedisAddress, 'username' | 'password'> {
  const [, username, password] = /^([^:]*):?(.*)$/.exec(login) ?? [];
  return { username: decoded(username), password: decoded(password) };
}

function checkCharacters(text: string): void {
  if (/[\s\p{Cc}]/u.test(text))
    throw new RedisUrlError('contains a space or a line break. Remove it, or write %20 for a space in a password.');
  try {
    decodeURIComponent(text);
  } catch {
    throw new RedisUrlError(`has a "%" that is not followed by two hexadecimal digits of a character. ${encoding}`);
  }
}

function explainForm(text: string): string {
  if (!text.includes('://'))
    return 'is not a URL. Write redis://host:6379, or with Sentinels redis+sentinel://host1:26379,host2:26379/mymaster.';
  if (!/^rediss?(\+sentinel)?:\/\//.test(text))
    return 'has an unknown scheme. Use redis://, redis+sentinel://, redis+shards://, redis+shards+sentinel:// or redis+cluster://, for TLS with rediss instead of redis, or unix://. Write it in lower case.';
  return `has a "#". ${encoding}`;
}

function readServers(hosts: string, isSentinel: boolean): readonly RedisServer[] {
  if (hosts === '')
    throw new RedisUrlError(
      'has no host. Write it after "://" or "@", as in redis://user:password@host:6379. A Unix socket is unix:///path.',
    );
  const addresses = hosts.split(',');
  if (!isSentinel && addresses.length > 1)
    throw new RedisUrlError(
      'has several hosts. Write redis+shards://a:6379;b:6379 for several Redis, redis+cluster://a:6379,b:6379 for a Redis Cluster, or redis+sentinel://a:26379,b:26379/mymaster for Sentinels.',
    );
  if (addresses.includes(''))
    throw new RedisUrlError('has an empty entry in its list of Sentinels. Separate them with single commas.');
  return addresses.map((address) => readServer(address, isSentinel ? sentinelPort : redisPort));
}

function readServer(address: string, defaultPort: number): RedisServer {
  if (!address.startsWith('[') && /:.*:/.test(address))
    throw new RedisUrlError(
      `has several ":" in a host. Write an IPv6 address in brackets, as in [::1]:${defaultPort}.`,
    );
  const [, name = '', port = String(defaultPort)] = hostAndPort.exec(address) ?? [];
  const host = name.replace(/^\[|\]$/g, '');
  if (!(name.startsWith('[') ? isIPv6(host) : hostName.test(name)))
    throw new RedisUrlError(
      'has an invalid host. Use letters, digits, ".", "_" and "-", or an IPv6 address in brackets.',
    );
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535)
    throw new RedisUrlError(`has an invalid port. Use 1-65535, or omit it for ${defaultPort}.`);
  return { host, port: Number(port) };
}

function checkMasterName(name: string): void {
  if (name === '')
    throw new RedisUrlError('has no master name. Write the name that the Sentinels use after a "/", as in /mymaster.');
  if (!/^[A-Za-z0-9._-]+$/.test(name))
    throw new RedisUrlError(
      'has a master name with characters other than A-Z a-z 0-9 . _ -. Write the name that the Sentinels use. Put a database number in ?db=.',
    );
}

function readQuery(query: string, known: readonly string[]): URLSearchParams {
  // A "+" is a literal plus sign: the query is not an HTML form.
  const fields = new URLSearchParams(query.replaceAll('+', '%2B'));
  const names = [...fields.keys()];
  if (!names.every((name) => known.includes(name)))
    throw new RedisUrlError(`has an unknown parameter after the "?". Valid parameters: ${known.join('=, ')}=.`);
  if (new Set(names).size < names.length)
    throw new RedisUrlError('has a duplicate parameter after the "?". Write each only once.');
  return fields;
}

function readDatabase(text: string, isSentinel: boolean): number {
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new RedisUrlError(
    isSentinel
      ? 'has an invalid database. Write its number in ?db=, as in ?db=1.'
      : 'has an invalid database. Write its number after the "/", as in redis://host:6379/1 (a master name requires redis+sentinel://).',
  );
}

function decoded(part: string | undefined): string | null {
  return part === undefined || part === '' ? null : decodeURIComponent(part);
}
