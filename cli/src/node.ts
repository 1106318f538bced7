/**
 * `fanfare node` and `fanfare api-key`: both belong to @fanfare/broker. That package contains uWebSockets.js for every
 * platform (300 MB), so that it is not installed with the other commands.
 */
import { isMissing } from './missing-package.js';

/** Variables of the other commands, which a shell may export. A node refuses variables that are not its settings. */
const ownVariables = ['FANFARE_URL', 'FANFARE_TOKEN', 'FANFARE_SECRET'];

/** Passes the arguments to the node's own command line. */
export async function runNode(args: readonly string[]): Promise<void> {
  for (const name of ownVariables) delete process.env[name];
  const command = await import('@fanfare/broker/command').catch((error: unknown) => {
    if (!isMissing('@fanfare/broker', error)) throw error;
    process.stderr.write(
      'fanfare: This command needs the package @fanfare/broker, which is not installed. Install it next to @fanfare/cli.\n',
    );
    process.exitCode = 1;
    return null;
  });
  await command?.runNode(args);
}
