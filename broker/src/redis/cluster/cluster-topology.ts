/**
 * Knows which server of a Redis Cluster has which slot. Asks a server whose connection works, or the seeds if there is
 * none. Reads again every 30 s, and when something suggests that a slot has moved.
 */
import type { Log } from '../../observe/log.js';
import type { RedisCounters } from '../redis-link.js';
import { type ClusterSettings, serverOf, settingsFor } from './cluster-settings.js';
import { SeedLink } from './seed-link.js';
import type { SlotMap } from './slot-map.js';

/** Which server has a slot. */
interface SlotOwner {
  /** `host:port`. */
  readonly server: string;
  /** The owner was not asked for before this time, by performance.now(). */
  readonly at: number;
}

/** A server whose connection works. */
interface TopologySource {
  /** `host:port`. */
  readonly name: string;
  slots(): Promise<SlotMap>;
}

/** How often the slots are read if nothing happens, in milliseconds. */
const intervalMs = 30_000;

/** Shortest pause between two reads, in milliseconds. It doubles while reading again does not help. */
const minPauseMs = 100;
const maxPauseMs = 500;

/** Maximum number of servers that are asked at once: one of them may hang. */
const maxAsked = 2;

/** Maximum number of servers that are tried if no connection works: the seeds, then others. */
const maxSeeds = 16;

export class ClusterTopology {
  /** Servers whose connection works, the one that was asked last at the end. */
  readonly #sources = new Set<TopologySource>();
  readonly #seeds = new Map<string, { readonly link: SeedLink; readonly source: TopologySource }>();
  readonly #listeners = new Set<() => void>();
  #slots: SlotMap | null = null;
  /** When the read of {@link #slots} began. */
  #slotsAt = Number.NEGATIVE_INFINITY;
  /** Slots that a server reported elsewhere since the last read. */
  readonly #moved = new Map<number, SlotOwner>();
  /** The server to ask next; null if any will do. */
  #next: TopologySource | null = null;
  readonly #interval: NodeJS.Timeout;
  #planned: NodeJS.Timeout | null = null;
  #isReading = false;
  #isWanted = false;
  /** When the last read began, by performance.now(). */
  #readAt = Number.NEGATIVE_INFINITY;
  #pauseMs = minPauseMs;
  #isClosed = false;

  /** `hasBeenLeft`: whether a partition has just left the server of this name, and has no other yet. */
  constructor(
    private readonly settings: ClusterSettings,
    private readonly log: Log,
    private readonly counters: RedisCounters,
    private readonly hasBeenLeft: (name: string) => boolean,
  ) {
    this.#interval = setInterval(() => this.refresh(), intervalMs);
    this.#interval.unref();
    this.refresh();
  }

  /** Null if the server is unknown. */
  ownerOf(slot: number): SlotOwner | null {
    const moved = this.#moved.get(slot);
    if (moved !== undefined) return moved;
    const server = this.#slots?.ownerOf(slot) ?? null;
    return server === null ? null : { server, at: this.#slotsAt };
  }

  /** Why the owner of the slot is unknown; null if it is known, or if nothing was found wrong recently. */
  faultOf(slot: number): string | null {
    for (const { link } of this.#seeds.values()) if (link.fault !== null) return link.fault;
    if (this.#slots === null || this.ownerOf(slot) !== null) return null;
    return `No server of the Redis Cluster has slot ${slot}. Run redis-cli --cluster check, and --cluster fix if it advises that.`;
  }

  /** Calls the listener each time that owners may have changed. */
  add(listener: () => void): void {
    this.#listeners.add(listener);
  }

  remove(listener: () => void): void {
    this.#listeners.delete(listener);
  }

  /** The connection to this server works. */
  addSource(source: TopologySource): void {
    this.#sources.add(source);
    this.#closeSeeds();
    if (this.#isWanted) this.#plan();
  }

  removeSource(source: TopologySource): void {
    this.#sources.delete(source);
  }

  /** Something has changed: reads the slots soon. `source`: the server that knows it first. */
  refresh(source: TopologySource | null = null): void {
    this.#next = source ?? this.#next;
    this.#pauseMs = minPauseMs;
    this.#isWanted = true;
    this.#plan();
  }

  /** The last read has not helped: reads again, after a longer pause each time. */
  refreshLater(): void {
    if (this.#isWanted || this.#planned !== null) return;
    this.#isWanted = true;
    this.#pauseMs = Math.min(this.#pauseMs * 2, maxPauseMs);
    this.#plan();
  }

  /** A server has replied that the slot is at another one. */
  move(slot: number, server: string): void {
    this.#moved.set(slot, { server, at: performance.now() });
    this.refresh();
    this.#announce();
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#interval);
    if (this.#planned !== null) clearTimeout(this.#planned);
    this.#sources.clear();
    this.#closeSeeds();
  }

  #plan(): void {
    if (this.#isReading || this.#planned !== null || this.#isClosed) return;
    const pauseMs = Math.max(0, this.#readAt + this.#pauseMs - performance.now());
    this.#planned = setTimeout(() => {
      this.#planned = null;
      void this.#read();
    }, pauseMs);
  }

  async #read(): Promise<void> {
    const next = this.#next;
    this.#next = null;
    const sources = next !== null && this.#sources.has(next) ? [next] : this.#trusted.slice(0, maxAsked);
    // Without a working connection, the first one that works causes the read.
    if (sources.length === 0) return this.#openSeeds();
    this.#isReading = true;
    this.#isWanted = false;
    this.#readAt = performance.now();
    const began = this.#readAt;
    for (const source of sources) {
      this.#sources.delete(source);
      this.#sources.add(source);
    }
    const slots = await Promise.any(sources.map((source) => source.slots())).catch(() => null);
    this.#isReading = false;
    if (this.#isClosed) return;
    if (slots === null) this.refreshLater();
    else {
      this.#slots = slots;
      this.#slotsAt = began;
      for (const [slot, { at }] of this.#moved) if (at < began) this.#moved.delete(slot);
      this.#announce();
    }
    if (this.#isWanted) this.#plan();
  }

  /**
   * A master that was cut off still believes that it has its slots. So one that has been left is asked only if there is
   * no other: partitions must not return to it because of its own answer.
   */
  get #trusted(): readonly TopologySource[] {
    const all = [...this.#sources];
    const others = all.filter(({ name }) => !this.hasBeenLeft(name));
    return others.length === 0 ? all : others;
  }

  #announce(): void {
    for (const listener of this.#listeners) listener();
  }

  #openSeeds(): void {
    const known = [...(this.#slots?.servers ?? [])];
    for (const name of new Set([...this.settings.seeds.map(serverOf), ...known])) {
      if (this.#seeds.size >= maxSeeds) return;
      if (this.#seeds.has(name)) continue;
      const source: TopologySource = { name, slots: () => link.slots(name) };
      const link = new SeedLink(settingsFor(name, this.settings), this.log.child({ shard: name }), this.counters, {
        onReady: () => this.#onSeedReady(source),
        onLost: () => this.removeSource(source),
      });
      this.#seeds.set(name, { link, source });
    }
  }

  /** Seeds stay open until the connection to a master works. */
  #onSeedReady(source: TopologySource): void {
    this.#sources.add(source);
    if (this.#isWanted) this.#plan();
  }

  #closeSeeds(): void {
    for (const { link, source } of this.#seeds.values()) {
      this.#sources.delete(source);
      void link.close();
    }
    this.#seeds.clear();
  }
}
