/**
 * One WebSocket: dial, read frames, detect a dead peer, close. It does not reconnect; `reconnector.ts` creates a new
 * one.
 */
import {
  type ClientCodec,
  closeCodes,
  closeTextOf,
  type ErrorReply,
  type ServerMessage,
  shouldReconnect,
  subprotocols,
} from '@fanfare/protocol';
import { connectId, pingId, refreshId } from './command-ids.js';
import type { DebugLog } from './debug-log.js';
import { FanfareError, ReplyError } from './errors.js';
import { explain } from './explain.js';
import { type Encoded, Frames, type Outgoing, outgoing } from './frames.js';
import { type GetToken, maxTimerMs } from './options.js';
import type { ReconnectPolicy } from './reconnect.js';
import { type Closure, closure, type StateCode } from './state.js';
import { askForToken, Renewal } from './token.js';
import type { Bytes, WebSocketConstructor, WebSocketLike } from './websocket.js';

export interface ConnectionListener {
  /** `connect` was sent, and other commands may be posted. */
  onOpen(connection: Connection): void;
  onMessage(message: ServerMessage, connection: Connection): void;
  /** The token could not be refreshed, and the client retries; null if a refresh succeeded. */
  onTokenError(error: FanfareError | null): void;
  /** Called once, last. */
  onClose(closure: Closure, connection: Connection): void;
}

export interface ConnectionSettings extends ReconnectPolicy {
  readonly url: string;
  readonly codec: ClientCodec;
  readonly webSocket: WebSocketConstructor;
  readonly getToken: GetToken | null;
  readonly connectTimeoutMs: number;
  readonly pongTimeoutMs: number;
  readonly debug: DebugLog;
}

/** Time for the closing handshake. After it the socket is abandoned. */
export const closeTimeoutMs = 1_000;

/** `readyState` of a WebSocket that is closed. */
const closed = 3;

/**
 * Shortest time between two pings, in milliseconds: the minimum of the node's setting. A shorter value of a server is
 * ignored.
 */
const minPingIntervalMs = 1_000;

const notFanfare = 'The server does not speak Fanfare: check the host, port and path of the URL.';

/** Fields of the `error` event of a WebSocket. Browsers set none of them. */
interface Failure {
  readonly message?: string;
  readonly error?: unknown;
  /** When to try again, in milliseconds: what our WebSocket for Node read in `Retry-After`, or a node has asked a fallback. */
  readonly retryAfterMs?: number;
}

export class Connection {
  readonly frames: Frames;
  readonly #settings: ConnectionSettings;
  #listener: ConnectionListener;
  /** Null while the client fetches a token. */
  #socket: WebSocketLike | null = null;
  readonly #renewal: Renewal | null;
  #isOpen = false;
  #isOver = false;
  /** The node's reason for refusing the token. It then closes the connection. */
  #refusal = '';
  /** The one timer: the deadline for `connected`, and then the heartbeat. */
  #timer: ReturnType<typeof setTimeout>;
  #pingIntervalMs = 0;
  #heardAt = 0;
  #pingedAt = 0;
  #stepsToDeadline = 0;

  /** Throws the errors of the WebSocket's constructor, unless it must fetch a token first. */
  constructor(settings: ConnectionSettings, listener: ConnectionListener) {
    this.#settings = settings;
    this.#listener = listener;
    const { codec, getToken } = settings;
    this.frames = new Frames(codec, (frame) => this.#send(frame));
    this.#renewal =
      getToken &&
      new Renewal(
        { ...settings, getToken },
        (token) => this.post(outgoing(codec.encode({ type: 'refresh', id: refreshId, token }))),
        (error) => this.#listener.onTokenError(error),
      );
    if (getToken === null) this.#dial(null);
    else {
      // Before the handshake, because a node closes connections without a token after a short time.
      askForToken(getToken)
        .then((token) => this.#isOver || this.#dial(token))
        .catch((error: Error) => {
          const code = error instanceof FanfareError ? 'tokenFailed' : 'connectFailed';
          this.drop(closure(code, error.message, null, false, error));
        });
    }
    this.#timer = setTimeout(() => this.#giveUp(), settings.connectTimeoutMs);
  }

  #dial(token: string | null): void {
    const { url, codec, webSocket: WebSocket } = this.#settings;
    const socket = new WebSocket(url, subprotocols[codec.encoding]);
    this.#socket = socket;
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
      if (socket.protocol !== subprotocols[codec.encoding]) {
        return this.drop(
          closure('protocolError', `${notFanfare} It accepted the WebSocket without the Fanfare subprotocol.`),
        );
      }
      this.#isOpen = true;
      this.post(outgoing(codec.encode({ type: 'connect', id: connectId, token })));
      this.#listener.onOpen(this);
    };
    socket.onmessage = ({ data }) => this.#onFrame(data);
    let failure: Failure = {};
    // The WebSocket of Node itself sends no close event if the connection was never open.
    socket.onerror = (event) => {
      failure = event as Failure;
      if (!this.#isOpen) void this.#fail(socket, failure);
    };
    socket.onclose = ({ code, reason }) => {
      // A fallback is open before it has reached a node.
      if (this.#isOpen && failure.retryAfterMs === undefined)
        this.drop(closureOf(code, this.#refusal || reason || failure.message));
      else void this.#fail(socket, failure);
    };
  }

  /** The connection was never open. Only our WebSocket for Node and the package `ws` report the reason. */
  async #fail(socket: WebSocketLike, { message = '', error, retryAfterMs }: Failure): Promise<void> {
    socket.onerror = () => {};
    socket.onclose = null;
    clearTimeout(this.#timer);
    const { WebSocket: Platforms } = globalThis as { WebSocket?: WebSocketConstructor };
    const isMute = message === '' || (Platforms !== undefined && socket instanceof Platforms);
    const why = isMute ? await explain(this.#settings.url) : message;
    this.drop(closure('connectFailed', why, null, false, error, retryAfterMs));
  }

  /** Replaces the listener. */
  hand(listener: ConnectionListener): void {
    this.#listener = listener;
  }

  /** Whether commands may be posted. */
  get isOpen(): boolean {
    return this.#isOpen && !this.#isOver;
  }

  /** What the client is waiting for, as the subject of a sentence. */
  get awaited(): string {
    return this.#socket === null ? 'getToken()' : 'The node';
  }

  get unsentBytes(): number {
    return (this.#socket?.bufferedAmount ?? 0) + this.frames.bytes;
  }

  /** Sends a command together with the others of this turn of the event loop. */
  post(command: Outgoing): void {
    if (this.isOpen) this.frames.post(command);
  }

  /** Sends a ping now, because the network has changed. */
  probe(): void {
    if (this.#pingIntervalMs > 0 && this.#stepsToDeadline === 0) this.#ping();
  }

  /** No event is emitted after this. Resolves when the closing handshake ends or times out. */
  close(reason: StateCode): Promise<void> {
    this.#stop();
    const socket = this.#socket;
    if (socket === null) return Promise.resolve();
    socket.onopen = null;
    socket.onmessage = null;
    // Not null: without a listener the package `ws` throws the error.
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

  /** Closes the connection, if it is not closed yet, and notifies the listener. */
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
      this.#settings.debug.received(message);
      if (message.type === 'connected') {
        this.#refusal = '';
        this.#pingIntervalMs = Math.min(Math.max(message.pingIntervalMs, minPingIntervalMs), maxTimerMs);
        this.frames.open(message.maxFrameBytes);
        this.#renewal?.taken(message.expiresInMs);
        this.#schedule(this.#pingIntervalMs);
      }
      if (message.type === 'refreshed') {
        this.#renewal?.taken(message.expiresInMs);
        return this.#listener.onTokenError(null);
      }
      if (message.type === 'error') {
        const { id } = message;
        if (id === refreshId) return this.#renewal?.failed(ReplyError.of(message));
        if (id === connectId || (id === null && this.#pingIntervalMs === 0)) return this.#onRefused(message);
      }
      this.#listener.onMessage(message, this);
    } catch (cause) {
      // The content of the frame is lost. With a new connection the application at least gets a gap.
      const { message } = cause as Error;
      const why =
        this.#pingIntervalMs === 0 ? `${notFanfare} ${message}` : `A frame from the node cannot be decoded: ${message}`;
      this.drop(closure('protocolError', why, null, false, cause));
    }
  }

  /** If the node refuses the token, it closes the connection; its close code decides whether the client reconnects. */
  #onRefused({ code, message, retryable }: ErrorReply): void {
    this.#refusal = `${code}: ${message}`;
    if (retryable || code === 'malformed') this.#giveUp(!retryable);
  }

  #giveUp(isFinal = false): void {
    const why = this.#refusal || `${this.awaited} did not answer within ${this.#settings.connectTimeoutMs} ms.`;
    this.drop(closure(this.#refusal ? 'refused' : 'connectTimeout', why, null, isFinal));
  }

  #beat(): void {
    const now = performance.now();
    const silentMs = now - this.#heardAt;
    if (this.#stepsToDeadline > 0 && this.#heardAt < this.#pingedAt) {
      // Two half deadlines, not one. If the event loop was blocked for longer than the deadline, the client still reads
      // messages that arrived meanwhile before the second half ends.
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
    this.#socket?.send(frame as string | Bytes);
  }

  #stop(): void {
    this.#isOver = true;
    this.frames.clear();
    clearTimeout(this.#timer);
    this.#renewal?.stop();
  }
}

function closureOf(closeCode: number, said = ''): Closure {
  if (closeCode === 1006) return closure('connectionLost', said);
  const isFinal = !shouldReconnect(closeCode);
  for (const [name, code] of Object.entries(closeCodes)) {
    // A node that has nothing to add sends the bare name.
    const reason = said === closeTextOf(name) ? '' : said;
    if (code === closeCode) return closure(name as keyof typeof closeCodes, reason, code, isFinal);
  }
  return closure('closedByNode', said, closeCode, isFinal);
}
