/**
 * Opens a second connection after the node has announced its shutdown, with retries. Until then, the first connection
 * stays in use.
 */
import type { ServerMessage } from '@fanfare/protocol';
import { Connection, type ConnectionListener, type ConnectionSettings } from './connection.js';
import { maxTimerMs } from './options.js';
import { reconnectDelayMs } from './reconnect.js';
import type { Closure, StateCode } from './state.js';

interface HandoverListener {
  onOpen(): void;
  onMessage(message: ServerMessage, connection: Connection): void;
  /** `connected` arrived: subscriptions and publications can move there. */
  onReady(connection: Connection): void;
  /** The second connection, or an attempt to open it, failed before the move. Another attempt follows. */
  onLost(connection: Connection, closure: Closure): void;
}

/** A second connection that is ready. */
interface Successor {
  readonly connection: Connection;
  readonly node: string;
  /** Delay of the node's `goaway`, in milliseconds; null if that node is not shutting down. */
  goawayMs: number | null;
}

export class Handover implements ConnectionListener {
  readonly #settings: ConnectionSettings;
  readonly #listener: HandoverListener;
  #connection: Connection | null = null;
  #successor: Successor | null = null;
  #timer: ReturnType<typeof setTimeout>;
  #failures = 0;

  constructor(delayMs: number, settings: ConnectionSettings, listener: HandoverListener) {
    this.#settings = settings;
    this.#listener = listener;
    this.#timer = setTimeout(() => this.#dial(), Math.min(delayMs, maxTimerMs));
  }

  /** The second connection, in any state. */
  get connection(): Connection | null {
    return this.#connection;
  }

  get successor(): Successor | null {
    return this.#successor;
  }

  /** Closes the second connection. Resolves when the socket is closed. */
  async stop(code: StateCode): Promise<void> {
    clearTimeout(this.#timer);
    await this.#connection?.close(code);
  }

  onOpen(): void {
    this.#listener.onOpen();
  }

  onMessage(message: ServerMessage, connection: Connection): void {
    if (message.type === 'connected') {
      this.#successor = { connection, node: message.node, goawayMs: null };
      this.#listener.onReady(connection);
    } else if (message.type === 'goaway') {
      if (this.#successor !== null) this.#successor.goawayMs ??= message.delayMs;
    } else {
      this.#listener.onMessage(message, connection);
    }
  }

  /** The state is still the state of the first connection. A failure after the move will change it. */
  onTokenError(): void {}

  onClose(why: Closure, connection: Connection): void {
    this.#connection = null;
    this.#successor = null;
    this.#tryAgain();
    this.#listener.onLost(connection, why);
  }

  #dial(): void {
    try {
      this.#connection = new Connection(this.#settings, this);
    } catch {
      this.#tryAgain();
    }
  }

  #tryAgain(): void {
    this.#timer = setTimeout(() => this.#dial(), reconnectDelayMs(this.#failures++, this.#settings));
  }
}
