/**
 * Waits for an event, never for time to pass. Each wait has a deadline, so that a missing event causes an error with a
 * sentence.
 */
import { setTimeout as delay } from 'node:timers/promises';

/**
 * The longest wait, in milliseconds. Only hanging tests reach it, or tests without their safeguard (test/safeguards).
 */
const deadlineMs = Number(process.env['TEST_DEADLINE_MS'] ?? 90_000);

/** The value of the promise, or an error that names the missing event. */
export async function within<Value>(what: string, promise: Promise<Value>, timeoutMs = deadlineMs): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Did not happen within ${timeoutMs} ms: ${what}`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Resolves with the first value of `read` that is not false, null or undefined. It checks again after a few
 * milliseconds, and less often as the wait gets longer. Otherwise hundreds of tests that poll metrics would cost more
 * than what they wait for.
 */
export async function until<Value>(
  what: string,
  read: () => Value | Promise<Value>,
  timeoutMs = deadlineMs,
): Promise<Exclude<Value, false | null | undefined>> {
  const deadline = Date.now() + timeoutMs;
  for (let pauseMs = 2; Date.now() < deadline; pauseMs = Math.min(pauseMs * 1.3, 25)) {
    const value = await read();
    if (value !== false && value !== null && value !== undefined) {
      return value as Exclude<Value, false | null | undefined>;
    }
    await delay(pauseMs);
  }
  throw new Error(`Did not happen within ${timeoutMs} ms: ${what}`);
}

/** Returns items in the order of their arrival. */
export class Inbox<Item> {
  readonly #items: Item[] = [];
  #waiters: (() => void)[] = [];

  push(item: Item): void {
    this.#items.push(item);
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  /** Items that nobody has taken yet. */
  get waiting(): readonly Item[] {
    return this.#items;
  }

  /** Takes the first matching item, now or when it arrives; leaves the others. */
  async take<Wanted extends Item>(what: string, fits: (item: Item) => item is Wanted): Promise<Wanted>;
  async take(what: string, fits: (item: Item) => boolean): Promise<Item>;
  async take(what: string, fits: (item: Item) => boolean): Promise<Item> {
    return within(
      what,
      (async () => {
        for (;;) {
          const index = this.#items.findIndex(fits);
          if (index >= 0) return this.#items.splice(index, 1)[0] as Item;
          await new Promise<void>((resolve) => this.#waiters.push(resolve));
        }
      })(),
    );
  }
}
