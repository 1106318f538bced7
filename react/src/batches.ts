/**
 * Notifies React in batches. React renders once for all stores that change in one task, but once more for each change in
 * a microtask of its own. So a store that has news waits here, and all of them are delivered together.
 */

/** A store with news for React. */
export interface Batch {
  deliver(): void;
}

/** About one frame of a screen, in milliseconds. */
const intervalMs = 16;

const waiting = new Set<Batch>();
let timer: ReturnType<typeof setTimeout> | undefined;
let deliveredAt = Number.NEGATIVE_INFINITY;

/** Delivers the batch in a task of its own, at most 60 times a second. In a hidden page, browsers may delay it by a second. */
export function enqueue(batch: Batch): void {
  waiting.add(batch);
  const sinceMs = performance.now() - deliveredAt;
  timer ??= setTimeout(onTimer, Math.min(intervalMs, Math.max(0, intervalMs - sinceMs)));
}

/** Nobody needs the news of this store anymore. */
export function withdraw(batch: Batch): void {
  waiting.delete(batch);
}

/** Delivers everything that is waiting, at once. Throws if React does, for example because renders never end. */
export function deliverAll(): void {
  clearTimeout(timer);
  timer = undefined;
  deliveredAt = performance.now();
  const batches = [...waiting];
  waiting.clear();
  callAll(batches.map((batch) => () => batch.deliver()));
}

/** Calls all functions, also if some of them throw. Then throws the first error. */
export function callAll(calls: Iterable<() => void>): void {
  const errors: unknown[] = [];
  for (const call of [...calls]) {
    try {
      call();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

function onTimer(): void {
  if (!isInTest()) return deliverAll();
  // A test must call flush(), or end React's test environment for a while, as Testing Library does in findBy… queries.
  // No event says that it has ended, so look again and again. This ends when the components have left.
  timer = waiting.size === 0 ? undefined : setTimeout(onTimer, intervalMs);
}

/** True if React would warn about an update outside `act`. */
function isInTest(): boolean {
  return (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT === true;
}
