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

/** The part of {@link RelayShareSettings.maxRelayBytes} that is reserved. Any relay may use the rest. */
const reservedShare = 0.5;

export class RelayShare {
  readonly window: FlushWindow;
  /** Publications that were acknowledged recently (publish-log.ts). */
  readonly logged: ByteMeter = { bytes: 0 };
  readonly cache: CacheBudget;
  readonly timers = new SharedTimers();
  /** Bytes of waiting publications beyond the reserves of their relays. */
  readonly unreserved: ByteMeter = { bytes: 0 };

  /** `partitions`: how many the relays serve together. */
  constructor(
    readonly settings: RelayShareSettings,
    readonly partitions: number,
  ) {
    this.window = new FlushWindow(settings.flushWindowMs);
    this.cache = new CacheBudget(settings.recentBytes);
  }

  close(): void {
    this.window.close();
  }
}

/** The share of one relay. It grows with the number of partitions that the relay serves. */
export class RelayPart {
  readonly waiting: WaitingBytes;
  #partitions = 0;

  /** `partitions`: how many the relay serves now. */
  constructor(
    private readonly share: RelayShare,
    partitions: number,
  ) {
    this.waiting = new WaitingBytes(share);
    this.partitions = partitions;
  }

  get window(): FlushWindow {
    return this.share.window;
  }

  get logged(): ByteMeter {
    return this.share.logged;
  }

  get cache(): CacheBudget {
    return this.share.cache;
  }

  get timers(): SharedTimers {
    return this.share.timers;
  }

  set partitions(count: number) {
    this.#partitions = count;
    this.waiting.reserve = (this.share.settings.maxRelayBytes * reservedShare * count) / this.share.partitions;
  }

  /** The part of a limit on numbers of topics: topics are spread evenly over the partitions. */
  topics(limit: number): number {
    return Math.ceil((limit * Math.max(1, this.#partitions)) / this.share.partitions);
  }
}

/**
 * Bytes of publications that wait for Redis in one relay. A reserve is always free for it. So a Redis that does not
 * answer cannot take the room of the others.
 */
export class WaitingBytes implements ByteMeter {
  #bytes = 0;
  #reserve = 0;

  constructor(private readonly share: RelayShare) {}

  get bytes(): number {
    return this.#bytes;
  }

  set bytes(bytes: number) {
    this.share.unreserved.bytes += Math.max(0, bytes - this.#reserve) - this.#excess;
    this.#bytes = bytes;
  }

  set reserve(reserve: number) {
    this.share.unreserved.bytes += Math.max(0, this.#bytes - reserve) - this.#excess;
    this.#reserve = reserve;
  }

  /** Whether there is room for this many bytes more. */
  hasRoom(bytes: number): boolean {
    const more = Math.max(0, this.#bytes + bytes - this.#reserve) - this.#excess;
    const { maxRelayBytes } = this.share.settings;
    return more === 0 || this.share.unreserved.bytes + more <= maxRelayBytes * (1 - reservedShare);
  }

  get #excess(): number {
    return Math.max(0, this.#bytes - this.#reserve);
  }
}
