/**
 * The map of partitions for a node whose URL names one Redis: if this Redis is one of several shards, the node must not
 * use it. It would publish topics here that the other nodes read elsewhere.
 */
import type { Log } from '../observe/log.js';
import { type ShardMap, ShardMapError, shardsOf } from './shard-map.js';
import type { MappedShard } from './shard-maps.js';
import { withNamesOf } from './shard-names.js';

export class LoneMap {
  #fault: string | null = null;

  /** `redis`: the only one. Its name is the one that it would have as a shard. */
  constructor(
    private readonly redis: Pick<MappedShard, 'name' | 'exchangeMap'>,
    private readonly log: Log,
  ) {}

  /** Why this node must not use the Redis, in a sentence; null if it may. */
  get fault(): string | null {
    return this.#fault;
  }

  /** Resolves with Infinity: no map restricts this node. Rejects if Redis does not respond, or if it is a shard. */
  async learn(): Promise<number> {
    const { map } = await this.redis.exchangeMap(null);
    const fault = map === null || this.#isAlone(map) ? null : faultOf(map);
    if (fault !== null && fault !== this.#fault) this.log.error({ event: 'shardMapFault' }, fault);
    this.#fault = fault;
    if (fault !== null) throw new ShardMapError(fault);
    return Number.POSITIVE_INFINITY;
  }

  /** A first map with one shard is about this Redis, whatever it is called: it has the data, and nothing has moved. */
  #isAlone(map: ShardMap): boolean {
    const { name } = this.redis;
    const names = shardsOf(withNamesOf([name], map));
    return (map.version === 1 && names.length === 1) || names.every((each) => each === name);
  }
}

function faultOf(map: ShardMap): string {
  return `The map of partitions in this Redis uses the shards ${shardsOf(map).join(', ')}. List all of them in FANFARE_REDIS_URL (docs/operations.md, Several Redis servers), or use another FANFARE_REDIS_PREFIX for another broker.`;
}
