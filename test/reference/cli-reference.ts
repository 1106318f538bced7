/** The generated page about the command `fanfare`: the arguments, options and examples of each command. */
import { examplesFor, rowsOf } from '../../cli/src/command.js';
import { createProgram } from '../../cli/src/program.js';
import { page, table } from './table.js';

/** Of the version of commander that the workspace uses. */
type Command = ReturnType<typeof createProgram>;

export function cliPage(): string {
  const { commands } = createProgram();
  return page('The command fanfare: reference', '[cli.md](../cli.md) explains how to use it.', [
    table(
      ['command', 'what it does'],
      commands.map((command) => [`[\`${command.name()}\`](#${anchorOf(command)})`, command.description()]),
    ),
    ...commands.flatMap((command) => [...partsOf(command), ...command.commands.flatMap((sub) => partsOf(sub))]),
  ]);
}

function partsOf(command: Command): string[] {
  const name = fullNameOf(command);
  const examples = examplesFor(command).map((example) => `# ${example.about}\n${example.command}`);
  return [
    `## ${name}`,
    command.description(),
    table(
      ['argument or option', 'meaning'],
      rowsOf(command).map(([term, about]) => [`\`${term}\``, about]),
    ),
    ...(examples.length === 0 ? [] : [`\`\`\`sh\n${examples.join('\n')}\n\`\`\``]),
  ];
}

function anchorOf(command: Command): string {
  return fullNameOf(command).replaceAll(' ', '-');
}

function fullNameOf(command: Command): string {
  const parent = command.parent === null ? [] : [fullNameOf(command.parent)];
  return [...parent, command.name()].join(' ');
}
