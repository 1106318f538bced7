/** The map of partitions as `fanfare shards` reads and writes it in all shards, and the lock of that map. */
import { randomBytes } from 'node:crypto';
import type { Command } from '../redis/redis-link.js';
import type { Reply } from '../redis/reply-reader.js';
import { scripts, shardScripts } from '../relay/scripts.js';
import { formatMap, newestMap, parseMap, type ShardMap, ShardMapError } from '../relay/shard-map.js';
import { checkServers } from '../relay/shard-maps.js';
import type { CopyLink } from './partition-copy.js';
import { lockMs, type ShardLink, ShardsError } from './shard-link.js';

/** The names in each shard that this file needs. */
export interface MapKeys {
  readonly map: string;
  readonly mapLock: string;
  readonly layout: string;
  readonly control: string;
}

export class MapStore {
  /** The value of the lock while this command has it. */
  readonly lockName = randomBytes(8).toString('hex');
  #renewal: NodeJS.Timeout | undefined;
  #map: ShardMap | null = null;

  /** `links`: by the names of the shards. */
  constructor(
    readonly links: ReadonlyMap<string, ShardLink>,
    private readonly keys: MapKeys,
  ) {}

  /** The map as it was read or written last. */
  get current(): ShardMap {
    if (this.#map === null) throw new Error('The map was not read.');
    return this.#map;
  }

  /** Throws {@link ShardsError} if the list lacks this shard of the map. */
  link(shard: string): ShardLink {
    const link = this.links.get(shard);
    if (link === undefined)
      throw new ShardsError(`The map uses ${shard}, which is not in the list of shards. Add it to --redis.`);
    return link;
  }

  /** The newest map. Rejects with {@link ShardsError} if a shard does not respond, or if there is no map. */
  async read(): Promise<ShardMap> {
    const stored = await Promise.all([...this.links.values()].map((link) => this.stored(link)));
    checkServers(stored.map(({ shard, server }) => [shard, server]));
    const map = newestMap(stored.flatMap(({ map }) => map ?? []));
    if (map === null)
      throw new ShardsError(
        'There is no map of partitions yet. Start the nodes with this list of shards: the first one writes the map. If they run, set FANFARE_REDIS_PREFIX and the database as for them.',
      );
    this.#map = map;
    return map;
  }

  /** What a shard has. Rejects with {@link ShardMapError} if its map is not valid. */
  async stored(link: ShardLink) {
    const { shard } = link;
    const [text, server] = await this.#exchange(link, '', 0, '');
    try {
      return { shard, server, map: text === '' ? null : parseMap(text) };
    } catch (error) {
      throw error instanceof ShardMapError ? new ShardMapError(`${shard}: ${error.message}`) : error;
    }
  }

  /**
   * Keeps other commands from changing the map, and brings all shards up to date. Rejects with {@link ShardsError} if
   * another command does that now.
   */
  async lock(): Promise<ShardMap> {
    try {
      for (const [name, link] of this.links) {
        const [answer] = await link.run([['SET', this.keys.mapLock, this.lockName, 'NX', 'PX', lockMs]]);
        if (answer === null)
          throw new ShardsError(
            `Another "fanfare shards" changes the map now (${name} is locked). Wait for its end. If it was killed, wait ${lockMs / 1_000} seconds.`,
          );
      }
      this.#renewal = setInterval(() => void this.#withLock(['PEXPIRE', this.keys.mapLock, lockMs]), lockMs / 3);
      const map = await this.read();
      for (const link of this.links.values()) await this.#exchange(link, formatMap(map), map.version, '');
      return map;
    } catch (error) {
      await this.unlock();
      throw error;
    }
  }

  async unlock(): Promise<void> {
    clearInterval(this.#renewal);
    await this.#withLock(['DEL', this.keys.mapLock]);
  }

  /** Writes a map that replaces the current one. First to the shards `involved`, which must take it. */
  async write(involved: readonly string[], map: ShardMap): Promise<void> {
    const text = formatMap(map);
    for (const name of involved) {
      const [stored] = await this.#exchange(this.link(name), text, map.version, this.lockName);
      if (stored !== text) throw this.link(name).lockLost();
      // Nodes follow it from now on.
      this.#map = map;
    }
    this.#map = map;
    const others = [...this.links].filter(([name]) => !involved.includes(name));
    // Nodes bring a shard up to date that does not respond now.
    await Promise.all(others.map(([, link]) => this.#exchange(link, text, map.version, '').catch(() => null)));
  }

  /**
   * The connection, which refuses commands with {@link ShardsError} once another command has locked the map: that one
   * may have moved the partition meanwhile, and nodes use the data that this command would replace or delete.
   */
  whileLocked(link: ShardLink): CopyLink {
    return {
      run: (commands) => this.#runLocked(link, commands),
      evaluate: (call) => link.evaluate(call),
    };
  }

  /**
   * Resolves with the map that the shard has now, '' if none, and the run id of its server. `text`: a map to write if it
   * is newer, or ''.
   */
  async #exchange(
    link: ShardLink,
    text: string,
    version: number,
    owner: string,
  ): Promise<readonly [text: string, server: string]> {
    const { map, mapLock, control, layout } = this.keys;
    const keys = [map, mapLock, control, layout];
    const answer = await link.evaluate({ script: scripts.map, keys, args: [text, version, owner] });
    const [stored, , server] = (answer as readonly Reply[]).map(String);
    return [stored as string, server as string];
  }

  async #runLocked(link: ShardLink, commands: readonly Command[]): Promise<readonly Reply[]> {
    const words = commands.flatMap((command) => [command.length, ...command]);
    const [answer] = await link.run([['EVAL', shardScripts.run.source, 1, this.keys.mapLock, this.lockName, ...words]]);
    return answer as readonly Reply[];
  }

  /** Sends a command about the lock to each shard, if this command still has it. */
  async #withLock(command: Command): Promise<void> {
    // A shard that does not respond forgets the lock by itself.
    await Promise.allSettled([...this.links.values()].map((link) => this.#runLocked(link, [command])));
  }
}
