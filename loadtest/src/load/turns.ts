/** Connections or subscriptions to be replaced in the time of a run, and those that were. */
export interface Turns {
  readonly planned: number;
  readonly done: number;
}

export const noTurns: Turns = { planned: 0, done: 0 };

export function sumTurns(all: readonly Turns[]): Turns {
  return all.reduce((sum, { planned, done }) => ({ planned: sum.planned + planned, done: sum.done + done }), noTurns);
}
