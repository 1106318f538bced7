/**
 * Users, passwords, keys and certificates for Redis, from the URL or from files. Files are read at the start, so that a
 * mistake stops the start. They are read again before each connection, so that changed files need no restart.
 */
import type { X509Certificate } from 'node:crypto';
import { type Report, readCertificates, readPrivateKey, subjectOf } from '../files/pem-file.js';
import { readTextFile } from '../files/text-file.js';
import { addressesOf, readPlacement } from './placement.js';
import { type RedisAddress, RedisUrlError, readRedisUrl } from './redis-url.js';

/** Paths of the files; null or absent if not set. */
export interface RedisCredentialFiles {
  /** Contains the whole URL. Its user and password may change while the node runs. */
  readonly redisUrlFile?: string | null;
  readonly redisPasswordFile?: string | null;
  readonly redisSentinelPasswordFile?: string | null;
  /** PEM: the certificates of the CAs that may sign the certificate of Redis. */
  readonly redisCaFile?: string | null;
  /** PEM: the client certificate of the node. */
  readonly redisCertFile?: string | null;
  readonly redisKeyFile?: string | null;
}

/** The current values from the files or the URL; null if neither has one. */
export interface RedisCredentials {
  readonly username: string | null;
  readonly password: string | null;
  readonly sentinelUsername: string | null;
  readonly sentinelPassword: string | null;
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
}

/** One sentence for each mistake. */
export class RedisCredentialsError extends Error {
  override readonly name = 'RedisCredentialsError';
  constructor(readonly sentences: readonly string[]) {
    super(sentences.join(' '));
  }
}

const names = {
  redisUrlFile: 'FANFARE_REDIS_URL_FILE',
  redisPasswordFile: 'FANFARE_REDIS_PASSWORD_FILE',
  redisSentinelPasswordFile: 'FANFARE_REDIS_SENTINEL_PASSWORD_FILE',
  redisCaFile: 'FANFARE_REDIS_CA_FILE',
  redisCertFile: 'FANFARE_REDIS_CERT_FILE',
  redisKeyFile: 'FANFARE_REDIS_KEY_FILE',
} as const satisfies Record<keyof RedisCredentialFiles, string>;

const filesForTls = ['redisCaFile', 'redisCertFile', 'redisKeyFile'] as const;

const keys = Object.keys(names) as readonly (keyof RedisCredentialFiles)[];

/** The files that are set. */
export function filesOf(files: RedisCredentialFiles): readonly string[] {
  return keys.flatMap((key) => files[key] ?? []);
}

/** The settings of the files that are set, for a sentence: `A, B`. */
export function settingsOf(files: RedisCredentialFiles): string {
  const set = keys.filter((key) => (files[key] ?? null) !== null);
  return set.map((key) => names[key]).join(', ');
}

/** The URL in the file, in any form of FANFARE_REDIS_URL. Throws {@link RedisCredentialsError}. */
export function readRedisUrlFile(file: string): string {
  const sentences: string[] = [];
  const text = readText(names.redisUrlFile, file, (mistake) => void sentences.push(mistake))?.trim() ?? '';
  try {
    if (sentences.length === 0) readPlacement(text);
  } catch (error) {
    if (!(error instanceof RedisUrlError)) throw error;
    sentences.push(`${names.redisUrlFile} names a file whose text ${error.message}`);
  }
  if (sentences.length > 0) throw new RedisCredentialsError(sentences);
  return text;
}

/** One sentence for each file that does not fit the URL or is missing. */
export function explainUnfit(redisUrl: string | null, files: RedisCredentialFiles): readonly string[] {
  const sentences: string[] = [];
  const set = keys.filter((key) => (files[key] ?? null) !== null);
  if (redisUrl === null)
    return set.map((key) => `${names[key]} is set, but FANFARE_REDIS_URL is not. Set both or neither.`);
  // TLS and the parameters of Sentinels are the same for all servers.
  const addresses = addressesOf(readPlacement(redisUrl));
  const { isTls, masterName, sentinelPassword } = addresses[0] as RedisAddress;
  for (const key of filesForTls) {
    if (isTls || !set.includes(key)) continue;
    sentences.push(`${names[key]} requires TLS. FANFARE_REDIS_URL must begin with "rediss" instead of "redis".`);
  }
  if (set.includes('redisPasswordFile') && addresses.some(({ password }) => password !== null))
    sentences.push(`${names.redisPasswordFile} is set, and FANFARE_REDIS_URL also has a password. Remove one.`);
  if (set.includes('redisSentinelPasswordFile') && masterName === null)
    sentences.push(
      `${names.redisSentinelPasswordFile} is set, but FANFARE_REDIS_URL has no Sentinels. Remove the setting.`,
    );
  if (set.includes('redisSentinelPasswordFile') && sentinelPassword !== null)
    sentences.push(
      `${names.redisSentinelPasswordFile} is set, and FANFARE_REDIS_URL also has ?sentinelPassword=. Remove one.`,
    );
  const [hasCert, hasKey] = [set.includes('redisCertFile'), set.includes('redisKeyFile')];
  if (hasCert !== hasKey) {
    const [is, isNot] = hasCert ? [names.redisCertFile, names.redisKeyFile] : [names.redisKeyFile, names.redisCertFile];
    sentences.push(`${is} is set, but ${isNot} is not. A client certificate requires both.`);
  }
  return sentences;
}

/** One server, as at the start. */
interface Server {
  readonly redisUrl: string;
  /** Whether it belongs to a Redis Cluster. Default: false. */
  readonly isCluster?: boolean;
}

/**
 * Reads all files that are set, for one server. A file with the URL may list other servers too. Throws
 * {@link RedisCredentialsError}.
 */
export function readRedisCredentials(files: RedisCredentialFiles & Server): RedisCredentials {
  const sentences: string[] = [];
  const redisUrlFile = files.redisUrlFile ?? null;
  const login =
    redisUrlFile === null ? readRedisUrl(files.redisUrl) : findServer(readRedisUrlFile(redisUrlFile), files);
  if (login === null)
    sentences.push(
      `${names.redisUrlFile} names a file whose URL points to a different server, database or master than at startup. Restart all nodes to use it, or correct the file.`,
    );
  const report: Report = (mistake) => void sentences.push(mistake);
  const read = <Value>(
    key: keyof RedisCredentialFiles,
    reader: (name: string, file: string, report: Report) => Value,
  ) => {
    const file = files[key] ?? null;
    return file === null ? null : reader(names[key], file, report);
  };
  const password = read('redisPasswordFile', readPassword);
  const sentinelPassword = read('redisSentinelPasswordFile', readPassword);
  const ca = read('redisCaFile', readCertificates);
  const cert = read('redisCertFile', readCertificates);
  const key = read('redisKeyFile', readPrivateKey);
  if (cert !== null && key !== null && !cert.value[0].checkPrivateKey(key.value))
    report(explainOtherKey(cert.value[0]));
  if (sentences.length > 0 || login === null) throw new RedisCredentialsError(sentences);
  return {
    username: login.username,
    password: password ?? login.password,
    sentinelUsername: login.sentinelUsername,
    sentinelPassword: sentinelPassword ?? login.sentinelPassword,
    ca: ca?.pem ?? null,
    cert: cert?.pem ?? null,
    key: key?.pem ?? null,
  };
}

/**
 * The server in the URL of the file; null if it is not there. A node with another Redis would be another broker, so only
 * all nodes together can change it. A server of a Redis Cluster need not be in the URL: all have the same login.
 */
function findServer(url: string, { redisUrl, isCluster = false }: Server): RedisAddress | null {
  const placement = readPlacement(url);
  if ((placement.kind === 'cluster') !== isCluster) return null;
  const server = readRedisUrl(redisUrl);
  const found = addressesOf(placement).find((address) =>
    isSameServer(isCluster ? { ...address, servers: server.servers } : address, server),
  );
  return found ?? null;
}

function isSameServer(one: RedisAddress, other: RedisAddress): boolean {
  const place = ({ servers, socketPath, masterName, isTls, database }: RedisAddress): string =>
    JSON.stringify([servers, socketPath, masterName, isTls, database]);
  return place(one) === place(other);
}

function explainOtherKey(certificate: X509Certificate): string {
  return `The key in ${names.redisKeyFile} does not match the first certificate in ${names.redisCertFile} (${subjectOf(certificate)}). Use the key of this certificate.`;
}

/** A line break at the end is not part of the password. */
function readPassword(setting: string, file: string, report: Report): string | null {
  const password = readText(setting, file, report)?.replace(/\r?\n$/, '') ?? null;
  if (password === null || (password !== '' && !/[\r\n]/.test(password))) return password;
  const wrong = password === '' ? 'is empty' : 'has several lines';
  report(`${setting} names a file that ${wrong}. The file must contain only the password.`);
  return null;
}

function readText(setting: string, file: string, report: Report): string | null {
  try {
    return readTextFile(file);
  } catch (error) {
    report(`${setting} names a file that cannot be read: ${(error as Error).message}.`);
    return null;
  }
}
