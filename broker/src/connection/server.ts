/** The only file that knows uWebSockets.js: accepts sockets, and translates its events and numbers into ours. */

import type { HttpRequest, HttpResponse, TemplatedApp, us_listen_socket, us_socket_context_t } from 'uWebSockets.js';
import { type Encoding, endpointPath, type Frame } from '@fanfare/protocol';
import type { Address } from '../limits/addresses.js';
import type { Proof } from '../session/session.js';
import type { CertificateFiles } from './certificate.js';
import { type Compression, isWorthCompressing } from './compression.js';
import type { Connection } from './connection.js';
import type { Doorkeeper, Visitor } from './doorkeeper.js';
import { type OpenRequest, OpenRequests, requestTimeoutMs } from './open-requests.js';
import { bearerOf, judgeUpgrade, type Refused, refuseDraining, type Visit } from './upgrade.js';

declare module 'uWebSockets.js' {
  // Both exist; the library's own types leave them out.
  export const LIBUS_LISTEN_EXCLUSIVE_PORT: number;
  export interface TemplatedApp {
    listen(
      host: string,
      port: number,
      options: number,
      onListen: (socket: us_listen_socket | false) => void,
    ): TemplatedApp;
  }
}

export interface ServerSettings {
  readonly host: string;
  readonly port: number;
  readonly maxFrameBytes: number;
  readonly maxBufferedBytes: number;
  readonly idleTimeoutSeconds: number;
  readonly compression: Compression;
  /** Most sockets at once. */
  readonly maxSockets: number;
}

export type Sharing = 'exclusive' | 'shared';

export interface ServerCounters {
  connectionsOpened: number;
  connectionsClosed: number;
  connectionsRefused: number;
  connectionsOverCapacity: number;
}

/** uWebSockets keeps what we give it for a socket as a property of the socket: this, and nothing else. */
interface UserData {
  readonly connection: Connection;
  /** Null where connections from there are not counted: most objects of this kind then have the same. */
  readonly address: Address | null;
  /** Only until it is open. */
  proof: Proof | null;
}

/** A POST request to a node. */
export interface ApiRequest {
  /** What `Authorization: Bearer` says; null where there is none. */
  readonly token: string | null;
  readonly body: string;
}

/** Answers POST requests; bodies are JSON. */
export interface Api {
  readonly paths: readonly string[];
  /** Whether the token is an API key of this node that is not revoked. Asked before the limits, for each request: it must cost little. */
  isService(token: string): boolean;
  answer(path: string, request: ApiRequest): Promise<{ readonly status: string; readonly body: unknown }>;
}

/** Longest body of a POST request. */
const maxBodyBytes = 4_096;

const bodyTooLong: Refused = {
  status: '413 Content Too Large',
  headers: {},
  sentence: `The body is longer than ${maxBodyBytes} bytes.`,
};

const bodyNotInTime: Refused = {
  status: '408 Request Timeout',
  headers: {},
  sentence: `The node did not receive the whole body within ${requestTimeoutMs / 1_000} s. Send it with Content-Length and without chunk extensions.`,
};

const noAnswerInTime: Refused = {
  status: '504 Gateway Timeout',
  headers: {},
  sentence: `The node did not finish within ${requestTimeoutMs / 1_000} s. The request may or may not have taken effect.`,
};

/** What those need who come in, beside the settings. */
export interface ServerParts {
  readonly counters: ServerCounters;
  readonly doorkeeper: Doorkeeper;
  /** Null where there is none. */
  readonly api: Api | null;
  /** How many have not shown yet who they are. */
  unauthenticated(): number;
  accept(encoding: Encoding): Connection;
  /** Called for each request that is refused; null if nobody listens. */
  readonly onRefused: ((visit: Visit, refused: Refused) => void) | null;
}

type UWebSockets = typeof import('uWebSockets.js');

/** What makes the start fail in a way that a person can mend: one sentence. */
export class ServerError extends Error {
  override readonly name = 'ServerError';
}

/** Handshakes that may always be under way, however few connections there may be. */
const spareStrangers = 128;

/** How long a socket may live on behind its close frame (uWebSockets' own time for it, measured). */
const partingMs = 16_000;

/** TLS 1.3 chooses for itself; of TLS 1.2, which is the least that uWebSockets speaks, what keeps its secrets when the key leaks later. */
const ciphers = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

/** What listens, and the sockets that it has let in. A new certificate needs a new one: the library reads the files only once for each. */
interface Entrance {
  readonly app: TemplatedApp;
  connections: number;
}

export class Server {
  readonly #uws: UWebSockets;
  readonly #settings: ServerSettings;
  readonly #certificate: CertificateFiles | null;
  readonly #sharing: Sharing;
  readonly #parts: ServerParts;
  readonly #connections: Connection[] = [];
  /** All that there have been: the library lets go of none, about 30 KiB each. */
  readonly #entrances: Entrance[] = [];
  /** Those that have connections, and the present one. */
  #audience: readonly TemplatedApp[] = [];
  #entrance: Entrance;
  #listenSocket: us_listen_socket | null = null;
  #port = 0;
  /** Sockets that may live on behind their close frame. */
  #parting = 0;
  #isDraining = false;
  /** Sockets that are no WebSockets, or not yet. uWebSockets closes them if no request is complete within about twelve seconds. */
  #strangers = 0;
  readonly #openRequests = new OpenRequests();

  private constructor(
    uws: UWebSockets,
    settings: ServerSettings,
    certificate: CertificateFiles | null,
    sharing: Sharing,
    parts: ServerParts,
  ) {
    this.#uws = uws;
    this.#settings = settings;
    this.#certificate = certificate;
    this.#sharing = sharing;
    this.#parts = parts;
    this.#entrance = this.#open();
  }

  /**
   * Listens, on a free port where `port` is 0; with TLS where there is a certificate. `shared`: other processes of the same user may
   * listen on the port too, if they say so as well, and the kernel spreads connections over them. Throws {@link ServerError}.
   */
  static async start(
    settings: ServerSettings,
    certificate: CertificateFiles | null,
    sharing: Sharing,
    parts: ServerParts,
  ): Promise<Server> {
    const uws = await loadUWebSockets();
    const { host } = settings;
    // On a port that it chose itself, uWebSockets could not listen again with another certificate (SO_REUSEADDR is not set for port 0).
    const port = settings.port === 0 && certificate !== null ? await Server.findPort(settings) : settings.port;
    const server = new Server(uws, settings, certificate, sharing, parts);
    server.#listenSocket = listen(uws, server.#entrance.app, { host, port }, sharing);
    if (server.#listenSocket === null) throw cannotListen(settings);
    server.#port = uws.us_socket_local_port(server.#listenSocket);
    return server;
  }

  /** A port that nobody listens on: `port`, or a free one where that is 0. Throws {@link ServerError}. */
  static async findPort(settings: Pick<ServerSettings, 'host' | 'port'>): Promise<number> {
    const uws = await loadUWebSockets();
    const app = uws.App();
    const listenSocket = listen(uws, app, settings, 'exclusive');
    if (listenSocket === null) throw cannotListen(settings);
    const port = uws.us_socket_local_port(listenSocket);
    uws.us_listen_socket_close(listenSocket);
    app.close();
    return port;
  }

  /** The port that it listens on. */
  get port(): number {
    return this.#port;
  }

  get connections(): readonly Connection[] {
    return this.#connections;
  }

  /** Hands one frame to every socket of a group. Not to be called inside a WebSocket event. */
  broadcast(group: string, frame: Frame, isBinary: boolean): void {
    const isCompressed = isWorthCompressing(frame, this.#settings.compression);
    for (const app of this.#audience) app.publish(group, frame, isBinary, isCompressed);
  }

  /**
   * Shows the certificate that is now in the files to whoever connects from here on; who is connected stays so. What the kernel has
   * accepted and this process not yet is reset: it is one turn of the event loop, and who dials tries again. Throws
   * {@link ServerError}, and all is as before.
   *
   * Not by `addServerName`: it serves only clients that name a host (SNI), which those that dial an address do not.
   */
  renewCertificate(): void {
    if (this.#isDraining) return;
    const previous = this.#entrance;
    const next = this.#open();
    const address = { host: this.#settings.host, port: this.#port };
    const listenWith = ({ app }: Entrance): us_listen_socket | null => listen(this.#uws, app, address, this.#sharing);
    const closePrevious = (): void => {
      if (this.#listenSocket !== null) this.#uws.us_listen_socket_close(this.#listenSocket);
      this.#listenSocket = null;
    };
    // Where only one can have the port, the previous one closes first: nothing else happens in this process in between, and within microseconds
    // hardly in another.
    if (this.#sharing === 'exclusive') closePrevious();
    const listenSocket = listenWith(next);
    if (listenSocket === null) {
      this.#listenSocket ??= listenWith(previous);
      this.#entrances.pop();
      throw cannotListen(address);
    }
    closePrevious();
    this.#listenSocket = listenSocket;
    this.#entrance = next;
    this.#updateAudience();
  }

  /** Lets nobody in any more. */
  stopListening(): void {
    this.#isDraining = true;
    if (this.#listenSocket !== null) this.#uws.us_listen_socket_close(this.#listenSocket);
    this.#listenSocket = null;
  }

  /** Answers the requests that take too long. To be called about once a second, with the time of performance.now(). */
  expireRequests(nowMs: number): void {
    this.#openRequests.look(nowMs);
  }

  /** Cuts off whatever is still connected. */
  close(): void {
    this.stopListening();
    for (const { app } of this.#entrances) app.close();
  }

  /** Throws {@link ServerError} where the library cannot use the certificate. */
  #open(): Entrance {
    const { counters, doorkeeper, api } = this.#parts;
    const entrance: Entrance = { app: this.#createApp(), connections: 0 };
    entrance.app
      // biome-ignore lint/suspicious/useIterableCallbackReturn: this filter is none of an array, and wants nothing back.
      .filter((response, change) => {
        // The library's types have the class here.
        this.#strangers += Number(change);
        if (Number(change) > 0 && !this.#hasRoom()) {
          counters.connectionsOverCapacity++;
          response.close();
        }
      })
      .ws<UserData>(endpointPath, {
        // A frame up to twice the limit is read whole, so that its sender gets a close code and not only a cut (PROTOCOL.md section 6).
        // That is also the most that a compressed frame may become.
        maxPayloadLength: this.#settings.maxFrameBytes * 2,
        maxBackpressure: this.#settings.maxBufferedBytes,
        idleTimeout: this.#settings.idleTimeoutSeconds,
        // It would ping only when the timeout is nearly over; `Connection.keepAlive` does it sooner.
        sendPingsAutomatically: false,
        compression: this.#compressOptions(),
        upgrade: (response, request, context) => this.#upgrade(response, request, context),
        open: (socket) => {
          counters.connectionsOpened++;
          if (entrance.connections++ === 0) this.#updateAudience();
          const userData = socket.getUserData();
          const { connection, proof } = userData;
          userData.proof = null;
          connection.index = this.#connections.push(connection) - 1;
          connection.onOpen(socket, proof);
        },
        message: (socket, frame, isBinary) => {
          socket.getUserData().connection.onFrame(new Uint8Array(frame), isBinary);
        },
        dropped: (socket) => socket.getUserData().connection.onDropped(),
        drain: (socket) => socket.getUserData().connection.onWritable(),
        close: (socket) => {
          counters.connectionsClosed++;
          if (--entrance.connections === 0) this.#updateAudience();
          const { connection, address } = socket.getUserData();
          if (address !== null) doorkeeper.leave(address);
          this.#forget(connection);
          if (connection.isClosing) this.#part();
          connection.onClosed();
        },
      })
      .any('/*', (response, request) => {
        const isHead = request.getMethod() === 'head';
        this.#refuse(response, this.#judge(request), visitorOf(response, headersOf(request)), isHead);
      });
    for (const path of api?.paths ?? []) {
      entrance.app.post(path, (response, request) => this.#answerPost(path, response, request));
    }
    this.#entrances.push(entrance);
    return entrance;
  }

  #createApp(): TemplatedApp {
    if (this.#certificate === null) return this.#uws.App();
    const { certFile, keyFile } = this.#certificate;
    try {
      return this.#uws.SSLApp({ cert_file_name: certFile, key_file_name: keyFile, ssl_ciphers: ciphers });
    } catch {
      throw new ServerError(
        `The TLS library rejects the certificate in "${certFile}" with the key in "${keyFile}" and gives no reason. Check that every certificate in the chain is valid PEM and that the key is RSA or ECDSA.`,
      );
    }
  }

  /** Both directions forget each message: what is kept for each connection costs 3 KiB and more, and what uWebSockets makes of a client that wants no such thing is not what RFC 7692 says. */
  #compressOptions(): number {
    const { DISABLED, SHARED_COMPRESSOR, SHARED_DECOMPRESSOR } = this.#uws;
    return this.#settings.compression === 'off' ? DISABLED : SHARED_COMPRESSOR | SHARED_DECOMPRESSOR;
  }

  /** One whose handshakes were still under way when its successor came may get connections later. */
  #updateAudience(): void {
    const wanted = this.#entrances.filter((entrance) => entrance.connections > 0 || entrance === this.#entrance);
    this.#audience = wanted.map(({ app }) => app);
  }

  /** Whether one more socket may be open: a process without file descriptors stands still. */
  #hasRoom(): boolean {
    const { maxStrangers } = this.#parts.doorkeeper;
    const sockets = this.#strangers + this.#connections.length + this.#parting;
    return this.#strangers <= maxStrangers + spareStrangers && sockets <= this.#settings.maxSockets;
  }

  // Nothing is awaited before `response.upgrade`: the request is gone when this returns.
  #upgrade(response: HttpResponse, request: HttpRequest, context: us_socket_context_t): void {
    const header = headersOf(request);
    const visitor = visitorOf(response, header);
    const judgement = this.#isDraining ? refuseDraining : judge(request, header);
    if ('status' in judgement) return this.#refuse(response, judgement, visitor);
    const { doorkeeper, unauthenticated, accept } = this.#parts;
    const occupancy = { connections: this.#connections.length, unauthenticated: unauthenticated() };
    const entry = doorkeeper.judge(visitor, occupancy);
    if ('status' in entry) return this.#refuse(response, entry, visitor);
    const { encoding, subprotocol, proof } = judgement;
    const userData: UserData = { connection: accept(encoding), address: entry.address, proof };
    // uWebSockets agrees to compression where it is offered here and we want it.
    const extensions = header('sec-websocket-extensions');
    response.upgrade(userData, header('sec-websocket-key'), subprotocol, extensions, context);
    this.#strangers--;
  }

  #answerPost(path: string, response: HttpResponse, request: HttpRequest): void {
    const { api, doorkeeper } = this.#parts;
    const header = headersOf(request);
    const visitor = visitorOf(response, header);
    const token = bearerOf(header('authorization'));
    if (api === null) return this.#refuse(response, this.#judge(request), visitor);
    let isService = false;
    const isOfService = (): boolean => {
      isService = token !== null && api.isService(token);
      return isService;
    };
    const entry = this.#isDraining ? refuseDraining : doorkeeper.judgePost(visitor, isOfService);
    if ('status' in entry) return this.#refuse(response, entry, visitor);
    const { address } = entry;
    const tooMany = this.#openRequests.judge(address, isService);
    if (tooMany !== null) return this.#refuse(response, tooMany, visitor);
    let isComplete = false;
    // The code that removes it from the open requests answers it, and no other code does.
    const open: OpenRequest = { address, expire: () => refuse(isComplete ? noAnswerInTime : bodyNotInTime) };
    const refuse = (refused: Refused): void => {
      if (this.#openRequests.delete(open)) this.#refuse(response, refused, visitor);
    };
    this.#openRequests.add(open, performance.now());
    response.onAborted(() => this.#openRequests.delete(open));
    const pieces: Buffer[] = [];
    let length = 0;
    response.onData((piece, isLast) => {
      if (!this.#openRequests.has(open)) return;
      length += piece.byteLength;
      // What is still on its way is not read: the connection ends with the answer.
      if (length > maxBodyBytes) return refuse(bodyTooLong);
      // A copy: the memory is uWebSockets' own.
      pieces.push(Buffer.from(piece.slice(0)));
      if (!isLast) return;
      isComplete = true;
      void api.answer(path, { token, body: Buffer.concat(pieces).toString('utf8') }).then(({ status, body }) => {
        if (!this.#openRequests.delete(open)) return;
        response.cork(() => {
          response
            .writeStatus(status)
            .writeHeader('Content-Type', 'application/json')
            .writeHeader('Cache-Control', 'no-store');
          response.end(JSON.stringify(body));
        });
      });
    });
  }

  /** For requests that uWebSockets itself does not take for a handshake. */
  #judge(request: HttpRequest): Refused {
    const header = headersOf(request);
    const judgement = judge(request, header);
    // A page that could not connect asks with a plain request why: browsers do not tell it.
    const isPlain = 'status' in judgement && judgement.status.startsWith('426');
    if (isPlain) return this.#parts.doorkeeper.judgeOrigin(header('origin')) ?? judgement;
    if ('status' in judgement) return judgement;
    return { status: '400 Bad Request', headers: {}, sentence: 'Malformed WebSocket handshake.' };
  }

  #refuse(response: HttpResponse, refused: Refused, { origin, remoteAddress }: Visitor, isHead = false): void {
    const { counters, onRefused } = this.#parts;
    const { status, headers, sentence } = refused;
    // HEAD is how balancers ask whether the node is there: nobody is refused.
    if (!isHead) {
      counters.connectionsRefused++;
      onRefused?.({ origin, address: remoteAddress }, refused);
    }
    const body = Buffer.from(`${sentence}\n`);
    response.cork(() => {
      response.writeStatus(status);
      for (const [name, value] of Object.entries(headers)) response.writeHeader(name, value);
      response.writeHeader('Content-Type', 'text/plain; charset=utf-8');
      // Any page may read the sentence: it is for the author of that page, and holds no secret.
      response.writeHeader('Access-Control-Allow-Origin', '*');
      if (isHead) endWithoutBody(response, body.length);
      else response.end(body, true);
    });
  }

  /** Whom we have sent a close frame may keep the socket for a while, and uWebSockets tells nothing more of it. */
  #part(): void {
    this.#parting++;
    setTimeout(() => this.#parting--, partingMs).unref();
  }

  /** Takes it out of the list; the last one moves into its place. */
  #forget(connection: Connection): void {
    const last = this.#connections.pop();
    if (last === undefined || last === connection) return;
    this.#connections[connection.index] = last;
    last.index = connection.index;
  }
}

/**
 * Ends the answer to a HEAD request with the length that the body of GET has (RFC 9110 section 9.3.2), and closes. The library's own
 * `endWithoutBody` ends the process, or with an abort handler keeps the socket open for ever.
 */
function endWithoutBody(response: HttpResponse, bodyLength: number): void {
  let isClosed = false;
  response.onAborted(() => {
    isClosed = true;
  });
  response.writeHeader('Connection', 'close');
  response.tryEnd('', bodyLength);
  // The head leaves when the library's own callback returns.
  setImmediate(() => {
    if (!isClosed) response.close();
  });
}

/** What is said of a port that somebody else has. */
export function cannotListen({ port }: Pick<ServerSettings, 'port'>): ServerError {
  return new ServerError(
    `Cannot listen on port ${port} of the address in FANFARE_HOST: the port is in use, or this machine does not have the address. Change FANFARE_PORT or FANFARE_HOST.`,
  );
}

/** The value of a header, by its name in lower case; empty if there is none. */
type ReadHeader = (name: string) => string;

/**
 * Several lines of one name are one list (RFC 9110 section 5.3). uWebSockets' `getHeader` knows the first line only: a proxy's
 * `X-Forwarded-For` may follow that of the client, and of two origins one would not be checked.
 */
function headersOf(request: HttpRequest): ReadHeader {
  const headers = new Map<string, string>();
  request.forEach((name, value) => {
    const before = headers.get(name) ?? '';
    headers.set(name, before === '' ? value : `${before}, ${value}`);
  });
  return (name) => headers.get(name) ?? '';
}

function visitorOf(response: HttpResponse, header: ReadHeader): Visitor {
  return {
    origin: header('origin'),
    remoteAddress: Buffer.from(response.getRemoteAddressAsText()).toString('latin1'),
    forwardedFor: header('x-forwarded-for'),
  };
}

/** Null where somebody else has the port. */
function listen(
  uws: UWebSockets,
  app: TemplatedApp,
  { host, port }: Pick<ServerSettings, 'host' | 'port'>,
  sharing: Sharing,
): us_listen_socket | null {
  // uWebSockets shares unless told otherwise: a second node could take the same port, and half of the clients with it, unnoticed.
  const options = sharing === 'shared' ? 0 : uws.LIBUS_LISTEN_EXCLUSIVE_PORT;
  let listening: us_listen_socket | null = null;
  // The callback comes before `listen` returns.
  app.listen(host, port, options, (listenSocket) => {
    if (listenSocket !== false) listening = listenSocket;
  });
  return listening;
}

function judge(request: HttpRequest, header: ReadHeader): ReturnType<typeof judgeUpgrade> {
  return judgeUpgrade({
    method: () => request.getMethod(),
    path: () => request.getUrl(),
    header,
    query: (name) => request.getQuery(name) ?? '',
  });
}

async function loadUWebSockets(): Promise<UWebSockets> {
  try {
    // A CommonJS module: what it exports is the default of its namespace.
    return (await import('uWebSockets.js')).default as unknown as UWebSockets;
  } catch (error) {
    throw new ServerError(
      `uWebSockets.js has no binary for this system (Node ${process.versions.node}, ${process.platform} ${process.arch}). It needs glibc 2.36 or later with Node 20, and glibc 2.38 or later with Node 22 and 24. ${(error as Error).message}`,
    );
  }
}
