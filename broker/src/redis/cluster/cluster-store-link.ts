/**
 * The connection of authentication to a Redis Cluster: to the master that has the slot of all its keys. It follows the
 * slot to another server.
 */
import type { Log } from '../../observe/log.js';
import { lostError } from '../command-stream.js';
import { isMoved } from '../redis-fault.js';
import type { Command, RedisCounters } from '../redis-link.js';
import type { ScriptCall } from '../script.js';
import { StoreLink } from '../store-link.js';
import { type ClusterSettings, settingsFor } from './cluster-settings.js';
import type { ClusterTopology } from './cluster-topology.js';
import { readMoved } from './slot-map.js';

export class ClusterStoreLink implements Pick<StoreLink, 'isReady' | 'run' | 'evaluate' | 'close'> {
  #server: { readonly name: string; readonly link: StoreLink } | null = null;
  readonly #follow = (): void => this.#use(this.topology.ownerOf(this.slot)?.server ?? null);

  /** `slot`: the slot of all keys that are used. `onReady`: the connection works (again). */
  constructor(
    private readonly topology: ClusterTopology,
    private readonly slot: number,
    private readonly settings: ClusterSettings,
    private readonly log: Log,
    private readonly counters: RedisCounters,
    private readonly events: { onReady(): void },
  ) {
    topology.add(this.#follow);
    this.#follow();
  }

  get isReady(): boolean {
    return this.#server?.link.isReady === true;
  }

  /** See {@link StoreLink.run}. */
  run(commands: readonly Command[]): Promise<readonly unknown[]> {
    return this.#send((link) => link.run(commands));
  }

  /** See {@link StoreLink.evaluate}. */
  evaluate(calls: readonly ScriptCall[]): Promise<readonly unknown[]> {
    return this.#send((link) => link.evaluate(calls));
  }

  async close(): Promise<void> {
    this.topology.remove(this.#follow);
    await this.#server?.link.close();
    this.#server = null;
  }

  async #send(send: (link: StoreLink) => Promise<readonly unknown[]>): Promise<readonly unknown[]> {
    const server = this.#server;
    if (server === null) throw lostError();
    try {
      return await send(server.link);
    } catch (error) {
      if (this.#server === server) this.#onError(error as Error, server.name);
      throw error;
    }
  }

  #onError(error: Error, server: string): void {
    const moved = isMoved(error) ? readMoved(error, server) : null;
    if (moved?.slot === this.slot && moved.server !== server) this.topology.move(moved.slot, moved.server);
    else if (/^(READONLY|CLUSTERDOWN|MASTERDOWN)\b/.test(error.message)) this.topology.refreshLater();
  }

  #use(name: string | null): void {
    if (name === null || name === this.#server?.name) return;
    void this.#server?.link.close();
    const events = { onReady: () => this.events.onReady(), onLost: () => this.topology.refresh() };
    const link = new StoreLink(
      settingsFor(name, this.settings),
      this.log.child({ shard: name }),
      this.counters,
      events,
    );
    this.#server = { name, link };
  }
}
