/** The nodes that use the shards, as `fanfare shards` sees them: which are alive, and which map each has applied. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Reply } from '../redis/reply-reader.js';
import { nodeNameIn } from '../relay/membership.js';
import { counted } from './counted.js';
import type { ShardLink } from './shard-link.js';

/** The names in each shard that this file needs. */
export interface NodeKeys {
  readonly nodes: string;
  readonly clock: string;
  readonly connections: string;
  readonly mapApplied: string;
}

export interface NamedNode {
  readonly id: string;
  /** Its name, and its id in parentheses; only the id if the name is not known. */
  readonly label: string;
}

interface NodesOfShard {
  readonly living: readonly NamedNode[];
  /** The version of the map that each node has applied, by its id. Also of nodes that are gone. */
  readonly versions: ReadonlyMap<string, number>;
}

/** How often it asks whether the nodes are done, in milliseconds. */
const askMs = 5;

export class ShardNodes {
  /** The last heartbeats, by shard and node: the clock, and when this command saw it first, by performance.now(). */
  readonly #heartbeats = new Map<string, { readonly clock: number; readonly at: number }>();

  /** `leaseMs`: how long a node that is gone counts as alive. */
  constructor(
    private readonly keys: NodeKeys,
    readonly leaseMs: number,
  ) {}

  /** The nodes that use a shard, and the maps that they have applied. */
  async of(link: ShardLink): Promise<NodesOfShard> {
    const { nodes, clock, mapApplied, connections } = this.keys;
    const [scores, now, applied, reports] = await link.run([
      ['ZRANGE', nodes, 0, -1, 'WITHSCORES'],
      ['GET', clock],
      ['HGETALL', mapApplied],
      ['HGETALL', connections],
    ]);
    const clockMs = Number(String(now ?? '0'));
    const names = new Map(pairsOf(reports).map(([id, report]) => [id, nodeNameIn(report)]));
    const living = pairsOf(scores).flatMap(([id, seenAt]): NamedNode[] => {
      const name = names.get(id);
      const label = name === undefined || name === '' ? id : `${name} (${id})`;
      return this.#isAlive(link, id, Number(seenAt), clockMs) ? [{ id, label }] : [];
    });
    // The clock follows the version (lua/report-map.lua).
    const versions = new Map(pairsOf(applied).map(([id, record]) => [id, Number.parseInt(record, 10)]));
    return { living, versions };
  }

  /**
   * Waits until all living nodes that use these shards have applied this version of the map. Resolves with those that
   * have not when the time is over.
   */
  async awaitVersion(links: readonly ShardLink[], version: number, timeoutMs: number): Promise<readonly NamedNode[]> {
    for (const startedAt = performance.now(); ; ) {
      const all = await Promise.all(links.map((link) => this.of(link)));
      const hasApplied = (id: string): boolean => all.some(({ versions }) => (versions.get(id) ?? 0) >= version);
      const nodes = new Map(all.flatMap(({ living }) => living.map((node) => [node.id, node] as const)));
      const late = [...nodes.values()].filter(({ id }) => !hasApplied(id));
      if (late.length === 0 || performance.now() - startedAt > timeoutMs) return late;
      await delay(askMs);
    }
  }

  /** Whether a node may still rely on its map. If no node is alive, nobody advances the clock of the shard. */
  #isAlive({ shard }: ShardLink, id: string, seenAt: number, clock: number): boolean {
    const key = `${shard} ${id}`;
    const before = this.#heartbeats.get(key);
    const last = before?.clock === seenAt ? before : { clock: seenAt, at: performance.now() };
    this.#heartbeats.set(key, last);
    return seenAt > clock - this.leaseMs && performance.now() - last.at < this.leaseMs;
  }
}

export function notReady(nodes: readonly NamedNode[], version: number): string {
  return `${counted(nodes.length, 'node')} ${nodes.length === 1 ? 'has' : 'have'} not applied version ${version} of the map: ${labelsOf(nodes)}.`;
}

export function labelsOf(nodes: readonly NamedNode[]): string {
  return nodes.map(({ label }) => label).join(', ');
}

/** A flat list of names and values. */
function pairsOf(reply: Reply | undefined): readonly (readonly [string, string])[] {
  const flat = (reply as readonly Reply[]).map(String);
  return Array.from({ length: flat.length / 2 }, (_, at) => [flat[2 * at] as string, flat[2 * at + 1] as string]);
}
