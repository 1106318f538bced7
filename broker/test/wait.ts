/** Waiting for what should happen, never for time to pass: with a deadline, so that what does not happen fails with a sentence. */

/** Longest wait for anything, in milliseconds. */
export const deadlineMs = 40_000;

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

/** Resolves with the first value of `read` that is neither false, null nor undefined; looks again every few milliseconds. */
export async function until<Value>(
  what: string,
  read: () => Value | Promise<Value>,
  timeoutMs = deadlineMs,
): Promise<Exclude<Value, false | null | undefined>> {
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline) {
    const value = await read();
    if (value !== false && value !== null && value !== undefined) {
      return value as Exclude<Value, false | null | undefined>;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`Waited ${timeoutMs} ms in vain: ${what}`);
}

/** Hands out items in order, to whoever asks, as they come. */
export class Inbox<Item> {
  readonly #items: Item[] = [];
  #wake: () => void = () => undefined;

  push(item: Item): void {
    this.#items.push(item);
    this.#wake();
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
          await new Promise<void>((resolve) => {
            const previous = this.#wake;
            this.#wake = () => {
              previous();
              resolve();
            };
          });
        }
      })(),
    );
  }
}
