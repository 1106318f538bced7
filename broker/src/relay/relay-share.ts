/** What the relays of a node share: limits of memory hold for all of them together. */
import { FlushWindow } from './flush-window.js';
import { SharedTimers } from './shared-timers.js';
import { CacheBudget } from './topic-cache.js';

/** Bytes that several objects hold together. Each adds what it takes and subtracts what it releases. */
export interface ByteMeter {
  bytes: number;
}

export interface RelayShareSettings {
  readonly flushWindowMs: number;
  /** Bytes of publications that all feeds together keep in memory. */
  readonly recentBytes: number;
  /** Bytes of publications that may wait for Redis. Beyond it, publishes are refused with `overloaded`. */
  readonly maxRelayBytes: number;
}

/** Bytes of publications that were acknowledged recently (publish-log.ts). Beyond it, the oldest are forgotten. */
const maxLoggedBytes = 16_777_216;

/** The part of a limit of bytes that is reserved. Any relay may use the rest. */
const reservedShare = 0.5;

/** A limit of bytes for all relays together. */
interface BytePool {
  readonly limit: number;
  /** Bytes beyond the reserves of their relays. */
  excess: number;
}

export class RelayShare {
  readonly window: FlushWindow;
  readonly waiting: BytePool;
  readonly logged: BytePool = { limit: maxLoggedBytes, excess: 0 };
  readonly cache: CacheBudget;
  readonly timers = new SharedTimers();

  /** `partitions`: how many the relays serve together. */
  constructor(
    settings: RelayShareSettings,
    readonly partitions: number,
  ) {
    this.window = new FlushWindow(settings.flushWindowMs);
    this.cache = new CacheBudget(settings.recentBytes);
    this.waiting = { limit: settings.maxRelayBytes, excess: 0 };
  }

  close(): void {
    this.window.close();
  }
}

/** The share of one relay. It grows with the number of partitions that the relay serves. */
export class RelayPart {
  /** Publications that wait for Redis. */
  readonly waiting: SharedBytes;
  /** Publications that were acknowledged recently (publish-log.ts). */
  readonly logged: SharedBytes;
  #partitions = 0;

  /** `partitions`: how many the relay serves now. */
  constructor(
    private readonly share: RelayShare,
    partitions: number,
  ) {
    this.waiting = new SharedBytes(share.waiting);
    this.logged = new SharedBytes(share.logged);
    this.partitions = partitions;
  }

  get window(): FlushWindow {
    return this.share.window;
  }

  get cache(): CacheBudget {
    return this.share.cache;
  }

  get timers(): SharedTimers {
    return this.share.timers;
  }

  set partitions(count: number) {
    this.#partitions = count;
    for (const bytes of [this.waiting, this.logged]) bytes.reserveShare(count / this.share.partitions);
  }

  /** The part of a limit on numbers of topics: topics are spread evenly over the partitions. */
  topics(limit: number): number {
    return Math.ceil((limit * Math.max(1, this.#partitions)) / this.share.partitions);
  }
}

/**
 * The bytes of one relay. A reserve is always free for it. So a Redis that does not answer, or that has one busy topic,
 * cannot take the room of the others.
 */
export class SharedBytes implements ByteMeter {
  #bytes = 0;
  #reserve = 0;

  constructor(private readonly pool: BytePool) {}

  get bytes(): number {
    return this.#bytes;
  }

  set bytes(bytes: number) {
    this.pool.excess += Math.max(0, bytes - this.#reserve) - this.#excess;
    this.#bytes = bytes;
  }

  /** Whether the relay has more than it may. */
  get isOver(): boolean {
    return !this.hasRoom(0);
  }

  /** Reserves this share of what is reserved. */
  reserveShare(share: number): void {
    const reserve = this.pool.limit * reservedShare * share;
    this.pool.excess += Math.max(0, this.#bytes - reserve) - this.#excess;
    this.#reserve = reserve;
  }

  /** Whether there is room for this many bytes more. */
  hasRoom(bytes: number): boolean {
    const excess = Math.max(0, this.#bytes + bytes - this.#reserve);
    return excess === 0 || this.pool.excess + excess - this.#excess <= this.pool.limit * (1 - reservedShare);
  }

  get #excess(): number {
    return Math.max(0, this.#bytes - this.#reserve);
  }
}
