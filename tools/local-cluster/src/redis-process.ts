/** Our own Redis on a free port. It leaves nothing on disk. */
import { mkdtempSync, rmSync } from 'node:fs';
import { rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Child } from './child.js';
import { findFreePort } from './free-port.js';
import type { RedisOptions, RedisProcess } from './redis.js';
import { startRedisContainer } from './redis-container.js';
import { pingRedis } from './redis-ping.js';
import { findRedis } from './redis-source.js';

const host = '127.0.0.1';
const startDeadlineMs = 60_000;
const stopDeadlineMs = 30_000;
const pollIntervalMs = 10;

/** Starts a Redis and waits until it answers. Uses one on the PATH or in Docker, or installs one with apt. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisProcess> {
  const { args = [], env = {} } = options;
  const source = await findRedis(options.mayInstall ?? true);
  const attempts = options.port === undefined ? 3 : 1;
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await findFreePort());
    try {
      if (source.name === 'container') return await startRedisContainer(args, port);
      return await LocalRedis.start(source.path, args, env, port);
    } catch (error) {
      // Another process may have taken the port since we found it free.
      if (attempt === attempts) throw error;
    }
  }
}

/** Folders of Redis that still exist; they are removed if this process ends first. */
const folders = new Set<string>();

process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

class LocalRedis implements RedisProcess {
  readonly url: string;
  readonly port: number;
  readonly #folder: string;
  readonly #command: readonly [string, ...string[]];
  readonly #env: Readonly<Record<string, string>>;
  #child: Child;

  static async start(
    path: string,
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    port: number,
  ): Promise<LocalRedis> {
    // In one turn of the event loop: if the process ended in between, the folder would remain.
    const folder = mkdtempSync(join(tmpdir(), 'fanfare-redis-'));
    folders.add(folder);
    try {
      // The program acts according to its name, and apt's `redis-tools` uses another name.
      const program = join(folder, 'redis-server');
      await symlink(path, program);
      const settings = ['--port', String(port), '--bind', host, '--save', '', '--appendonly', 'no', '--dir', folder];
      const redis = new LocalRedis(folder, port, [program, ...settings, ...args], env);
      await redis.#answers();
      return redis;
    } catch (error) {
      await remove(folder);
      throw error;
    }
  }

  private constructor(
    folder: string,
    port: number,
    command: readonly [string, ...string[]],
    env: Readonly<Record<string, string>>,
  ) {
    this.url = `redis://${host}:${port}`;
    this.port = port;
    this.#folder = folder;
    this.#command = command;
    this.#env = env;
    this.#child = this.#spawn();
  }

  get pid(): number {
    return this.#child.pid;
  }

  logs(): string[] {
    return this.#child.logs();
  }

  async stop(): Promise<void> {
    await this.#child.stop(stopDeadlineMs);
  }

  async kill(): Promise<void> {
    await this.#child.kill();
  }

  async pause(): Promise<void> {
    this.#child.pause();
  }

  async resume(): Promise<void> {
    this.#child.resume();
  }

  async restart(): Promise<void> {
    await this.stop();
    this.#child = this.#spawn();
    await this.#answers();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.kill();
    await remove(this.#folder);
  }

  #spawn(): Child {
    return new Child({ command: this.#command, cwd: this.#folder, env: { ...process.env, ...this.#env } });
  }

  async #answers(): Promise<void> {
    const child = this.#child;
    const deadline = performance.now() + startDeadlineMs;
    while (!child.hasExited && performance.now() < deadline) {
      const answer = await pingRedis(host, this.port);
      // Another Redis may have the port, and ours may be about to report that.
      if (answer !== null && (answer.pid === null || answer.pid === child.pid)) return;
      await delay(pollIntervalMs);
    }
    const what = child.hasExited ? 'ended before it answered' : `did not answer within ${startDeadlineMs} ms`;
    await child.kill();
    throw new Error(child.explain(`redis-server on port ${this.port} ${what}.`));
  }
}

async function remove(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  folders.delete(folder);
}
