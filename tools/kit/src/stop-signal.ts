/**
 * Ctrl+C and SIGTERM. All that was started here is ended, and its folders are removed, when this process exits; the signal alone
 * would not let it.
 */
const codes = { SIGINT: 130, SIGTERM: 143 } as const;

/** At a terminal one Ctrl+C may come twice, from it and from npm: so long they are one, in milliseconds. */
const sameMs = 1_000;

/** Resolves with the code to exit with, at the first of them. Another one ends the process at once. */
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

/** For commands that have nothing to write before they are done. */
export async function exitWhenStopped(): Promise<never> {
  const code = await untilStopped();
  process.stderr.write('\nStopped; nothing was written.\n');
  process.exit(code);
}
