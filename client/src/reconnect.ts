/** When to try again: full jitter, so that thousands of clients of a lost node do not come back at the same moment. */

export interface ReconnectPolicy {
  readonly reconnectBaseDelayMs: number;
  readonly reconnectMaxDelayMs: number;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
}

/** How long to wait after `failures` failed attempts in a row (0: the first try again), in milliseconds. */
export function reconnectDelayMs(failures: number, policy: ReconnectPolicy): number {
  const { reconnectBaseDelayMs, reconnectMaxDelayMs, random } = policy;
  return random() * Math.min(reconnectMaxDelayMs, reconnectBaseDelayMs * 2 ** failures);
}
