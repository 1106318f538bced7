/** What the relays of a node share: limits of memory hold for all of them together. */
import { FlushWindow } from './flush-window.js';
import { CacheBudget } from './topic-cache.js';

/** Bytes that several objects hold together. Each adds what it takes and subtracts what it releases. */
export interface ByteMeter {
  bytes: number;
}

export interface RelayShareSettings {
  readonly flushWindowMs: number;
  /** Bytes of publications that all feeds together keep in memory. */
  readonly recentBytes: number;
}

export class RelayShare {
  readonly window: FlushWindow;
  /** Publications that wait for Redis. */
  readonly waiting: ByteMeter = { bytes: 0 };
  /** Publications that were acknowledged recently (publish-log.ts). */
  readonly logged: ByteMeter = { bytes: 0 };
  readonly cache: CacheBudget;

  /** `relays`: how many relays share it. Each may remember this share of the topics that a node may remember. */
  constructor(
    settings: RelayShareSettings,
    readonly relays: number,
  ) {
    this.window = new FlushWindow(settings.flushWindowMs);
    this.cache = new CacheBudget(settings.recentBytes);
  }

  /** The part of a limit on numbers of topics that one relay gets. */
  topics(limit: number): number {
    return Math.ceil(limit / this.relays);
  }

  close(): void {
    this.window.close();
  }
}
