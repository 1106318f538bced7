/**
 * How long the collector of traces may take until its answer is whole, tries after an error included, in milliseconds. A node that stops waits no
 * longer for it. Stands by itself: who needs to know has no use for what tracing.ts loads.
 */
export const collectorTimeoutMs = 3_000;
