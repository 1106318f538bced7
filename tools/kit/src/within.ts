/** Nothing here may wait for ever. */
import { setTimeout as delay } from 'node:timers/promises';

/** What the promise gives, or an error once it has taken too long: `<what> within <n> ms.` */
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

/** Looks until it is so; false where it is not in time. */
export async function becomes(timeoutMs: number, isSo: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!(await isSo())) {
    if (performance.now() >= deadline) return false;
    await delay(10);
  }
  return true;
}
