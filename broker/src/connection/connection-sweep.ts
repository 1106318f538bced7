/**
 * Visits all connections once a second: closes those past a deadline, stops waiting for retries, and sends pings. If
 * the node holds too many unread bytes, it closes the connections that hold most. One timer for all, because a timer
 * for each would take more memory than the rest of it.
 */
import { closeReasons } from '@fanfare/protocol';
import type { OpenConnection } from './open-connection.js';

const intervalMs = 1_000;

interface ConnectionSweepSettings {
  readonly maxTotalBufferedBytes: number;
}

export class ConnectionSweep {
  readonly #timer: NodeJS.Timeout;
  /** Unread bytes of all connections, as of the last sweep. */
  bufferedBytes = 0;

  /** `onSweep`: also called in each sweep, with performance.now(). */
  constructor(
    private readonly connections: readonly OpenConnection[],
    private readonly settings: ConnectionSweepSettings,
    private readonly counters: { connectionsShed: number },
    private readonly onSweep: (nowMs: number) => void,
  ) {
    this.#timer = setInterval(() => this.#sweep(Date.now()), intervalMs);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #sweep(dateMs: number): void {
    let total = 0;
    const nowMs = performance.now();
    // A copy: closed connections leave the list.
    for (const connection of [...this.connections]) {
      connection.authentication?.checkDeadline(dateMs);
      connection.tickPublishOrder();
      connection.keepAlive(nowMs);
      // Connections that are being closed release their bytes within 5 s.
      if (!connection.isClosing) total += connection.bufferedBytes;
    }
    this.bufferedBytes = total;
    this.onSweep(nowMs);
    if (total > this.settings.maxTotalBufferedBytes) this.#shed(total);
  }

  /** Closes the connections that hold most, until half of the permitted bytes are left. */
  #shed(total: number): void {
    const open = this.connections.filter(({ isClosing }) => !isClosing);
    const held = open.map((connection) => ({ connection, bytes: connection.bufferedBytes }));
    held.sort((a, b) => b.bytes - a.bytes);
    let left = total;
    for (const { connection, bytes } of held) {
      if (left <= this.settings.maxTotalBufferedBytes / 2) return;
      left -= bytes;
      this.counters.connectionsShed++;
      connection.close(closeReasons.overloaded);
    }
  }
}
