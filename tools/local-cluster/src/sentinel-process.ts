/** Our own Redis Sentinel: it watches a master, and promotes a replica if the master is down. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Child } from './child.js';
import { findFreePort } from './free-port.js';
import { pingRedis } from './redis-ping.js';
import { findRedis } from './redis-source.js';

const host = '127.0.0.1';
const startDeadlineMs = 60_000;

export interface SentinelOptions {
  readonly masterName: string;
  readonly masterPort: number;
  /** Default: 127.0.0.1. A name needs `sentinel resolve-hostnames yes` among the lines. */
  readonly masterHost?: string;
  /** How long the master must be silent before it counts as down. Default: 500 ms. */
  readonly downAfterMs?: number;
  /** Default: a free one. */
  readonly port?: number;
  /** More lines for its configuration. */
  readonly lines?: readonly string[];
}

export interface SentinelProcess extends AsyncDisposable {
  readonly port: number;
  kill(): Promise<void>;
}

/** One Sentinel decides alone. Needs a `redis-server`; there is none in Docker. */
export async function startSentinel(options: SentinelOptions): Promise<SentinelProcess> {
  const { masterName, masterPort, masterHost = host, downAfterMs = 500, lines = [] } = options;
  const source = await findRedis(true);
  if (source.name === 'container') throw new Error('A Sentinel needs redis-server on the PATH.');
  const port = options.port ?? (await findFreePort());
  const folder = mkdtempSync(join(tmpdir(), 'fanfare-sentinel-'));
  const onExit = (): void => rmSync(folder, { recursive: true, force: true });
  process.on('exit', onExit);
  // The Sentinel writes its state to this file.
  const file = join(folder, 'sentinel.conf');
  writeFileSync(
    file,
    [
      `port ${port}`,
      `bind ${host}`,
      `dir ${folder}`,
      `sentinel monitor ${masterName} ${masterHost} ${masterPort} 1`,
      `sentinel down-after-milliseconds ${masterName} ${downAfterMs}`,
      `sentinel failover-timeout ${masterName} 5000`,
      ...lines,
      '',
    ].join('\n'),
  );
  const child = new Child({ command: [source.path, file, '--sentinel'], cwd: folder });
  const end = async (): Promise<void> => {
    await child.kill();
    await rm(folder, { recursive: true, force: true });
    process.off('exit', onExit);
  };
  const deadline = performance.now() + startDeadlineMs;
  while ((await pingRedis(host, port)) === null) {
    if (child.hasExited || performance.now() > deadline) {
      await end();
      throw new Error(child.explain(`The Sentinel on port ${port} did not answer.`));
    }
    await delay(10);
  }
  return { port, kill: () => child.kill(), [Symbol.asyncDispose]: end };
}
