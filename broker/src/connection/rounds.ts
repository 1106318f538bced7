/**
 * Looks at all connections once a second: closes those whose time is up, forgets what they need not remember any more, pings them, and closes
 * those that read least if the node holds too many unread bytes. One timer for all: one for each connection would cost more memory than all else of it.
 */
import { closeReasons } from '@fanfare/protocol';
import type { Connection } from './connection.js';

const roundMs = 1_000;

export interface RoundsSettings {
  readonly maxTotalBufferedBytes: number;
}

export class Rounds {
  readonly #connections: readonly Connection[];
  readonly #settings: RoundsSettings;
  readonly #counters: { connectionsShed: number };
  readonly #timer: NodeJS.Timeout;
  readonly #everyRound: (nowMs: number) => void;
  /** As of the last round. */
  bufferedBytes = 0;

  /** `everyRound`: also called each time, with the time of performance.now(). */
  constructor(
    connections: readonly Connection[],
    settings: RoundsSettings,
    counters: { connectionsShed: number },
    everyRound: (nowMs: number) => void,
  ) {
    this.#everyRound = everyRound;
    this.#connections = connections;
    this.#settings = settings;
    this.#counters = counters;
    this.#timer = setInterval(() => this.look(Date.now()), roundMs);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  look(nowMs: number): void {
    let total = 0;
    const now = performance.now();
    // A copy: who is closed leaves the list.
    for (const connection of [...this.#connections]) {
      connection.session?.check(nowMs);
      connection.forgetTurns();
      connection.keepAlive(now);
      // What those hold that are being closed is given back within their grace of 5 s.
      if (!connection.isClosing) total += connection.bufferedBytes;
    }
    this.bufferedBytes = total;
    this.#everyRound(now);
    if (total > this.#settings.maxTotalBufferedBytes) this.#shed(total);
  }

  /** Closes those that hold most, until half of what is allowed is left. */
  #shed(total: number): void {
    const open = this.#connections.filter(({ isClosing }) => !isClosing);
    const held = open.map((connection) => ({ connection, bytes: connection.bufferedBytes }));
    held.sort((a, b) => b.bytes - a.bytes);
    let left = total;
    for (const { connection, bytes } of held) {
      if (left <= this.#settings.maxTotalBufferedBytes / 2) return;
      left -= bytes;
      this.#counters.connectionsShed++;
      connection.close(closeReasons.overloaded);
    }
  }
}
