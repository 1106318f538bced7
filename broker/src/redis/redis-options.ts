/** How to reach Redis and its Sentinels, as ioredis takes it. */
import type { Redis, RedisOptions } from 'ioredis';
import {
  type RedisCredentialFiles,
  type RedisCredentials,
  RedisCredentialsError,
  readRedisCredentials,
} from './redis-credentials.js';
import type { RedisAddress } from './redis-url.js';

export interface RedisSettings extends RedisCredentialFiles {
  readonly redisUrl: string;
  /** How long an answer of Redis may take, in milliseconds. Beyond it the node closes the connection and opens another. */
  readonly redisTimeoutMs: number;
  readonly nodeName: string;
  /** Hears of planned failovers for all connections of the node. Null or absent: there are no Sentinels, or nobody listens to them. */
  readonly sentinels?: MasterWatch | null;
}

/** Knows when the Sentinels announce another master. */
export interface MasterWatch {
  /** Calls the listener after each announcement. */
  add(listener: () => void): void;
  remove(listener: () => void): void;
  /** The master that was announced lately, if the server at this IP address and port is another one; else null. */
  replacementOf(ip: string, port: number): string | null;
}

/**
 * Upper end of the pause between attempts to connect, in milliseconds; half of it is added or taken away at random. A node must be
 * back while the others wait for it after a loss of Redis' state (relay/recovery.ts).
 */
const maxRetryMs = 1_000;

/** How long TCP and TLS may take to connect, in milliseconds. */
export const connectTimeoutMs = 2_000;

/** How long a connection may be silent until TCP asks whether the other side is still there, in milliseconds. */
export const keepAliveMs = 5_000;

/**
 * ioredis (5.11.1) listens for the first error of a socket only. Node.js emits a second one if the other side answers with a TLS alert when its
 * certificate was refused, and that would end the process.
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
  if (socketPath !== null) return { ...shared, path: socketPath };
  if (masterName === null) return { ...shared, ...servers[0] };
  return {
    ...shared,
    sentinels: [...servers],
    name: masterName,
    ...(isTls ? { enableTLSForSentinelMode: true } : {}),
    sentinelCommandTimeout: redisTimeoutMs,
    // ioredis goes on in its list where it stopped the last time: once more from the start, then the pause of a connection that failed.
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

/** What may change while the node runs. Empty texts are as good as none, and take the place of what was there before. */
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
