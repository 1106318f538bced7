/** Shared by the small programs: arguments, and errors in one sentence. */

/** Returns `least` to `most` arguments. For another number, or a flag, prints the usage and exits. */
export function readArguments(usage: string, least: number, most: number): readonly string[] {
  const given = process.argv.slice(2);
  const asksForHelp = given.some((argument) => argument === '--help' || argument === '-h');
  if (given.length >= least && given.length <= most && !given.some((argument) => argument.startsWith('-')))
    return given;
  (asksForHelp ? process.stdout : process.stderr).write(`${usage}\n`);
  process.exit(asksForHelp ? 0 : 2);
}

/** Prints what went wrong; the exit code is 1. */
export function endWith(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
