/** All commands, and how they end: exit code 0 if all is well, 1 if something failed, 2 for wrong usage. */
import { Command, CommanderError } from 'commander';
import { sentenceOf } from './broker.js';
import { benchCommand } from './commands/bench.js';

import { doctorCommand } from './commands/doctor.js';
import { historyCommand } from './commands/history.js';
import { apiKeyCommand, nodeCommand } from './commands/node.js';
import { publishCommand } from './commands/publish.js';
import { shardsCommand } from './commands/shards.js';
import { subscribeCommand } from './commands/subscribe.js';
import { tapCommand } from './commands/tap.js';
import { tokenCommand } from './commands/token.js';
import { topicsCommand } from './commands/topics.js';
import { Stopped, UsageFailure } from './failure.js';
import { endWithReader, note } from './output.js';
import { version } from './version.js';

export function createProgram(): Command {
  const program = new Command('fanfare')
    .description('Publishes to a Fanfare broker, watches it, and finds out what is wrong with it.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .showSuggestionAfterError()
    .addHelpText(
      'after',
      `
Environment:
  FANFARE_URL    the broker, such as wss://example.com/ws
  FANFARE_TOKEN  a token or API key
  NO_COLOR       if set, no colors

Exit codes: 0 all is well; 1 refused or failed; 2 wrong usage; 130 or 143 stopped by a signal before the end.
"fanfare <command> --help" shows examples.`,
    );
  const commands = [
    nodeCommand(),
    apiKeyCommand(),
    publishCommand(),
    subscribeCommand(),
    historyCommand(),
    topicsCommand(),
    tapCommand(),
    tokenCommand(),
    doctorCommand(),
    shardsCommand(),

    benchCommand(),
  ];
  for (const command of commands) {
    command.helpOption('-h, --help', 'print this help');
    for (const each of [command, ...command.commands]) each.exitOverride().showSuggestionAfterError();
    program.addCommand(command);
  }
  return program.exitOverride();
}

/** Never rejects. */
export async function run(args: readonly string[]): Promise<void> {
  endWithReader();
  try {
    await createProgram().parseAsync(args, { from: 'user' });
  } catch (error) {
    process.exitCode = codeOf(error);
    // Commander has printed its own.
    if (!(error instanceof CommanderError)) note(`fanfare: ${sentenceOf(error)}`);
  }
}

function codeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof UsageFailure) return 2;
  return error instanceof Stopped ? error.exitCode : 1;
}
