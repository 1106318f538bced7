/** How to reach Redis and its Sentinels, as ioredis takes it. */
import type { RedisOptions } from 'ioredis';
import {
  type RedisCredentialFiles,
  type RedisCredentials,
  RedisCredentialsError,
  readRedisCredentials,
} from './redis-credentials.js';
import type { RedisAddress } from './redis-url.js';

export interface RedisSettings extends RedisCredentialFiles {
  readonly redisUrl: string;
  /** How long an answer of Redis may take, in milliseconds. Beyond it the connection is given up and made anew. */
  readonly redisTimeoutMs: number;
  readonly nodeName: string;
}

/**
 * Upper end of the pause between attempts to connect, in milliseconds; half of it is added or taken away at random. A node must be
 * back while the others wait for it after a loss of Redis' state (relay/recovery.ts).
 */
const maxRetryMs = 1_000;

/** How long TCP and TLS may take to connect, in milliseconds. */
export const connectTimeoutMs = 2_000;

export function addressOptions(address: RedisAddress, { redisTimeoutMs }: RedisSettings): RedisOptions {
  const { servers, socketPath, masterName, username, sentinelUsername, isTls, database } = address;
  const shared = { db: database, ...(username === null ? {} : { username }) };
  if (socketPath !== null) return { ...shared, path: socketPath };
  if (masterName === null) return { ...shared, ...servers[0] };
  return {
    ...shared,
    sentinels: [...servers],
    name: masterName,
    ...(sentinelUsername === null ? {} : { sentinelUsername }),
    ...(isTls ? { enableTLSForSentinelMode: true } : {}),
    sentinelCommandTimeout: redisTimeoutMs,
    // ioredis goes on in its list where it stopped the last time: once more from the start, then the pause of a connection that failed.
    sentinelRetryStrategy: (attempt) => (attempt === 1 ? 10 : null),
  };
}

/** How to connect to a Sentinel itself. Files that cannot be read are logged by the link, which reads them too. */
export function sentinelOptions(address: RedisAddress, settings: RedisSettings): RedisOptions {
  try {
    const { sentinelPassword, sentinelTLS } = credentialOptions(address, readRedisCredentials(settings));
    return {
      ...(address.sentinelUsername === null ? {} : { username: address.sentinelUsername }),
      ...(sentinelPassword === undefined ? {} : { password: sentinelPassword }),
      ...(sentinelTLS === undefined ? {} : { tls: sentinelTLS }),
    };
  } catch (error) {
    if (!(error instanceof RedisCredentialsError)) throw error;
    return {};
  }
}

/** How long to wait before the next attempt to connect, in milliseconds. */
export function retryDelayMs(attempt: number): number {
  return Math.min(50 * 2 ** Math.min(attempt, 10), maxRetryMs) * (0.5 + Math.random());
}

/** What may change while the node runs. */
export function credentialOptions(address: RedisAddress, credentials: RedisCredentials): RedisOptions {
  const { ca, cert, key } = credentials;
  const password = credentials.password ?? address.password;
  const sentinelPassword = credentials.sentinelPassword ?? address.sentinelPassword;
  const tls = { ...(ca === null ? {} : { ca }), ...(cert === null || key === null ? {} : { cert, key }) };
  return {
    ...(password === null ? {} : { password }),
    ...(sentinelPassword === null ? {} : { sentinelPassword }),
    ...(address.isTls ? { tls, sentinelTLS: tls } : {}),
  };
}
