/**
 * Ctrl+C and SIGTERM. All that was started here is ended, and its folders are removed, when this process exits; the signal alone
 * would not let it.
 */
const codes = { SIGINT: 130, SIGTERM: 143 } as const;

/** Resolves with the code to exit with, at the first of them. The second ends the process at once. */
export function untilStopped(): Promise<number> {
  return new Promise((resolve) => {
    let isStopped = false;
    for (const [signal, code] of Object.entries(codes)) {
      process.on(signal, () => {
        if (isStopped) process.exit(code);
        isStopped = true;
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
