/** Our own Redis on a free port. It leaves nothing on disk. */
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { findFreePort } from './free-port.js';
import { Program } from './program.js';
import type { RedisOptions, RedisProcess } from './redis.js';
import { startRedisContainer } from './redis-container.js';
import { pingRedis } from './redis-ping.js';
import { findRedis } from './redis-source.js';

const host = '127.0.0.1';

/** Starts a Redis and waits until it answers. Uses one on the PATH or in Docker, or installs one with apt. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisProcess> {
  const { args = [], env = {} } = options;
  const source = await findRedis(options.mayInstall ?? true);
  const attempts = options.port === undefined ? 3 : 1;
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await findFreePort());
    try {
      if (source.name === 'container') return await startRedisContainer(args, port);
      return await startLocalRedis(source.path, args, env, port);
    } catch (error) {
      // Another process may have taken the port since we found it free.
      if (attempt === attempts) throw error;
    }
  }
}

async function startLocalRedis(
  path: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  port: number,
): Promise<RedisProcess> {
  const program = await Program.start({
    name: 'redis-server',
    port,
    env,
    command: (folder) => {
      // The program acts according to its name, and apt's `redis-tools` uses another name.
      const file = join(folder, 'redis-server');
      symlinkSync(path, file);
      const settings = ['--port', String(port), '--bind', host, '--save', '', '--appendonly', 'no', '--dir', folder];
      return [file, ...settings, ...args];
    },
    answers: async (child) => {
      const answer = await pingRedis(host, port);
      // Another Redis may have the port, and ours may be about to report that.
      return answer !== null && (answer.pid === null || answer.pid === child.pid);
    },
  });
  return Object.assign(program, { url: `redis://${host}:${port}` });
}
