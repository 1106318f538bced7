/** What every command declares for its help and for docs/reference/cli.md. */
import { Command, Help } from 'commander';

interface Example {
  readonly command: string;
  readonly about: string;
}

const examplesOf = new WeakMap<Command, readonly Example[]>();

/** A command with examples at the end of its help. */
export function declare(name: string, about: string, examples: readonly Example[]): Command {
  const command = new Command(name).description(about);
  examplesOf.set(command, examples);
  const lines = examples.map(({ command, about }) => `  ${command}\n      ${about}`);
  return command.addHelpText('after', `\nExamples:\n${lines.join('\n')}`);
}

export function examplesFor(command: Command): readonly Example[] {
  return examplesOf.get(command) ?? [];
}

/** A row for each argument and option of a command: how to write it, and what it means. */
export function rowsOf(command: Command): readonly (readonly [term: string, about: string])[] {
  const help = new Help();
  return [
    ...help
      .visibleArguments(command)
      .map((argument) => [help.argumentTerm(argument), help.argumentDescription(argument)] as const),
    ...help.visibleOptions(command).map((option) => [help.optionTerm(option), help.optionDescription(option)] as const),
  ];
}
