/**
 * Pauses of the event loop for garbage collection, as V8 reports them. This code runs only after collections, so a
 * publication does not pay for it.
 */
import { constants, type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks';

/** What the pauses are for. Major collections also stop for `incremental` steps. */
export const gcKinds = ['minor', 'major', 'incremental', 'weakcb'] as const;
type GcKind = (typeof gcKinds)[number];

const kindOf: Readonly<Record<number, GcKind>> = {
  [constants.NODE_PERFORMANCE_GC_MINOR]: 'minor',
  [constants.NODE_PERFORMANCE_GC_MAJOR]: 'major',
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL]: 'incremental',
  [constants.NODE_PERFORMANCE_GC_WEAKCB]: 'weakcb',
};

/** Node's types do not know the detail. */
interface GcEntry extends PerformanceEntry {
  readonly detail: { readonly kind: number };
}

/** Calls `observe` for each pause of this process, soon after it. Returns the observer, to disconnect it. */
export function observeGcPauses(observe: (kind: GcKind, seconds: number) => void): PerformanceObserver {
  const observer = new PerformanceObserver((list) => {
    // Several collections in one turn of the event loop arrive together.
    for (const { detail, duration } of list.getEntries() as GcEntry[]) {
      const kind = kindOf[detail.kind];
      if (kind !== undefined) observe(kind, duration / 1_000);
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  return observer;
}
