/** Waits for an event, never for time to pass. Each wait has a deadline, so that an event that does not happen fails with a sentence. */
import { setTimeout as delay } from 'node:timers/promises';

/** Longest wait for anything, in milliseconds. Only what hangs reaches it, or a test without its safeguard (test/safeguards). */
export const deadlineMs = Number(process.env['TEST_DEADLINE_MS'] ?? 90_000);

/** The promise's value, or an error that names what did not happen in time. */
export async function within<Value>(what: string, promise: Promise<Value>, timeoutMs = deadlineMs): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited ${timeoutMs} ms in vain: ${what}`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Resolves with the first value of `read` that is not false, null or undefined. It looks again after a few milliseconds, and less often as
 * the wait gets longer: hundreds of tests that poll a node's metrics would otherwise cost more than what they wait for.
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
  throw new Error(`Waited ${timeoutMs} ms in vain: ${what}`);
}

/** Hands out items in the order of their arrival. */
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

  /** Takes the first item that fits, now or when it comes; leaves the others. */
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
