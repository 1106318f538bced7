/** Our own Redis Sentinel: it watches a master, and promotes a replica if the master is down. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findFreePort } from './free-port.js';
import { Program } from './program.js';
import { pingRedis } from './redis-ping.js';
import { findRedis } from './redis-source.js';

const host = '127.0.0.1';

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
  return await Program.start({
    name: 'sentinel',
    port,
    command: (folder) => {
      // The Sentinel writes its state to this file.
      const file = join(folder, 'sentinel.conf');
      const settings = [
        `port ${port}`,
        `bind ${host}`,
        `dir ${folder}`,
        `sentinel monitor ${masterName} ${masterHost} ${masterPort} 1`,
        `sentinel down-after-milliseconds ${masterName} ${downAfterMs}`,
        `sentinel failover-timeout ${masterName} 5000`,
      ];
      writeFileSync(file, [...settings, ...lines, ''].join('\n'));
      return [source.path, file, '--sentinel'];
    },
    answers: async () => (await pingRedis(host, port)) !== null,
  });
}
