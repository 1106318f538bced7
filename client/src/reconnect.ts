/**
 * Delays before retries, with full jitter, so that thousands of clients of a lost node do not return at the same
 * moment.
 */

export interface ReconnectPolicy {
  readonly reconnectBaseDelayMs: number;
  readonly reconnectMaxDelayMs: number;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
}

/**
 * How long to wait after `failures` failed attempts in a row (0: before the first retry), in milliseconds. If a caller
 * waits for the connection for at most `patienceMs`, several attempts fit into that time.
 */
export function reconnectDelayMs(
  failures: number,
  policy: ReconnectPolicy,
  patienceMs = Number.POSITIVE_INFINITY,
): number {
  const { reconnectBaseDelayMs: baseMs, reconnectMaxDelayMs: maxMs, random } = policy;
  return random() * Math.min(maxMs, baseMs * 2 ** failures, mostDelayMs(patienceMs, baseMs));
}

/**
 * Longest delay if a caller waits for `patienceMs` in all. It does not depend on the remaining time. A client that
 * publishes continuously always has a publication that is about to time out, and would then retry without pause.
 */
export function mostDelayMs(patienceMs: number, baseMs: number): number {
  return Math.max(baseMs, patienceMs / 4);
}
