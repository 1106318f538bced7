/**
 * Settings of the checker's clients and nodes: they notice failures and reconnect fast, and retry publishes for long.
 */
import type { ClientOptions } from '@fanfare/client';
import type { ClientOptions as FallbackOptions } from '@fanfare/client/fallback';

/** A publish is retried for this long, so that rejections are rare. */
export const publishTimeoutMs = 30_000;

/** A client detects a silent node after at most this interval plus its `pongTimeoutMs`; the default is 25 s. */
export const pingIntervalMs = 1_000;

const common = {
  connectTimeoutMs: 2_000,
  pongTimeoutMs: 2_000,
  reconnectBaseDelayMs: 50,
  reconnectMaxDelayMs: 1_000,
  stableAfterMs: 1_000,
} as const;

export const subscriberOptions: ClientOptions = { ...common, timeoutMs: 5_000 };

export const fallbackOptions: FallbackOptions = { ...common, timeoutMs: 5_000 };

export const publisherOptions: ClientOptions = {
  ...common,
  timeoutMs: publishTimeoutMs,
  // The streams limit the number of unanswered publications.
  maxQueuedPublications: 1_000_000,
  maxQueuedBytes: 512 * 1_048_576,
  maxUnsentBytes: 512 * 1_048_576,
};
