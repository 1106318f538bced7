/** Waiting with a time limit. */
import { setTimeout as delay } from 'node:timers/promises';

/** The result of the promise, or an error if it takes too long: `<what> within <n> ms.` */
export async function within<Value>(timeoutMs: number, promise: Promise<Value>, what: string): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${timeoutMs} ms.`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Polls until the condition is true; false if it is not true in time. */
export async function becomes(timeoutMs: number, isSo: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!(await isSo())) {
    if (performance.now() >= deadline) return false;
    await delay(10);
  }
  return true;
}
