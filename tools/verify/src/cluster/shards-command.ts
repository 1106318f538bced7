/** `fanfare shards`, as an operator runs it. */
import { fileURLToPath } from 'node:url';
import { Child } from '@fanfare/local-cluster';

/** The output of `npm run build`. */
const main = fileURLToPath(new URL('../../../../cli/dist/main.js', import.meta.url));

/** Rejects with the end of its output if it fails. `redisUrl`: the URL of the nodes. */
export async function changeShards(redisUrl: string, ...args: readonly string[]): Promise<void> {
  await using child = start(redisUrl, args);
  const code = await child.exited;
  if (code !== 0) throw new Error(child.explain(`fanfare shards ${args.join(' ')} ended with code ${code}.`));
}

/** Kills the command (SIGKILL) once it has moved a partition: then it moves the next one. */
export async function killWhileMoving(redisUrl: string, ...args: readonly string[]): Promise<void> {
  await using child = start(redisUrl, args);
  const readMove = (line: string): true | null => (/^Partition \d+: from /.test(line) ? true : null);
  if ((await child.find(readMove, AbortSignal.timeout(moveDeadlineMs))) === null)
    throw new Error(child.explain(`fanfare shards ${args.join(' ')} ended before it moved a partition.`));
}

const moveDeadlineMs = 60_000;

function start(redisUrl: string, args: readonly string[]): Child {
  return new Child({
    command: [process.execPath, main, 'shards', ...args],
    env: { ...process.env, FANFARE_REDIS_URL: redisUrl },
  });
}
