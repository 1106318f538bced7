/** How the checker's clients and nodes are set: quick to notice and to come back, and patient with a publish. */
import type { ClientOptions } from '@fanfare/client';

/** A publish is tried again for this long, so that a rejection is rare. */
export const publishTimeoutMs = 30_000;

/** A silent node is noticed after at most this and the clients' `pongTimeoutMs`; the default is 25 s. */
export const pingIntervalMs = 1_000;

const common: ClientOptions = {
  connectTimeoutMs: 2_000,
  pongTimeoutMs: 2_000,
  reconnectBaseDelayMs: 50,
  reconnectMaxDelayMs: 1_000,
  stableAfterMs: 1_000,
};

export const subscriberOptions: ClientOptions = { ...common, timeoutMs: 5_000 };

export const publisherOptions: ClientOptions = {
  ...common,
  timeoutMs: publishTimeoutMs,
  // The streams bound what is under way.
  maxQueuedPublications: 1_000_000,
  maxQueuedBytes: 512 * 1_048_576,
  maxUnsentBytes: 512 * 1_048_576,
};
