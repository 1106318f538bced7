/** Gives a shard another name, after it has proved that both names lead to the same Redis. */
import { type Shard, shardAt } from '../redis/placement.js';
import { RedisUrlError } from '../redis/redis-url.js';
import { listedShards, openShards, type ShardsSettings } from './open-shards.js';
import { ShardLink, ShardsError, ShardsUsageError } from './shard-link.js';

/**
 * Resolves when all nodes follow the map with the new name. FANFARE_REDIS_URL lists the shard with either name. Can be
 * repeated. Rejects with {@link ShardsError} or ShardMapError if the names lead to different servers, if one of them
 * does not respond, or while a partition moves.
 */
export async function renameShard(settings: ShardsSettings, fromText: string, toText: string): Promise<void> {
  const { shard, from, to } = readNames(listedShards(settings.redisUrl), fromText, toText);
  const other = shardAt(shard, shard.name === from ? to : from);
  const otherLink = new ShardLink(other.name, { ...settings, redisUrl: other.url });
  try {
    await otherLink.ready();
    // The map has the old name, unless this command is repeated.
    await using opened = await openShards(settings, {}, new Map([[to, from]]));
    const { shards, links } = opened;
    const link = links.get(from) ?? links.get(to);
    if (link === undefined || (await link.runId()) !== (await otherLink.runId()))
      throw new ShardsError(
        `${from} and ${to} are different Redis servers, so ${to} cannot be another name of ${from}. Nothing was changed. To move the partitions to ${to}, add it as a shard and remove ${from}.`,
      );
    await shards.lock();
    try {
      await shards.rename(from, to);
    } finally {
      await shards.unlock();
    }
  } finally {
    await otherLink.close();
  }
}

/** Names as nodes write them, and the shard of the list that has one of them. */
function readNames(listed: readonly Shard[], fromText: string, toText: string) {
  const [first] = listed as readonly [Shard, ...Shard[]];
  const [from, to] = [fromText, toText].map((text) => nameIn(first, text)) as [string, string];
  if (from === to) throw new ShardsUsageError(`${from} has this name already.`);
  const found = listed.filter(({ name }) => name === from || name === to);
  const [shard] = found;
  if (shard === undefined)
    throw new ShardsUsageError(
      `${from} is not in the list of shards (${listed.map(({ name }) => name).join(', ')}). Write it as it is there.`,
    );
  if (found.length > 1)
    throw new ShardsUsageError(
      `The list of shards has both ${from} and ${to}, which would be two shards. List only one of them.`,
    );
  return { shard, from, to };
}

function nameIn(like: Shard, text: string): string {
  try {
    return shardAt(like, text).name;
  } catch (error) {
    if (!(error instanceof RedisUrlError)) throw error;
    throw new ShardsUsageError(
      `"${text}" is not the name of a shard. Write host:port, or host:port,host:port/master with Sentinels.`,
    );
  }
}
