/** What a topic promises (docs/guarantees.md). */
export const levels = ['fast', 'recoverable', 'durable'] as const;
export type Level = (typeof levels)[number];
