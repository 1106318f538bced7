/** `fanfare bench`: the load generator, with its own options and help. */
import { runLoadtest } from '@fanfare/loadtest/command';
import { Command } from 'commander';

export function benchCommand(): Command {
  return new Command('bench')
    .description('Put a load on a running broker, and measure latency, rates and losses. Linux only.')
    .argument('[args...]', 'a scenario and its options')
    .allowUnknownOption()
    .helpOption(false)
    .action((args: readonly string[]) => runLoadtest(args, 'fanfare bench'));
}
