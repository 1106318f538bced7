/** Accepts the sockets of uWebSockets.js, and translates its events and numbers into ours. */
import type { HttpRequest, HttpResponse, TemplatedApp, us_socket_context_t } from 'uWebSockets.js';
import { type Encoding, endpointPath, type Frame } from '@fanfare/protocol';
import type { Address } from '../limits/addresses.js';
import type { Credential } from '../session/authentication.js';
import type { CertificateFiles } from './certificate.js';
import { type Compression, isWorthCompressing } from './compression.js';
import type { Connection } from './connection.js';
import { type HttpRefusal, judgeHandshake, type Requester, refuseDraining } from './handshake.js';
import type { HandshakePolicy, Toll } from './handshake-policy.js';
import { handshakeOf, headersOf, requesterOf, sendRefusal } from './http.js';
import { type Listener, Listeners, loadUWebSockets, type Sharing, type UWebSockets } from './listeners.js';
import type { OpenConnection } from './open-connection.js';

interface ServerSettings {
  readonly host: string;
  readonly port: number;
  readonly maxFrameBytes: number;
  readonly maxBufferedBytes: number;
  readonly idleTimeoutSeconds: number;
  readonly compression: Compression;
  /** The maximum number of open sockets. */
  readonly maxSockets: number;
}

interface ServerCounters {
  connectionsOpened: number;
  connectionsClosed: number;
  connectionsRefused: number;
  connectionsOverCapacity: number;
}

/** uWebSockets keeps this object for a socket. Nothing else may be added to the socket. */
interface UserData {
  readonly connection: Connection;
  /** Null if connections from this address are not counted. */
  readonly address: Address | null;
  /** Null after the connection is open. */
  credential: Credential | null;
}

/** The dependencies of the server. */
export interface ServerParts {
  readonly counters: ServerCounters;
  readonly policy: HandshakePolicy;
  /** Adds the routes of HTTP requests to an app. */
  addRoutes(app: TemplatedApp): void;
  /** How many connections have not authenticated yet. */
  unauthenticated(): number;
  accept(encoding: Encoding): Connection;
  /** Called for each refused request; null if nobody listens. */
  readonly onRefused: ((requester: Requester, refusal: HttpRefusal) => void) | null;
}

/** Handshakes that may always be under way, even if the limit of connections is low. */
const spareHandshakes = 128;

/** How long a socket may stay open after its close frame, in milliseconds (the timeout of uWebSockets, measured). */
const closingMs = 16_000;

export class Server {
  readonly #connections: OpenConnection[] = [];
  readonly #listeners: Listeners;
  /** Sockets that may still be open after their close frame. */
  #closing = 0;
  #isDraining = false;
  /**
   * Sockets that are no connections, or not yet. uWebSockets closes them if no request is complete within about twelve
   * seconds.
   */
  #plainSockets = 0;

  private constructor(
    private readonly uws: UWebSockets,
    private readonly settings: ServerSettings,
    certificate: CertificateFiles | null,
    sharing: Sharing,
    private readonly parts: ServerParts,
  ) {
    this.#listeners = new Listeners(uws, settings, certificate, sharing, (listener) => this.#addRoutes(listener));
  }

  /** Listens, with TLS if there is a certificate. Throws `ServerError`. */
  static async start(
    settings: ServerSettings,
    certificate: CertificateFiles | null,
    sharing: Sharing,
    parts: ServerParts,
  ): Promise<Server> {
    return new Server(await loadUWebSockets(), settings, certificate, sharing, parts);
  }

  get port(): number {
    return this.#listeners.port;
  }

  get connections(): readonly OpenConnection[] {
    return this.#connections;
  }

  /** Sockets that are not WebSockets, streams or held polls: mostly of HTTP clients, between two requests. */
  get httpSockets(): number {
    return this.#plainSockets;
  }

  /** Sends one frame to every socket of a group. Must not be called inside a WebSocket event. */
  broadcast(group: string, frame: Frame, isBinary: boolean): void {
    this.#listeners.publish(group, frame, isBinary, isWorthCompressing(frame, this.settings.compression));
  }

  /**
   * Uses the certificate that is now in the files for new connections. If it throws `ServerError`, nothing has changed.
   */
  renewCertificate(): void {
    if (!this.#isDraining) this.#listeners.renewCertificate();
  }

  /** Accepts no more connections. */
  stopListening(): void {
    this.#isDraining = true;
    this.#listeners.stopListening();
  }

  /** Drops all connections. */
  close(): void {
    this.stopListening();
    this.#listeners.close();
  }

  // For event streams and held polls: requests whose response stays open.

  /** Counts one more connection of the requester's address, or says why there cannot be one. */
  admit(requester: Requester, toll: Toll): { readonly address: Address | null } | HttpRefusal {
    const { policy, unauthenticated, counters } = this.parts;
    const occupancy = { connections: this.#connections.length, unauthenticated: unauthenticated() };
    const admitted = this.#isDraining ? refuseDraining : policy.judge(requester, occupancy, toll);
    if ('status' in admitted) counters.connectionsRefused++;
    return admitted;
  }

  /** The socket of a request is a connection until {@link closed}. */
  opened(connection: OpenConnection): void {
    this.#plainSockets--;
    this.#remember(connection);
  }

  /** The response has ended. Its socket may be open for the next request. */
  closed(connection: OpenConnection, address: Address | null): void {
    this.#plainSockets++;
    if (address !== null) this.parts.policy.leave(address);
    this.#forget(connection);
  }

  #addRoutes(listener: Listener): void {
    const { counters, policy } = this.parts;
    listener.app
      // biome-ignore lint/suspicious/useIterableCallbackReturn: this is not the filter of an array, and expects no result.
      .filter((response, change) => {
        // The types of the library have the class `Number` here.
        this.#plainSockets += Number(change);
        if (Number(change) > 0 && !this.#hasRoom()) {
          counters.connectionsOverCapacity++;
          response.close();
        }
      })
      .ws<UserData>(endpointPath, {
        // A frame up to twice the limit is read whole, so that its sender gets a close code (PROTOCOL.md section 6). It
        // is also the limit of a decompressed frame.
        maxPayloadLength: this.settings.maxFrameBytes * 2,
        maxBackpressure: this.settings.maxBufferedBytes,
        idleTimeout: this.settings.idleTimeoutSeconds,
        // The library would ping only shortly before the timeout. `Connection.keepAlive` does it earlier.
        sendPingsAutomatically: false,
        compression: this.#compressOptions(),
        upgrade: (response, request, context) => this.#upgrade(response, request, context),
        open: (socket) => {
          counters.connectionsOpened++;
          this.#listeners.onConnectionOpened(listener);
          const userData = socket.getUserData();
          const { connection, credential } = userData;
          userData.credential = null;
          this.#remember(connection);
          connection.onOpen(socket, credential);
        },
        message: (socket, frame, isBinary) => {
          socket.getUserData().connection.onFrame(new Uint8Array(frame), isBinary);
        },
        dropped: (socket) => socket.getUserData().connection.onDropped(),
        drain: (socket) => socket.getUserData().connection.onWritable(),
        close: (socket) => {
          counters.connectionsClosed++;
          this.#listeners.onConnectionClosed(listener);
          const { connection, address } = socket.getUserData();
          if (address !== null) policy.leave(address);
          this.#forget(connection);
          if (connection.isClosing) this.#countClosing();
          connection.onClosed();
        },
      })
      .any('/*', (response, request) => {
        const isHead = request.getMethod() === 'head';
        this.#refuse(response, this.#explain(request), requesterOf(response, headersOf(request)), isHead);
      });
    this.parts.addRoutes(listener.app);
  }

  /**
   * Both directions compress each message by itself. A context for each connection would take 3 KiB and more, and
   * uWebSockets does not follow RFC 7692 for clients that refuse one.
   */
  #compressOptions(): number {
    const { DISABLED, SHARED_COMPRESSOR, SHARED_DECOMPRESSOR } = this.uws;
    return this.settings.compression === 'off' ? DISABLED : SHARED_COMPRESSOR | SHARED_DECOMPRESSOR;
  }

  /** Whether one more socket may be open. A process without free file descriptors can do nothing. */
  #hasRoom(): boolean {
    const sockets = this.#plainSockets + this.#connections.length + this.#closing;
    return this.#plainSockets <= this.#maxHttpSockets && sockets <= this.settings.maxSockets;
  }

  get #maxHttpSockets(): number {
    return this.parts.policy.maxUnauthenticated + spareHandshakes;
  }

  /** Whether half of the sockets for HTTP clients and handshakes are in use: then idle ones should be closed. */
  get isCrowded(): boolean {
    return this.#plainSockets > this.#maxHttpSockets / 2;
  }

  // Nothing is awaited before `response.upgrade`: the request is invalid once this returns.
  #upgrade(response: HttpResponse, request: HttpRequest, context: us_socket_context_t): void {
    const header = headersOf(request);
    const requester = requesterOf(response, header);
    const handshake = this.#isDraining ? refuseDraining : judgeHandshake(handshakeOf(request, header));
    if ('status' in handshake) return this.#refuse(response, handshake, requester);
    const { policy, unauthenticated, accept } = this.parts;
    const occupancy = { connections: this.#connections.length, unauthenticated: unauthenticated() };
    const admitted = policy.judge(requester, occupancy, 'handshake');
    if ('status' in admitted) return this.#refuse(response, admitted, requester);
    const { encoding, subprotocol, credential } = handshake;
    const userData: UserData = { connection: accept(encoding), address: admitted.address, credential };
    // uWebSockets negotiates compression from this header, if it is on.
    const extensions = header('sec-websocket-extensions');
    response.upgrade(userData, header('sec-websocket-key'), subprotocol, extensions, context);
    this.#plainSockets--;
  }

  /** Why a request is refused that uWebSockets does not accept as a handshake. */
  #explain(request: HttpRequest): HttpRefusal {
    const header = headersOf(request);
    const judgement = judgeHandshake(handshakeOf(request, header));
    if (!('status' in judgement))
      return { status: '400 Bad Request', headers: {}, sentence: 'Malformed WebSocket handshake.' };
    // Browsers do not report to a page why its WebSocket failed. The page can find out
    // with a plain request, which is answered 426 if its origin is allowed.
    const isPlain = judgement.status.startsWith('426');
    return (isPlain ? this.parts.policy.judgeOrigin(header('origin')) : null) ?? judgement;
  }

  #refuse(response: HttpResponse, refusal: HttpRefusal, requester: Requester, isHead = false): void {
    const { counters, onRefused } = this.parts;
    // HEAD is the health check of load balancers, and is not counted as a refusal.
    if (!isHead) {
      counters.connectionsRefused++;
      onRefused?.(requester, refusal);
    }
    sendRefusal(response, refusal, isHead);
  }

  /**
   * After our close frame a client may keep the socket open for a while, and uWebSockets reports nothing more about it.
   */
  #countClosing(): void {
    this.#closing++;
    setTimeout(() => this.#closing--, closingMs).unref();
  }

  #remember(connection: OpenConnection): void {
    connection.index = this.#connections.push(connection) - 1;
  }

  /** Removes it from the list; the last connection moves to its place. */
  #forget(connection: OpenConnection): void {
    const last = this.#connections.pop();
    if (last === undefined || last === connection) return;
    this.#connections[connection.index] = last;
    last.index = connection.index;
  }
}
