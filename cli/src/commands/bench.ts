/** `fanfare bench`, for the help: main.ts passes its arguments to the load generator before this is loaded. */
import type { Command } from 'commander';
import { declare } from '../command.js';

export function benchCommand(): Command {
  return declare('bench', 'Put a load on a running broker, and measure latency, rates and losses. Linux only.', [
    { command: 'fanfare bench --help', about: 'the scenarios and their options' },
    { command: 'fanfare bench fan-out --subscribers 1000 --rate 100', about: 'a load on the broker of FANFARE_URL' },
  ]).argument('[args...]', 'a scenario and its options');
}
