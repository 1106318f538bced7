/** Options of ioredis for Redis and its Sentinels. */
import type { Redis, RedisOptions } from 'ioredis';
import { DirectConnector } from './direct-connector.js';
import {
  type RedisCredentialFiles,
  type RedisCredentials,
  RedisCredentialsError,
  readRedisCredentials,
} from './redis-credentials.js';
import type { RedisAddress } from './redis-url.js';

export interface RedisSettings extends RedisCredentialFiles {
  readonly redisUrl: string;
  /** How long an answer of Redis may take, in milliseconds. After that the node reconnects. */
  readonly redisTimeoutMs: number;
  readonly nodeName: string;
  /** Whether the server belongs to a Redis Cluster. Default: false. Another kind of server is refused. */
  readonly isCluster?: boolean;
  /** Announces planned failovers to all connections of the node. Null or absent without Sentinels. */
  readonly sentinels?: MasterWatch | null;
}

/** Receives announcements of a new master from the Sentinels. */
interface MasterWatch {
  /** Calls the listener after each announcement. */
  add(listener: () => void): void;
  remove(listener: () => void): void;
  /** The recently announced master; null if there is none, or if it is the server at this IP address and port. */
  replacementOf(ip: string, port: number): string | null;
}

/**
 * Longest pause between connection attempts, in milliseconds. Up to half of it is added or subtracted at random. After
 * Redis has lost its state, a node must reconnect while the others still wait for it (relay/recovery.ts).
 */
const maxRetryMs = 1_000;

/** How long TCP and TLS may take to connect, in milliseconds. */
export const connectTimeoutMs = 2_000;

/** How long a connection may be idle before TCP sends a keepalive probe, in milliseconds. */
export const keepAliveMs = 5_000;

/**
 * ioredis (5.11.1) handles only the first error of a socket. Node.js emits a second one if the server answers a
 * rejected certificate with a TLS alert, and an unhandled error would end the process.
 */
export function ignoreLaterErrors(redis: Redis): void {
  redis.on('error', () => {
    const { stream } = redis as { readonly stream?: Redis['stream'] };
    if (stream?.listenerCount('error') === 0) stream.on('error', () => undefined);
  });
}

export function addressOptions(address: RedisAddress, { redisTimeoutMs }: RedisSettings): RedisOptions {
  const { servers, socketPath, masterName, isTls, database } = address;
  const shared = { db: database };
  if (socketPath !== null) return { ...shared, path: socketPath, Connector: DirectConnector };
  if (masterName === null) return { ...shared, ...servers[0], Connector: DirectConnector };
  return {
    ...shared,
    sentinels: [...servers],
    name: masterName,
    ...(isTls ? { enableTLSForSentinelMode: true } : {}),
    sentinelCommandTimeout: redisTimeoutMs,
    // ioredis continues in its list after the last address. Let it try the whole list again before the connection
    // counts as failed.
    sentinelRetryStrategy: (attempt) => (attempt === 1 ? 10 : null),
  };
}

/** How to connect to a Sentinel itself. Files that cannot be read are logged by the link, which reads them too. */
export function sentinelOptions(address: RedisAddress, settings: RedisSettings): RedisOptions {
  try {
    const options = credentialOptions(address, readRedisCredentials(settings));
    const { sentinelUsername: username, sentinelPassword: password, sentinelTLS } = options;
    return { username, password, ...(sentinelTLS === undefined ? {} : { tls: sentinelTLS }) };
  } catch (error) {
    if (!(error instanceof RedisCredentialsError)) throw error;
    return {};
  }
}

/** How long to wait before the next attempt to connect, in milliseconds. */
export function retryDelayMs(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt, 10), maxRetryMs) * (0.5 + Math.random());
}

/**
 * The options that may change while the node runs. An empty text means that there is no value. It replaces the previous
 * value.
 */
export function credentialOptions({ isTls }: RedisAddress, credentials: RedisCredentials) {
  const { username, password, sentinelUsername, sentinelPassword, ca, cert, key } = credentials;
  const tls = { ...(ca === null ? {} : { ca }), ...(cert === null || key === null ? {} : { cert, key }) };
  return {
    username: username ?? '',
    password: password ?? '',
    sentinelUsername: sentinelUsername ?? '',
    sentinelPassword: sentinelPassword ?? '',
    ...(isTls ? { tls, sentinelTLS: tls } : {}),
  } satisfies RedisOptions;
}
