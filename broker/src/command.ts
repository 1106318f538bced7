/**
 * A node as a process of its own. The settings of V8 come before its modules, because loading them would make the young
 * generation grow.
 */
import { shortenCollections } from './settings/v8-settings.js';

/**
 * Starts a node with the settings in the environment, and ends the process when the node has drained. `args`: `--help`,
 * or `api-key` and a name. An error is printed, and sets the exit code 2.
 */
export async function runNode(args: readonly string[]): Promise<void> {
  shortenCollections();
  const { run } = await import('./node/program.js');
  await run(args);
}
