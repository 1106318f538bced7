/** The position of a subscriber in a topic. */

/**
 * A place in the history of one topic. `epoch` names the history (1 to {@link maxEpochBytes} characters of `A-Z a-z 0-9
 * _ -`). `offset` numbers the publications in it: 1, 2, 3 and so on, without holes. Offsets of different epochs cannot
 * be compared. `offset` 0 is before the first publication.
 */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

/** Longest epoch, in bytes. */
export const maxEpochBytes = 32;

const grammar = /* @__PURE__ */ new RegExp(`^[A-Za-z0-9_-]{1,${maxEpochBytes}}$`);

/** Whether the text can be an epoch. */
export function isEpoch(text: string): boolean {
  return grammar.test(text);
}
