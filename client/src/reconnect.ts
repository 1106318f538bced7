/** When to try again: full jitter, so that thousands of clients of a lost node do not come back at the same moment. */

export interface ReconnectPolicy {
  readonly reconnectBaseDelayMs: number;
  readonly reconnectMaxDelayMs: number;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
}

/**
 * How long to wait after `failures` failed attempts in a row (0: the first try again), in milliseconds. What waits for the connection is
 * given up after `patienceMs`: there is an attempt in the first half of that.
 */
export function reconnectDelayMs(
  failures: number,
  policy: ReconnectPolicy,
  patienceMs = Number.POSITIVE_INFINITY,
): number {
  const { reconnectBaseDelayMs: baseMs, reconnectMaxDelayMs: maxMs, random } = policy;
  return random() * Math.min(maxMs, baseMs * 2 ** failures, Math.max(baseMs, patienceMs / 2));
}
