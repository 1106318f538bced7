/** How a command fails. Each message is for a person: what is wrong, and what to do. */

/** The broker refused, or the command could not be carried out: exit code 1. */
export class Failure extends Error {
  override readonly name = 'Failure';
}

/** The command line or the input is wrong: exit code 2. */
export class UsageFailure extends Error {
  override readonly name = 'UsageFailure';
}

/** The command was stopped by a signal before it was done. */
export class Stopped extends Error {
  override readonly name = 'Stopped';

  constructor(
    readonly exitCode: number,
    message: string,
  ) {
    super(message);
  }
}
