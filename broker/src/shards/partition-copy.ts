/**
 * Copies the data of one partition from a shard to another. The partition may be in use meanwhile: each pass copies
 * only what has changed since the one before. The last pass must follow the fence (lua/shards/fence.lua); then both
 * shards have the same.
 */
import type { Command } from '../redis/redis-link.js';
import type { Reply } from '../redis/reply-reader.js';
import type { ScriptCall } from '../redis/script.js';
import { scripts } from '../relay/scripts.js';

/** A shard, as this file needs it. */
export interface CopyLink {
  run(commands: readonly Command[]): Promise<readonly Reply[]>;
  evaluate(call: ScriptCall): Promise<Reply>;
}

/** How the names of a partition begin, and the names that the scripts of streams need. */
interface CopyKeys {
  /** `<root>:{<tag>}:topic:` */
  readonly topicPrefix: string;
  readonly generation: string;
  readonly newestEpoch: string;
}

/** Redis serves others between two commands, so each must be short. */
const keysPerScan = 10_000;
const topicsPerCall = 256;
/** A topic may have a thousand long publications. */
const topicsPerCopy = 8;

/** What belongs to a topic, in addition to its stream. */
const parts = ['', ':ids', ':ids:old'];

export class PartitionCopy {
  /** For each copied topic, by the name of its stream: its position when it was copied; '' if it had no stream. */
  readonly #copied = new Map<string, string>();
  #hasBegun = false;

  constructor(
    private readonly from: CopyLink,
    private readonly to: CopyLink,
    private readonly keys: CopyKeys,
  ) {}

  /**
   * Copies what has changed since the last pass; the first pass also removes what only the target has, because an
   * earlier copy has left it there. `minEpoch`: of the source. Streams with an older epoch get a new one first. Resolves
   * with the number of copied topics.
   */
  async pass(minEpoch: string): Promise<number> {
    const names = await topicsIn(this.from, this.keys.topicPrefix);
    const changed: string[] = [];
    if (!this.#hasBegun)
      for (const name of await topicsIn(this.to, this.keys.topicPrefix)) if (!names.has(name)) changed.push(name);
    this.#hasBegun = true;
    for (const some of inPieces([...names], topicsPerCall)) {
      const positions = await positionsOf(this.from, this.keys, some, minEpoch);
      for (const [index, name] of some.entries()) {
        const position = positions[index] as string;
        // Message ids change only together with the stream.
        if (position !== '' && this.#copied.get(name) === position) continue;
        this.#copied.set(name, position);
        changed.push(name);
      }
    }
    for (const name of this.#copied.keys()) {
      if (names.has(name)) continue;
      this.#copied.delete(name);
      changed.push(name);
    }
    for (const some of inPieces(changed, topicsPerCopy)) await this.#copy(some);
    return changed.length;
  }

  async #copy(topics: readonly string[]): Promise<void> {
    const names = topics.flatMap((topic) => parts.map((part) => topic + part));
    const replies = await this.from.run(
      names.flatMap((name): Command[] => [
        ['DUMP', name],
        ['PTTL', name],
      ]),
    );
    await this.to.run(
      names.map((name, index): Command => {
        const [value, ttl] = [replies[2 * index], Number(replies[2 * index + 1])];
        if (!Buffer.isBuffer(value) || ttl === -2) return ['UNLINK', name];
        // 0 means that the key never expires.
        return ['RESTORE', name, ttl === -1 ? 0 : Math.max(1, ttl), value, 'REPLACE'];
      }),
    );
  }
}

/** Removes all data of a partition from a shard. */
export async function clear(link: CopyLink, topicPrefix: string): Promise<void> {
  for await (const names of scan(link, topicPrefix))
    for (const some of inPieces(names, topicsPerCall)) await link.run([['UNLINK', ...some]]);
}

/**
 * Gives another epoch to each stream of a shard whose epoch is lower than `minEpoch`. Streams that are in use get it
 * anyway when they are used. `prefix`: of all streams of the shard, up to the tag.
 */
export async function renewEnded(link: CopyLink, keys: CopyKeys, prefix: string, minEpoch: string): Promise<void> {
  for await (const names of scan(link, prefix)) {
    const topics = names.filter((name) => streamOf(name) === name);
    for (const some of inPieces(topics, topicsPerCall)) await positionsOf(link, keys, some, minEpoch);
  }
}

/** The positions of topics, '' for one without a stream. Streams with an epoch below `minEpoch` get another one. */
async function positionsOf(
  link: CopyLink,
  { generation, newestEpoch }: CopyKeys,
  topics: readonly string[],
  minEpoch: string,
): Promise<readonly string[]> {
  // An expiry in 1 ms is no extension: it applies only if it is later than that of the stream.
  const args = [minEpoch, ...topics.map(() => 1)];
  const answer = await link.evaluate({ script: scripts.positions, keys: [generation, newestEpoch, ...topics], args });
  return (answer as readonly Reply[]).map(String);
}

/** The topics that have any data, by the names of their streams. */
async function topicsIn(link: CopyLink, topicPrefix: string): Promise<Set<string>> {
  const topics = new Set<string>();
  for await (const names of scan(link, topicPrefix)) for (const name of names) topics.add(streamOf(name));
  return topics;
}

/** The names that begin with `prefix`. A name may be in several pieces. */
async function* scan(link: CopyLink, prefix: string): AsyncIterable<readonly string[]> {
  const pattern = `${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`;
  for (let cursor = '0'; ; ) {
    const [reply] = await link.run([['SCAN', cursor, 'MATCH', pattern, 'COUNT', keysPerScan]]);
    const [next, names] = reply as readonly [Reply, readonly Reply[]];
    if (names.length > 0) yield names.map(String);
    cursor = String(next);
    if (cursor === '0') return;
  }
}

/** The stream next to which a key is. No topic contains a ":". */
function streamOf(name: string): string {
  return name.replace(/:ids(?::old)?$/, '');
}

function inPieces<Item>(items: readonly Item[], size: number): (readonly Item[])[] {
  const pieces: (readonly Item[])[] = [];
  for (let at = 0; at < items.length; at += size) pieces.push(items.slice(at, at + size));
  return pieces;
}
