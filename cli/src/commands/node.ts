/** `fanfare node` and `fanfare api-key`, for the help: main.ts passes both to @fanfare/broker before this is loaded. */
import type { Command } from 'commander';
import { declare } from '../command.js';
import { runNode } from '../node.js';

export function nodeCommand(): Command {
  return declare('node', 'Start a node. Environment variables are its settings; --help lists them all.', [
    { command: 'fanfare node', about: 'one node for development, in memory, on 127.0.0.1:8080' },
    {
      command: 'FANFARE_REDIS_URL=redis://127.0.0.1:6379 fanfare node',
      about: 'a node of a broker: all nodes with this Redis belong to it',
    },
  ]).action(() => runNode([]));
}

export function apiKeyCommand(): Command {
  return declare('api-key', 'Create an API key for a service, and its entry for FANFARE_AUTH.', [
    { command: 'fanfare api-key orders', about: 'a key for the service "orders"' },
  ])
    .argument('<id>', 'the name of the service, of A-Z a-z 0-9 and -')
    .action((id: string) => runNode(['api-key', id]));
}
