/**
 * `fanfare node` and `fanfare api-key`: both belong to @fanfare/broker. That package contains uWebSockets.js for every
 * platform (300 MB), so that it is not installed with the other commands.
 */

/** Passes the arguments to the node's own command line. */
export async function runNode(args: readonly string[]): Promise<void> {
  const command = await import('@fanfare/broker/command').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ERR_MODULE_NOT_FOUND' || !error.message.includes("'@fanfare/broker'")) throw error;
    process.stderr.write(
      'fanfare: This command needs the package @fanfare/broker, which is not installed. Install it next to @fanfare/cli.\n',
    );
    process.exitCode = 1;
    return null;
  });
  await command?.runNode(args);
}
