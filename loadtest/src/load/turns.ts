/** The planned and the completed replacements of connections or subscriptions in a run. */
export interface Turns {
  readonly planned: number;
  readonly done: number;
}

export const noTurns: Turns = { planned: 0, done: 0 };

export function sumTurns(all: readonly Turns[]): Turns {
  return all.reduce((sum, { planned, done }) => ({ planned: sum.planned + planned, done: sum.done + done }), noTurns);
}
