/** Where a Redis comes from: the PATH, Docker, or apt. */
import { spawn, spawnSync } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

type RedisSource = { readonly name: 'binary'; readonly path: string } | { readonly name: 'container' };

let found: Promise<RedisSource> | null = null;

/** Searches once per process, and again after a failure. With `mayInstall`, installs a missing Redis with apt. */
export function findRedis(mayInstall: boolean): Promise<RedisSource> {
  found ??= search(mayInstall).catch((error: unknown) => {
    found = null;
    throw error;
  });
  return found;
}

async function search(mayInstall: boolean): Promise<RedisSource> {
  const path = await onPath('redis-server');
  if (path !== null) return { name: 'binary', path };
  if (await isDockerRunning()) return { name: 'container' };
  const installed = mayInstall ? await installWithApt() : null;
  if (installed !== null) return { name: 'binary', path: installed };
  throw new Error('No Redis to start: install redis-server 7.0 or later so that it is on the PATH, or start Docker.');
}

async function onPath(name: string): Promise<string | null> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, name);
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (folder !== '' && isThere) return path;
  }
  return null;
}

async function isDockerRunning(): Promise<boolean> {
  try {
    const { getContainerRuntimeClient } = await import('testcontainers');
    await getContainerRuntimeClient();
    return true;
  } catch {
    return false;
  }
}

/**
 * Debian and Ubuntu ship the server's program in `redis-tools`, under the name of one of its tools. The package
 * `redis-server` adds a link to it and a system service. We need only the program, so we install and start no service.
 */
async function installWithApt(): Promise<string | null> {
  if (process.platform !== 'linux' || (await onPath('apt-get')) === null) return null;
  const server = await onPath('redis-check-rdb');
  if (server !== null) return server;
  const isRoot = process.getuid?.() === 0;
  if (!isRoot && spawnSync('sudo', ['-n', 'true']).status !== 0) return null;
  const apt = async (...args: string[]): Promise<boolean> => {
    const command = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-o', 'DPkg::Lock::Timeout=120', ...args];
    const [file, ...rest] = (isRoot ? command : ['sudo', '-n', ...command]) as [string, ...string[]];
    const child = spawn(file, rest, { stdio: 'ignore' });
    return await new Promise((resolve) => {
      child.once('error', () => resolve(false));
      child.once('close', (code) => resolve(code === 0));
    });
  };
  const install = ['install', '-y', '--no-install-recommends', 'redis-tools'];
  // A new machine has no package lists yet, or old ones.
  if (!(await apt(...install)) && !((await apt('update')) && (await apt(...install)))) return null;
  return await onPath('redis-check-rdb');
}
