/** Waits for other processes, with a deadline. */
import { setTimeout as delay } from 'node:timers/promises';

/** Resolves once `problem` returns null. After the deadline, it rejects with the last problem. */
export async function untilSolved(problem: () => Promise<string | null>, deadlineMs = 60_000): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const sentence = await problem();
    if (sentence === null) return;
    if (performance.now() > deadline) throw new Error(`After ${deadlineMs} ms: ${sentence}`);
    await delay(20);
  }
}
