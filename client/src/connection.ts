/** One WebSocket: dial, tell frames from noise, notice when the peer is dead, close. It never comes back; `link.ts` makes another. */
import { type ClientCodec, closeReasons, type ServerMessage, shouldReconnect, subprotocols } from '@fanfare/protocol';
import { connectId, pingId } from './command-ids.js';
import { type Encoded, Frames, type Outgoing, outgoing } from './frames.js';
import { type Closure, closure, type StateCode } from './state.js';
import type { WebSocketConstructor, WebSocketLike } from './websocket.js';

export interface ConnectionListener {
  /** Commands may be posted; `connect` has been. */
  onOpen(connection: Connection): void;
  onMessage(message: ServerMessage, connection: Connection): void;
  /** Called once, last. */
  onClose(closure: Closure, connection: Connection): void;
}

export interface ConnectionSettings {
  readonly url: string;
  readonly codec: ClientCodec;
  readonly webSocket: WebSocketConstructor;
  readonly connectTimeoutMs: number;
  readonly pongTimeoutMs: number;
}

/** How long a closing handshake may take before the socket is left to itself. */
const closeTimeoutMs = 1_000;

/** `readyState` of a WebSocket that is closed. */
const closed = 3;

export class Connection {
  readonly #settings: ConnectionSettings;
  #listener: ConnectionListener;
  readonly #socket: WebSocketLike;
  readonly #frames: Frames;
  #isOpen = false;
  #isOver = false;
  /** The one timer: the deadline for `connected`, from then on the heartbeat. */
  #timer: ReturnType<typeof setTimeout>;
  #pingIntervalMs = 0;
  #heardAt = 0;
  #pingedAt = 0;
  #stepsToDeadline = 0;

  /** `maxFrameBytes` holds until the node says. Throws what the WebSocket's constructor throws. */
  constructor(settings: ConnectionSettings, maxFrameBytes: number, listener: ConnectionListener) {
    this.#settings = settings;
    this.#listener = listener;
    const { url, codec, webSocket: WebSocket } = settings;
    const socket = new WebSocket(url, subprotocols[codec.encoding]);
    this.#socket = socket;
    this.#frames = new Frames(codec, maxFrameBytes, (frame) => this.#send(frame));
    this.#timer = setTimeout(() => this.drop(closure('connectTimeout')), settings.connectTimeoutMs);
    socket.binaryType = 'arraybuffer';
    let failure = '';
    socket.onopen = () => {
      if (socket.protocol !== subprotocols[codec.encoding]) return this.drop(closure('protocolError'));
      this.#isOpen = true;
      this.post(outgoing(codec.encode({ type: 'connect', id: connectId, token: null })));
      this.#listener.onOpen(this);
    };
    socket.onmessage = ({ data }) => this.#onFrame(data);
    // Node says here what went wrong, browsers say nothing. Node's own WebSocket sends no close event after it where the
    // connection was never open.
    socket.onerror = (event) => {
      failure = (event as { message?: string }).message ?? '';
      if (!this.#isOpen) this.#end(closure('connectFailed', failure));
    };
    socket.onclose = ({ code, reason }) => {
      this.#end(this.#isOpen ? closureOf(code, reason || failure) : closure('connectFailed', failure));
    };
  }

  /** From now on another listener is told. */
  hand(listener: ConnectionListener): void {
    this.#listener = listener;
  }

  /** Whether commands may be posted. */
  get isOpen(): boolean {
    return this.#isOpen && !this.#isOver;
  }

  /** Longest frame that the node takes: what it has said in `connected`, before that what the last one said. */
  get maxFrameBytes(): number {
    return this.#frames.maxFrameBytes;
  }

  get unsentBytes(): number {
    return this.#socket.bufferedAmount + this.#frames.bytes;
  }

  /** Sends a command, with all that are posted in this turn. */
  post(command: Outgoing): void {
    if (this.isOpen) this.#frames.post(command);
  }

  /** Takes back a command that has not left. */
  remove(command: Outgoing): void {
    this.#frames.remove(command);
  }

  /** Asks the peer for a sign of life now: the network has changed. */
  probe(): void {
    if (this.#pingIntervalMs > 0 && this.#stepsToDeadline === 0) this.#ping();
  }

  /** No event comes after this. Resolves when the closing handshake is over, or has taken too long. */
  close(reason: StateCode): Promise<void> {
    this.#isOver = true;
    this.#frames.clear();
    clearTimeout(this.#timer);
    const socket = this.#socket;
    socket.onopen = null;
    socket.onmessage = null;
    // Not null: the package `ws` throws an error that nobody listens to.
    socket.onerror = () => {};
    return new Promise((resolve) => {
      if (socket.readyState === closed) return resolve();
      const timer = setTimeout(() => {
        // Only `ws` can; without it a half-open socket would keep the process for another half minute.
        (socket as { terminate?(): void }).terminate?.();
        resolve();
      }, closeTimeoutMs);
      socket.onclose = () => {
        clearTimeout(timer);
        resolve();
      };
      socket.close(1000, reason);
    });
  }

  /** Gives the connection up: closes it, and tells the listener why. */
  drop(why: Closure): void {
    if (this.#isOver) return;
    void this.close(why.code);
    this.#listener.onClose(why, this);
  }

  #onFrame(data: unknown): void {
    this.#heardAt = performance.now();
    try {
      const message = this.#settings.codec.decode(data as string | ArrayBuffer);
      if (message === null) return;
      if (message.type === 'connected') {
        this.#pingIntervalMs = message.pingIntervalMs;
        this.#frames.maxFrameBytes = message.maxFrameBytes;
        this.#schedule(this.#pingIntervalMs);
      }
      if (message.type === 'error' && message.id === connectId) {
        return this.drop(closure('refused', `${message.code}: ${message.message}`, null, !message.retryable));
      }
      this.#listener.onMessage(message, this);
    } catch (cause) {
      // What it would have been is lost: a new connection at least tells the application that there is a gap.
      this.drop(closure('protocolError', (cause as Error).message));
    }
  }

  #beat(): void {
    const now = performance.now();
    const silentMs = now - this.#heardAt;
    if (this.#stepsToDeadline > 0 && this.#heardAt < this.#pingedAt) {
      // Two half deadlines, not one: where the event loop was blocked for longer than the deadline, what has arrived
      // meanwhile is read before the second half is over.
      this.#stepsToDeadline--;
      if (this.#stepsToDeadline === 0) this.drop(closure('heartbeatTimeout'));
      else this.#schedule(this.#settings.pongTimeoutMs / 2);
    } else if (silentMs >= this.#pingIntervalMs) {
      this.#ping();
    } else {
      this.#stepsToDeadline = 0;
      this.#schedule(this.#pingIntervalMs - silentMs);
    }
  }

  #ping(): void {
    this.#pingedAt = performance.now();
    this.#stepsToDeadline = 2;
    const { codec, pongTimeoutMs } = this.#settings;
    this.#send(codec.join([codec.encode({ type: 'ping', id: pingId })]));
    this.#schedule(pongTimeoutMs / 2);
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#beat(), delayMs);
  }

  #send(frame: Encoded): void {
    this.#socket.send(frame as string | Uint8Array<ArrayBuffer>);
  }

  #end(why: Closure): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#frames.clear();
    clearTimeout(this.#timer);
    this.#listener.onClose(why, this);
  }
}

function closureOf(closeCode: number, reason: string): Closure {
  if (closeCode === 1006) return closure('connectionLost', reason);
  for (const [name, { code }] of Object.entries(closeReasons)) {
    if (code === closeCode) return closure(name as keyof typeof closeReasons, reason, code, !shouldReconnect(code));
  }
  return closure('closedByNode', reason, closeCode, !shouldReconnect(closeCode));
}
