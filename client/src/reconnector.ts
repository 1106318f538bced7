/** Keeps one connection to the broker open: dials, waits, dials again, and reports the state. */
import type { ServerMessage } from '@fanfare/protocol';
import { shownAddress } from './address.js';
import { Connection, type ConnectionListener, type ConnectionSettings } from './connection.js';
import { FanfareError } from './errors.js';
import { Handover } from './handover.js';
import { maxTimerMs } from './options.js';
import { mostDelayMs, reconnectDelayMs } from './reconnect.js';
import { type Closure, type ConnectionState, closure, type StateCode } from './state.js';

/** Longest time that a server may keep the client away with `Retry-After`, in milliseconds. */
const maxRetryAfterMs = 600_000;

interface ReconnectorListener {
  /** A new connection is open. While a move is under way it is the second one. */
  onOpen(): void;
  /** Publications use this connection from now on: `connected` arrived, and there is no earlier connection. */
  onConnected(connection: Connection): void;
  onMessage(message: ServerMessage, connection: Connection): void;
  /** A connection ended, or everything moved to a new connection. The old one delivers nothing more. */
  onLost(connection: Connection, closure: Closure): void;
  /** All connections ended, and the client does not reconnect. */
  onEnd(closure: Closure): void;
  /** Move everything to `to`, which is connected. Call `onMoved` when nothing needs `from` any more. */
  onMove(from: Connection, to: Connection, onMoved: () => void): void;
  /** The move failed for now: publications stay on the first connection. */
  onStay(): void;
  /** The first attempt to connect has failed, and no other has succeeded yet. Called once. */
  onTrouble(error: FanfareError): void;
  /** Called after the other notifications, which already see the new state. */
  onState(state: ConnectionState): void;
}

interface ReconnectorSettings extends ConnectionSettings {
  readonly stableAfterMs: number;
  /** Shortest time that a caller waits for a connection, in milliseconds; infinite if there is no caller. */
  readonly patienceMs: () => number;
}

/** Events of browsers. Node does not have them. */
const pageEvents = ['online', 'offline', 'pagehide', 'pageshow'];

type Page = {
  [Method in 'addEventListener' | 'removeEventListener']?: (name: string, listener: Reconnector) => void;
};

export class Reconnector implements ConnectionListener {
  readonly #settings: ReconnectorSettings;
  readonly #listener: ReconnectorListener;
  #state: ConnectionState = { name: 'disconnected', ...withoutEnd(closure('notConnected')) };
  #connection: Connection | null = null;
  #handover: Handover | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  /** Time of the next attempt. */
  #retryAtMs = 0;
  /** The server asked not to connect before this time. */
  #notBeforeMs = 0;
  #failures = 0;
  /** Failed attempts since the last connection, and how the last attempt or connection ended. */
  #attempts = 0;
  #lastEnd: Closure | null = null;
  /** Start of the current attempt. */
  #dialedAtMs = 0;
  /** True if {@link ReconnectorListener.onTrouble} was called or is no longer needed. */
  #isTroubleKnown = false;
  /** True if the page is hidden: in the back/forward cache, or about to be unloaded. */
  #isHidden = false;
  #connectedAt: number | null = null;
  #closing: Promise<unknown> = Promise.resolve();

  constructor(settings: ReconnectorSettings, listener: ReconnectorListener) {
    this.#settings = settings;
    this.#listener = listener;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The connection that publications use; null if it is not open. */
  get connection(): Connection | null {
    return this.#connection?.isOpen ? this.#connection : null;
  }

  /** The newest connection that is open: a second one, during a move. */
  get newest(): Connection | null {
    const next = this.#handover?.connection ?? null;
    return next?.isOpen ? next : this.connection;
  }

  /** Why there is no connection; null if there is one. */
  get trouble(): FanfareError | null {
    if (this.#state.name === 'connected') return null;
    const { reason, cause } = this.#lastEnd ?? { ...this.#state, cause: undefined };
    const place = shownAddress(this.#settings.url);
    let message = `No connection to ${place}: ${reason}`;
    if (this.#attempts > 0) {
      message = `No connection to ${place} after ${this.#attempts} attempt${this.#attempts === 1 ? '' : 's'}: ${reason}`;
    } else if (this.#lastEnd !== null) {
      message = `The connection to ${place} is lost: ${reason}`;
    } else if (this.#connection !== null) {
      const elapsedMs = Math.round(performance.now() - this.#dialedAtMs);
      message = `No connection to ${place} yet. ${this.#connection.awaited} has not answered for ${elapsedMs} ms.`;
    }
    return new FanfareError('connectFailed', { message, cause });
  }

  /** A new caller waits this long for a connection, so the next attempt may have to come sooner. */
  expect(timeoutMs: number): void {
    if (this.#state.name !== 'connecting' || this.#connection !== null) return;
    const { reconnectBaseDelayMs } = this.#settings;
    const leftMs = this.#retryAtMs - performance.now();
    if (leftMs > mostDelayMs(timeoutMs, reconnectBaseDelayMs)) this.#planDial(timeoutMs);
  }

  /** Dials at once, even while waiting for the next attempt. Does nothing if a connection is open or being opened. */
  connect(): void {
    if (this.#state.name === 'disconnected') {
      this.#failures = 0;
      this.#attempts = 0;
      this.#lastEnd = null;
      this.#isTroubleKnown = false;
      for (const name of pageEvents) (globalThis as Page).addEventListener?.(name, this);
      this.#enter({ name: 'connecting', attempt: 0, ...withoutEnd(closure('connectCalled')) });
    }
    this.#dial();
  }

  /** Closes all connections. Resolves when the sockets are closed. */
  async disconnect(code: StateCode): Promise<void> {
    const closings = [this.#closing];
    if (this.#handover !== null) closings.push(this.#handover.stop(code));
    this.#handover = null;
    if (this.#connection !== null) closings.push(this.#connection.close(code));
    this.#closing = Promise.all(closings);
    const isOver = this.#state.name === 'disconnected' && this.#state.code !== 'notConnected';
    if (!isOver) this.#end(closure(code, '', null, true));
    await this.#closing;
  }

  onOpen(): void {
    this.#listener.onOpen();
  }

  onMessage(message: ServerMessage, connection: Connection): void {
    if (message.type === 'goaway') return this.#prepareMove(message.delayMs);
    if (message.type !== 'connected') return this.#listener.onMessage(message, connection);
    this.#connectedAt = performance.now();
    this.#attempts = 0;
    this.#isTroubleKnown = true;
    this.#listener.onConnected(connection);
    this.#enter({ name: 'connected', node: message.node });
  }

  onTokenError(tokenError: FanfareError | null): void {
    const state = this.#state;
    if (state.name !== 'connected') return;
    const { name, node } = state;
    if (tokenError !== null) this.#enter({ name, node, tokenError });
    else if (state.tokenError !== undefined) this.#enter({ name, node });
  }

  onClose(why: Closure, connection: Connection | null): void {
    if (!why.isFinal && !this.#isHidden && this.#move(why)) return;
    if (this.#connectedAt === null) this.#attempts++;
    const lost = [connection, this.#handover?.connection ?? null];
    void this.#handover?.stop(why.code);
    this.#handover = null;
    this.#connection = null;
    clearTimeout(this.#retry);
    if (this.#connectedAt !== null && performance.now() - this.#connectedAt >= this.#settings.stableAfterMs) {
      this.#failures = 0;
    }
    this.#connectedAt = null;
    if (why.isFinal) return this.#end(why);
    this.#lastEnd = why;
    this.#notBeforeMs = performance.now() + Math.min(why.retryAfterMs, maxRetryAfterMs);
    this.#planDial();
    this.#failures++;
    this.#enter({ name: 'connecting', attempt: this.#failures, ...withoutEnd(why) }, () => {
      for (const each of lost) if (each !== null) this.#listener.onLost(each, why);
    });
    if (this.#isTroubleKnown || this.#isHidden || this.trouble === null) return;
    this.#isTroubleKnown = true;
    this.#listener.onTrouble(this.trouble);
  }

  /** An event of the page. */
  handleEvent({ type }: { readonly type: string }): void {
    const connection = this.#connection;
    if (type === 'pagehide') {
      // In the back/forward cache the browser keeps the connection and answers pings, but discards its messages.
      this.#isHidden = true;
      clearTimeout(this.#retry);
      return connection?.drop(closure('pageHidden'));
    }
    if (type === 'pageshow') this.#isHidden = false;
    // Browsers report "offline" even if only some networks are lost: ping before closing the connection.
    else connection?.probe();
    if (type !== 'offline') this.#dial();
  }

  #dial(): void {
    // A state listener may have called close() meanwhile.
    if (this.#state.name !== 'connecting' || this.#connection !== null || this.#isHidden) return;
    clearTimeout(this.#retry);
    this.#dialedAtMs = performance.now();
    try {
      this.#connection = new Connection(this.#settings, this);
    } catch (cause) {
      // For example, a browser refuses `ws:` on a page of `https:`.
      this.onClose(closure('connectFailed', (cause as Error).message, null, false, cause), null);
    }
  }

  #prepareMove(delayMs: number): void {
    if (this.#state.name !== 'connected') return;
    this.#handover ??= new Handover(delayMs, this.#settings, {
      ...this.#listener,
      onReady: (connection) => {
        const old = this.#connection;
        const isStill = (): boolean => this.#connection === old && this.#handover?.successor?.connection === connection;
        if (old !== null) this.#listener.onMove(old, connection, () => isStill() && this.#move());
      },
      onLost: (connection, why) => {
        this.#listener.onStay();
        this.#listener.onLost(connection, why);
      },
    });
  }

  /** Makes the second connection the main one. Does nothing if the second one is not connected yet. */
  #move(why: Closure = closure('draining')): boolean {
    const [old, successor] = [this.#connection, this.#handover?.successor ?? null];
    if (old === null || successor === null) return false;
    const { connection, node, goawayMs } = successor;
    connection.hand(this);
    this.#handover = null;
    this.#connection = connection;
    this.#connectedAt = performance.now();
    this.#failures = 0;
    this.#closing = Promise.all([this.#closing, old.close(why.code)]);
    this.#state = { name: 'connected', node };
    this.#listener.onLost(old, why);
    this.#listener.onConnected(connection);
    if (goawayMs !== null) this.#prepareMove(goawayMs);
    this.#listener.onState(this.#state);
    return true;
  }

  #planDial(patienceMs = this.#settings.patienceMs()): void {
    clearTimeout(this.#retry);
    if (this.#isHidden) return;
    const now = performance.now();
    const retryAfterMs = Math.max(0, this.#notBeforeMs - now);
    // In addition to the delay of the server, so that its clients do not all return at once.
    const delayMs = Math.min(retryAfterMs + reconnectDelayMs(this.#failures, this.#settings, patienceMs), maxTimerMs);
    this.#retryAtMs = now + delayMs;
    this.#retry = setTimeout(() => this.#dial(), delayMs);
  }

  #end(why: Closure): void {
    this.#connection = null;
    clearTimeout(this.#retry);
    this.#connectedAt = null;
    for (const name of pageEvents) (globalThis as Page).removeEventListener?.(name, this);
    this.#enter({ name: 'disconnected', ...withoutEnd(why) }, () => this.#listener.onEnd(why));
  }

  /** Call this last, because listeners may call any method. */
  #enter(state: ConnectionState, notify = (): void => {}): void {
    this.#state = state;
    notify();
    // If a listener has connected or disconnected, that state was announced already.
    if (this.#state === state) this.#listener.onState(state);
  }
}

function withoutEnd({ code, reason, closeCode }: Closure): Omit<Closure, 'isFinal' | 'cause' | 'retryAfterMs'> {
  return { code, reason, closeCode };
}
