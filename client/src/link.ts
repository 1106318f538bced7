/** Keeps one connection to the broker up: dials, waits, dials again, and says in which state that is. */
import type { ServerMessage } from '@fanfare/protocol';
import { Connection, type ConnectionListener, type ConnectionSettings } from './connection.js';
import type { FrameSink } from './outbox.js';
import { type ReconnectPolicy, reconnectDelayMs } from './reconnect.js';
import { type Closure, type ConnectionState, closure, type StateCode } from './state.js';

export interface LinkListener {
  /** A new connection is open; nothing has been sent on it. */
  onOpen(sink: FrameSink): void;
  onMessage(message: ServerMessage): void;
  /** A connection, or an attempt at one, is over. The state says so already, its event comes after. */
  onLost(closure: Closure): void;
  onState(state: ConnectionState): void;
}

export interface LinkSettings extends ConnectionSettings, ReconnectPolicy {
  readonly stableAfterMs: number;
}

/** What browsers have and Node has not. */
type NetworkEvents = {
  addEventListener?(name: 'online' | 'offline', listener: () => void): void;
  removeEventListener?(name: 'online' | 'offline', listener: () => void): void;
};

export class Link {
  readonly #settings: LinkSettings;
  readonly #listener: LinkListener;
  #state: ConnectionState = { name: 'disconnected', ...withoutEnd(closure('notConnected')) };
  #connection: Connection | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  #connectedAt: number | null = null;
  #closing = Promise.resolve();

  constructor(settings: LinkSettings, listener: LinkListener) {
    this.#settings = settings;
    this.#listener = listener;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Dials at once, also where it waits to try again. Does nothing where a connection is up or on its way. */
  connect(): void {
    if (this.#state.name === 'disconnected') {
      this.#failures = 0;
      const network = globalThis as NetworkEvents;
      network.addEventListener?.('online', this.#onOnline);
      network.addEventListener?.('offline', this.#onOffline);
      this.#enter({ name: 'connecting', attempt: 0, ...withoutEnd(closure('connectCalled')) });
    }
    this.#dial();
  }

  /** Ends it all. Resolves when the socket is closed. */
  disconnect(code: StateCode): Promise<void> {
    if (this.#connection !== null) this.#closing = this.#connection.close(code);
    const isOver = this.#state.name === 'disconnected' && this.#state.code !== 'notConnected';
    if (!isOver) this.#onClose(closure(code, '', null, true));
    return this.#closing;
  }

  /** Gives the connection up for a new one. */
  restart(code: StateCode): void {
    if (this.#connection === null) return;
    void this.#connection.close(code);
    this.#onClose(closure(code));
  }

  #dial(): void {
    // A state listener may have called close() meanwhile.
    if (this.#state.name !== 'connecting' || this.#connection !== null) return;
    clearTimeout(this.#retry);
    const listener: ConnectionListener = {
      onOpen: (connection) => this.#listener.onOpen(connection),
      onMessage: (message) => {
        if (message.type === 'connected') this.#connectedAt = performance.now();
        this.#listener.onMessage(message);
        if (message.type === 'connected') this.#enter({ name: 'connected', node: message.node });
      },
      onClose: (why) => this.#onClose(why),
    };
    try {
      this.#connection = new Connection(this.#settings, listener);
    } catch (cause) {
      // A browser refuses `ws:` on a page of `https:`, for one. Node's WebSocket has nothing of the kind.
      this.#onClose(closure('connectFailed', (cause as Error).message));
    }
  }

  #onClose(why: Closure): void {
    this.#connection = null;
    clearTimeout(this.#retry);
    if (this.#connectedAt !== null && performance.now() - this.#connectedAt >= this.#settings.stableAfterMs) {
      this.#failures = 0;
    }
    this.#connectedAt = null;
    if (why.isFinal) {
      const network = globalThis as NetworkEvents;
      network.removeEventListener?.('online', this.#onOnline);
      network.removeEventListener?.('offline', this.#onOffline);
      this.#enter({ name: 'disconnected', ...withoutEnd(why) }, why);
      return;
    }
    this.#retry = setTimeout(() => this.#dial(), reconnectDelayMs(this.#failures, this.#settings));
    this.#failures++;
    this.#enter({ name: 'connecting', attempt: this.#failures, ...withoutEnd(why) }, why);
  }

  /** Last in each of its callers: listeners may do anything. */
  #enter(state: ConnectionState, lost: Closure | null = null): void {
    this.#state = state;
    if (lost !== null) this.#listener.onLost(lost);
    // Unless what was just told made someone connect or disconnect: then that has been announced already.
    if (this.#state === state) this.#listener.onState(state);
  }

  readonly #onOnline = (): void => {
    if (this.#connection === null) this.#dial();
    else this.#connection.probe();
  };

  // Browsers say "offline" where only some networks are gone: ask before giving the connection up.
  readonly #onOffline = (): void => this.#connection?.probe();
}

function withoutEnd({ code, reason, closeCode }: Closure): Omit<Closure, 'isFinal'> {
  return { code, reason, closeCode };
}
