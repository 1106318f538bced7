/**
 * How long the collector of traces may take for a complete answer, including retries, in milliseconds. A stopping node waits no longer. In a file of
 * its own, so that drain.ts does not load the libraries of tracing.ts.
 */
export const collectorTimeoutMs = 3_000;
