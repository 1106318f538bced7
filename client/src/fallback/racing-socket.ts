/**
 * A socket that finds a transport that works. The transports start one after the other. The first one on which a message
 * arrives is used from then on, and the others are closed. If that is not a WebSocket, the socket tries from time to
 * time whether a WebSocket works, and then asks the client to move.
 */
import { connectId } from '../command-ids.js';
import { closeTimeoutMs } from '../connection.js';
import { messageOf } from '../errors.js';
import type { ReconnectPolicy } from '../reconnect.js';
import type { WebSocketConstructor, WebSocketLike } from '../websocket.js';
import type { Command } from './command-queue.js';
import { type HttpFailure, HttpSocket } from './http-socket.js';
import type { Transport, Winner } from './transports.js';

export interface RaceSettings extends ReconnectPolicy {
  readonly webSocket: WebSocketConstructor;
  /** In the order in which they start. */
  readonly transports: readonly Transport[];
  readonly winner: Winner;
  /** How long a transport may be silent before the next one starts as well, in milliseconds. */
  readonly silenceMs: number;
  /** Delay before a WebSocket is tried while another transport is in use, in milliseconds. It doubles each time. */
  readonly probeDelayMs: number;
  /** The sockets of the client that have a transport, from the oldest to the newest. */
  readonly inUse: Map<RacingSocket, Transport>;
  log(...what: unknown[]): void;
}

const [connecting, open, closing, closed] = [0, 1, 2, 3];

/** Longest delay before a WebSocket is tried again, in milliseconds. */
const maxProbeDelayMs = 300_000;

/** How long such a WebSocket may take to answer, in milliseconds. */
const probeTimeoutMs = 10_000;

const goaway = '{"type":"goaway","delayMs":0}';

const wrongProtocol = 'The server accepted the WebSocket without the Fanfare subprotocol.';

/** What the `error` event of a WebSocket may tell. */
type Failure = Partial<HttpFailure>;

export class RacingSocket implements WebSocketLike {
  binaryType = 'arraybuffer';
  readonly protocol: string;
  readyState = connecting;
  onopen: WebSocketLike['onopen'] = null;
  onmessage: WebSocketLike['onmessage'] = null;
  onerror: WebSocketLike['onerror'] = null;
  onclose: WebSocketLike['onclose'] = null;
  readonly #url: string;
  readonly #settings: RaceSettings;
  /** Transports that have not started yet. */
  readonly #waiting: Transport[];
  /** Sockets that have not failed yet. */
  readonly #candidates = new Map<WebSocketLike, Transport>();
  #winner: WebSocketLike | null = null;
  /** All sockets that are not closed. */
  readonly #sockets = new Set<WebSocketLike>();
  /** Frames that each candidate gets when it is open. */
  #early: string[] = [];
  #token: string | undefined;
  #isTokenNoted = false;
  readonly #reasons: string[] = [];
  #retryAfterMs = 0;
  /** One timer: until the next transport starts, and then until the next attempt with a WebSocket. */
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(url: string, protocol: string, settings: RaceSettings) {
    this.#url = url;
    this.protocol = protocol;
    this.#settings = settings;
    const { transports, winner } = settings;
    const first = transports.filter((each) => each === winner.transport);
    this.#waiting = [...first, ...transports.filter((each) => !first.includes(each))];
    queueMicrotask(() => {
      if (this.readyState !== connecting) return;
      this.readyState = open;
      this.onopen?.({});
      this.#startNext();
    });
  }

  get bufferedAmount(): number {
    return this.#winner?.bufferedAmount ?? 0;
  }

  send(data: string | Uint8Array): void {
    const frame = String(data);
    this.#noteToken(frame);
    if (this.#winner !== null) return this.#winner.send(frame);
    this.#early.push(frame);
    for (const socket of this.#candidates.keys()) if (socket.readyState === open) socket.send(frame);
  }

  close(code = 1_000, reason = ''): void {
    if (this.readyState === closed) return;
    this.readyState = closing;
    clearTimeout(this.#timer);
    this.#settings.inUse.delete(this);
    for (const socket of [...this.#sockets]) this.#drop(socket, code, reason);
    if (this.#sockets.size === 0) queueMicrotask(() => this.#end(code, reason));
  }

  /** Ends all sockets at once, without closing handshakes. */
  terminate(): void {
    for (const socket of [...this.#sockets]) terminate(socket);
  }

  #startNext(): void {
    clearTimeout(this.#timer);
    const transport = this.#waiting.shift();
    if (transport === undefined) {
      if (this.#candidates.size === 0) this.#giveUp();
      return;
    }
    const { silenceMs, log } = this.#settings;
    log('trying', transport);
    this.#timer = setTimeout(() => this.#startNext(), silenceMs);
    let socket: WebSocketLike;
    try {
      socket = this.#create(transport);
    } catch (error) {
      // For example, a browser refuses `ws:` on a page of `https:`.
      return this.#note(transport, { message: messageOf(error) });
    }
    this.#candidates.set(socket, transport);
    let failure: Failure = {};
    let isOpen = false;
    const lose = (code: number, reason: string): void => this.#lose(socket, failure, code, reason);
    socket.onopen = () => {
      isOpen = true;
      if (socket.protocol !== this.protocol) {
        failure = { message: wrongProtocol };
        return lose(1_002, '');
      }
      for (const frame of this.#early) socket.send(frame);
    };
    socket.onmessage = (event) => {
      this.#choose(socket, transport);
      this.onmessage?.(event);
    };
    socket.onerror = (event) => {
      failure = event as Failure;
      // The WebSocket of Node itself sends no close event if the connection was never open.
      if (!isOpen) lose(1_006, '');
    };
    socket.onclose = ({ code, reason }) => lose(code, reason);
  }

  #create(transport: Transport): WebSocketLike {
    const { webSocket: WebSocket, transports, winner } = this.#settings;
    const isPolling = transport === 'longPolling';
    const onMute = (): void => {
      if (transports.includes('longPolling')) winner.remember('longPolling');
    };
    const socket =
      transport === 'webSocket'
        ? new WebSocket(this.#url, this.protocol)
        : new HttpSocket(this.#url, this.protocol, { ...this.#settings, isPolling, onMute });
    this.#sockets.add(socket);
    return socket;
  }

  /** A candidate has ended before a message arrived on it. */
  #lose(socket: WebSocketLike, failure: Failure, code: number, reason: string): void {
    const transport = this.#candidates.get(socket);
    if (transport === undefined) return;
    this.#candidates.delete(socket);
    // A node has answered. Another transport would get the same answer.
    if (failure.isAnswer === true || code >= 4_000) {
      for (const other of this.#candidates.keys()) this.#drop(other);
      return this.#onClosed(socket, failure, code, reason);
    }
    this.#drop(socket);
    this.#note(transport, { ...failure, message: failure.message || reason });
  }

  #note(transport: Transport, { message = '', retryAfterMs = 0 }: Failure): void {
    this.#settings.log(transport, 'failed:', message);
    if (message !== '') this.#reasons.push(`${transport}: ${message}`);
    this.#retryAfterMs = Math.max(this.#retryAfterMs, retryAfterMs);
    this.#startNext();
  }

  #giveUp(): void {
    const message = this.#reasons.length === 0 ? '' : `No transport works. ${this.#reasons.join('; ')}`;
    this.onerror?.({ message, retryAfterMs: this.#retryAfterMs });
    this.#end(1_006, '');
  }

  #choose(socket: WebSocketLike, transport: Transport): void {
    const { winner, inUse, transports, probeDelayMs, log } = this.#settings;
    clearTimeout(this.#timer);
    for (const other of this.#candidates.keys()) if (other !== socket) this.#drop(other);
    this.#candidates.clear();
    this.#early = [];
    this.#winner = socket;
    winner.remember(transport);
    inUse.set(this, transport);
    log('using', transport);
    let failure: Failure = {};
    socket.onmessage = (event) => this.onmessage?.(event);
    socket.onerror = (event) => {
      failure = event as Failure;
    };
    socket.onclose = ({ code, reason }) => this.#onClosed(socket, failure, code, reason);
    if (transport !== transports[0]) this.#planProbe(transport, probeDelayMs);
  }

  /** The socket in use has ended. */
  #onClosed(socket: WebSocketLike, failure: Failure, code: number, reason: string): void {
    this.#sockets.delete(socket);
    for (const other of [...this.#sockets]) this.#drop(other);
    if (failure.message !== undefined) this.onerror?.(failure);
    this.#end(code, reason);
  }

  #end(code: number, reason: string): void {
    if (this.readyState === closed) return;
    this.readyState = closed;
    clearTimeout(this.#timer);
    this.#settings.inUse.delete(this);
    this.onclose?.({ code, reason });
  }

  /** Closes a socket whose events no longer count. */
  #drop(socket: WebSocketLike, code = 1_000, reason = ''): void {
    const timer = setTimeout(() => terminate(socket), closeTimeoutMs);
    const onGone = (): void => {
      clearTimeout(timer);
      this.#sockets.delete(socket);
      if (this.readyState === closing && this.#sockets.size === 0) this.#end(code, reason);
    };
    socket.onopen = null;
    socket.onmessage = null;
    // Not null: without a listener the package `ws` throws the error.
    socket.onerror = () => {};
    socket.onclose = onGone;
    if (socket.readyState === closed) onGone();
    else socket.close(code, reason);
  }

  // The way back to a better transport.

  #planProbe(transport: Transport, delayMs: number): void {
    const { random } = this.#settings;
    this.#timer = setTimeout(() => this.#probe(transport, delayMs), delayMs * (0.5 + random() / 2));
  }

  #probe(transport: Transport, delayMs: number): void {
    const { transports, winner, log } = this.#settings;
    const better = transports.slice(0, transports.indexOf(transport));
    // Only a new connection shows whether event streams get through. It takes place when the memory has ended.
    if (better.includes('serverSentEvents') && winner.transport === null) return this.#move();
    const next = (): void => this.#planProbe(transport, Math.min(2 * delayMs, maxProbeDelayMs));
    if (!better.includes('webSocket')) return next();
    let socket: WebSocketLike;
    try {
      socket = this.#create('webSocket');
    } catch {
      return next();
    }
    const end = (works: boolean): void => {
      clearTimeout(this.#timer);
      this.#drop(socket);
      log('webSocket', works ? 'works again' : 'still fails');
      if (!works) return next();
      winner.remember('webSocket');
      this.#move();
    };
    this.#timer = setTimeout(() => end(false), probeTimeoutMs);
    socket.onopen = () => {
      if (socket.protocol !== this.protocol) end(false);
      else socket.send(JSON.stringify({ type: 'connect', id: connectId, token: this.#token }));
    };
    // Any answer will do: the connection of the client follows.
    socket.onmessage = () => end(true);
    socket.onerror = () => end(false);
    socket.onclose = () => end(false);
  }

  /** Asks the client to open another connection, and to close this one when everything has moved. */
  #move(): void {
    this.onmessage?.({ data: goaway });
  }

  /** A WebSocket that is tried needs the newest token. */
  #noteToken(frame: string): void {
    // The first frame begins with `connect`. Most others need not be parsed.
    if (this.#isTokenNoted && !frame.includes('"refresh"')) return;
    this.#isTokenNoted = true;
    const content = JSON.parse(frame) as Command | readonly Command[];
    for (const { type, token } of [content].flat()) {
      if (type === 'connect' || type === 'refresh') this.#token = token;
    }
  }
}

/** Only our WebSocket for Node and the package `ws` can. */
function terminate(socket: WebSocketLike): void {
  (socket as { terminate?(): void }).terminate?.();
}
