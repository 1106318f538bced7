/** FANFARE_REDIS_URL: one Redis by TCP or Unix socket, or the Sentinels that know which of several is the master. */
import { isIPv6 } from 'node:net';

export interface RedisAddress {
  /** One Redis, or Sentinels; empty for a Unix socket. */
  readonly servers: readonly RedisServer[];
  /** The path of a Unix socket; null for TCP. */
  readonly socketPath: string | null;
  /** What the Sentinels call the master; null where the one server is Redis itself. */
  readonly masterName: string | null;
  /** Of Redis, percent-decoded; null where the URL has none. Those of the Sentinels stand in its query. */
  readonly username: string | null;
  readonly password: string | null;
  readonly sentinelUsername: string | null;
  readonly sentinelPassword: string | null;
  /** Redis and Sentinels alike. */
  readonly isTls: boolean;
  readonly database: number;
}

export interface RedisServer {
  readonly host: string;
  readonly port: number;
}

/** What is wrong with a URL, to go on from the name of the setting. Shows nothing of it: any part may be one of a password. */
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

/** The characters that must be encoded. Base64 has one of them, the "/". */
const encoding =
  'In a user or password write % as %25, / as %2F, ? as %3F and # as %23, or put the password as it is into the file of FANFARE_REDIS_PASSWORD_FILE.';

/** Throws {@link RedisUrlError}. */
export function readRedisUrl(text: string): RedisAddress {
  checkCharacters(text);
  if (text.startsWith('unix:')) return readSocketUrl(text);
  const match = url.exec(text);
  if (match === null) throw new RedisUrlError(explainForm(text));
  const [, scheme, sentinel, login = '', hosts = '', path = '', query = ''] = match;
  // The password of a Sentinel, which follows a "=", may hold one.
  if (path.includes('@') || /^[^=]*@/.test(query))
    throw new RedisUrlError(`has a "/" or "?" in its user or password. ${encoding}`);
  const isSentinel = sentinel !== undefined;
  const servers = readServers(hosts, isSentinel);
  if (isSentinel) checkMasterName(path);
  const fields = readQuery(query, isSentinel ? sentinelFields : redisFields);
  if (!isSentinel && path !== '' && fields.has('db'))
    throw new RedisUrlError('names its database twice: write it behind the "/" or behind ?db=, not both.');
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
      'is no URL of a Unix socket: write unix:///run/redis/redis.sock, or unix://user:password@/run/redis/redis.sock?db=1.',
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
    throw new RedisUrlError('has a space or a line break: take it out, or write %20 for a space in a password.');
  try {
    decodeURIComponent(text);
  } catch {
    throw new RedisUrlError(`has a "%" that encodes no character. ${encoding}`);
  }
}

function explainForm(text: string): string {
  if (!text.includes('://'))
    return 'is no URL: write redis://host:6379, or with Sentinels redis+sentinel://host1:26379,host2:26379/mymaster.';
  if (!/^rediss?(\+sentinel)?:\/\//.test(text))
    return 'is a URL of something else: it must begin with redis://, or rediss:// for TLS, or with Sentinels redis+sentinel:// or rediss+sentinel://, or for a Unix socket unix://, in lower case.';
  return `has a "#". ${encoding}`;
}

function readServers(hosts: string, isSentinel: boolean): readonly RedisServer[] {
  if (hosts === '')
    throw new RedisUrlError(
      'names no host: write it behind "://" or the "@", as in redis://user:password@host:6379; a Unix socket is unix:///path.',
    );
  const addresses = hosts.split(',');
  if (!isSentinel && addresses.length > 1)
    throw new RedisUrlError(
      'names several hosts: name one Redis (Redis Cluster is not supported), or its Sentinels in redis+sentinel://host1:26379,host2:26379/mymaster.',
    );
  if (addresses.includes(''))
    throw new RedisUrlError('has an empty place in its list of Sentinels: separate them with one comma each.');
  return addresses.map((address) => readServer(address, isSentinel ? sentinelPort : redisPort));
}

function readServer(address: string, defaultPort: number): RedisServer {
  if (!address.startsWith('[') && /:.*:/.test(address))
    throw new RedisUrlError(`has two ":" in a host: write an IPv6 address in brackets, as in [::1]:${defaultPort}.`);
  const [, name = '', port = String(defaultPort)] = hostAndPort.exec(address) ?? [];
  const host = name.replace(/^\[|\]$/g, '');
  if (!(name.startsWith('[') ? isIPv6(host) : hostName.test(name)))
    throw new RedisUrlError(
      'has a host that is no name and no address: those have letters, digits, "." and "-", or are an IPv6 address in brackets.',
    );
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535)
    throw new RedisUrlError(
      `has a port that is none: write a number from 1 to 65535, or leave it and its ":" out for ${defaultPort}.`,
    );
  return { host, port: Number(port) };
}

function checkMasterName(name: string): void {
  if (name === '')
    throw new RedisUrlError(
      'names no master: write what the Sentinels call it behind their list and a "/", as in /mymaster.',
    );
  if (!/^[A-Za-z0-9._-]+$/.test(name))
    throw new RedisUrlError(
      'has a name of the master with other characters than A-Z a-z 0-9 . _ -: write it as the Sentinels do, and the number of a database behind ?db=.',
    );
}

function readQuery(query: string, known: readonly string[]): URLSearchParams {
  // A "+" is meant as it stands: this is no form.
  const fields = new URLSearchParams(query.replaceAll('+', '%2B'));
  const names = [...fields.keys()];
  if (!names.every((name) => known.includes(name)))
    throw new RedisUrlError(`has something behind its "?" that is not known there: only ${known.join('=, ')}= are.`);
  if (new Set(names).size < names.length)
    throw new RedisUrlError('has something behind its "?" twice: write each but once.');
  return fields;
}

function readDatabase(text: string, isSentinel: boolean): number {
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new RedisUrlError(
    isSentinel
      ? 'has a database that is none: write its number behind ?db=, as in ?db=1.'
      : 'has a database that is none: write its number behind the "/", as in redis://host:6379/1 (the name of a master is for redis+sentinel://).',
  );
}

function decoded(part: string | undefined): string | null {
  return part === undefined || part === '' ? null : decodeURIComponent(part);
}
