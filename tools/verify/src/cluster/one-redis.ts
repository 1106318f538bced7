/** One Redis: a server, perhaps with replicas and a Sentinel. */
import { Disposables } from '@fanfare/kit/disposables';
import { becomes } from '@fanfare/kit/within';
import {
  FaultProxy,
  masterArgs,
  type RedisProcess,
  redisCommand,
  type SentinelProcess,
  startRedis,
  startReplica,
  startSentinel,
} from '@fanfare/local-cluster';
import { FakeClock } from './fake-clock.js';

/**
 * `direct`: a replica that follows the server. `proxied`: it follows through a proxy, which adds a small delay.
 * `watched`: two replicas and a Sentinel, which promotes one of them if the server does not respond. Nodes then know
 * only the Sentinel.
 */
export type ReplicaPlace = 'direct' | 'proxied' | 'watched';

interface OneRedisOptions {
  /** More arguments for `redis-server`. */
  readonly args: readonly string[];
  /** Null: it has no replica. */
  readonly replica: ReplicaPlace | null;
  /** By how many seconds its clock is ahead; null: it has the clock of this machine, which cannot be moved. */
  readonly clockAheadSeconds: number | null;
}

export interface OneRedis extends AsyncDisposable {
  /** The master at first. */
  readonly server: RedisProcess;
  /** A replica of it at first; null if it has none. */
  readonly replica: RedisProcess | null;
  /** Between the server and a `proxied` replica; otherwise null. */
  readonly replicaLink: FaultProxy | null;
  /** The clock of the server; null if it cannot be moved. */
  readonly clock: FakeClock | null;
  /** Watches the server and its replicas; null unless they are `watched`. */
  readonly sentinel: SentinelProcess | null;
  /** The server and all its replicas. */
  readonly servers: readonly RedisProcess[];
  /** Its part of a URL: `host:port`, or `host:port/master` of a Sentinel. */
  readonly address: string;
}

/** The setting that docs/guarantees.md asks for on every server that is or may become the master. */
export const safeArgs = ['--min-replicas-to-write', '1'] as const;

const host = '127.0.0.1';

export async function startOneRedis({ args, replica: place, clockAheadSeconds }: OneRedisOptions): Promise<OneRedis> {
  await using parts = new Disposables();
  const replicationArgs = place === null ? [] : [...masterArgs, ...safeArgs];
  const clock = clockAheadSeconds === null ? null : parts.use(new FakeClock(clockAheadSeconds));
  const server = parts.use(await startRedis({ args: [...args, ...replicationArgs], env: clock?.env ?? {} }));
  const replicaLink = place === 'proxied' ? parts.use(await FaultProxy.start({ targetPort: server.port })) : null;
  const replicas: RedisProcess[] = [];
  // Without a second one, a replica that a Sentinel has promoted would refuse writes (min-replicas-to-write).
  for (let count = place === null ? 0 : place === 'watched' ? 2 : 1; count > 0; count--) {
    replicas.push(parts.use(await startReplica(replicaLink?.port ?? server.port, safeArgs)));
  }
  const sentinel = place === 'watched' ? parts.use(await startWatch(server, replicas.length)) : null;
  const kept = parts.move();
  return {
    ...{ server, replicaLink, clock, sentinel },
    replica: replicas[0] ?? null,
    servers: [server, ...replicas],
    address: sentinel === null ? `${host}:${server.port}` : `${host}:${sentinel.port}/${masterName}`,
    [Symbol.asyncDispose]: () => kept[Symbol.asyncDispose](),
  };
}

/** The name of the master at its Sentinel. */
const masterName = 'fanfare';

const followDeadlineMs = 60_000;

/** How long the server must be silent before the Sentinel replaces it, in milliseconds. */
const sentinelDownAfterMs = 1_000;

/** A Sentinel that knows the server and all its replicas. */
async function startWatch(server: RedisProcess, replicas: number): Promise<SentinelProcess> {
  const sentinel = await startSentinel({ masterName, masterPort: server.port, downAfterMs: sentinelDownAfterMs });
  const knowsAll = async (): Promise<boolean> =>
    String(await redisCommand(sentinel.port, ['INFO', 'sentinel'])).includes(`slaves=${replicas}`);
  if (await becomes(followDeadlineMs, knowsAll)) return sentinel;
  await sentinel[Symbol.asyncDispose]();
  throw new Error(`The Sentinel did not find the replicas within ${followDeadlineMs} ms.`);
}

/** A planned failover. The Sentinel demotes the old master ten seconds later. */
export async function failOverWithSentinel({ sentinel }: OneRedis): Promise<void> {
  if (sentinel === null) throw new Error('There is no Sentinel.');
  await redisCommand(sentinel.port, ['SENTINEL', 'FAILOVER', masterName]);
}
