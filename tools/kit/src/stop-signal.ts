/**
 * Handles Ctrl+C and SIGTERM. When this process exits, it stops the processes that it started and removes their
 * folders. Without a handler, a signal would end this process before it can do that.
 */
const codes = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * Signals within this time count as one signal, in milliseconds. At a terminal, npm may send the same Ctrl+C once more.
 */
const sameMs = 1_000;

/** Resolves with the exit code at the first signal. Another signal ends the process at once. */
export function untilStopped(): Promise<number> {
  return new Promise((resolve) => {
    let stoppedAtMs: number | null = null;
    for (const [signal, code] of Object.entries(codes)) {
      process.on(signal, () => {
        if (stoppedAtMs !== null && performance.now() - stoppedAtMs > sameMs) process.exit(code);
        stoppedAtMs ??= performance.now();
        resolve(code);
      });
    }
  });
}

/** For commands that write nothing before they are done. */
export async function exitWhenStopped(): Promise<never> {
  const code = await untilStopped();
  process.stderr.write('\nStopped; nothing was written.\n');
  process.exit(code);
}
