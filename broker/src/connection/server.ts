/** The only file that knows uWebSockets.js: accepts sockets, and translates its events and numbers into ours. */

import type { HttpRequest, HttpResponse, TemplatedApp, us_listen_socket, us_socket_context_t } from 'uWebSockets.js';
import { type Encoding, endpointPath, type Frame } from '@fanfare/protocol';
import type { Address } from '../limits/addresses.js';
import type { Connection } from './connection.js';
import type { Doorkeeper } from './doorkeeper.js';
import type { Proof } from './session.js';
import { bearerOf, judgeUpgrade, type Refused, refuseDraining } from './upgrade.js';

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
}

export type Sharing = 'exclusive' | 'shared';

export interface ServerCounters {
  connectionsOpened: number;
  connectionsClosed: number;
  connectionsRefused: number;
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
  answer(path: string, request: ApiRequest): Promise<{ readonly status: string; readonly body: unknown }>;
}

/** Longest body of a POST request. */
const maxBodyBytes = 4_096;

/** What those need who come in, beside the settings. */
export interface ServerParts {
  readonly counters: ServerCounters;
  readonly doorkeeper: Doorkeeper;
  /** Null where there is none. */
  readonly api: Api | null;
  /** How many have not shown yet who they are. */
  unauthenticated(): number;
  accept(encoding: Encoding): Connection;
}

type UWebSockets = typeof import('uWebSockets.js');

/** What makes the start fail in a way that a person can mend: one sentence. */
export class ServerError extends Error {
  override readonly name = 'ServerError';
}

export class Server {
  readonly #uws: UWebSockets;
  readonly #app: TemplatedApp;
  readonly #parts: ServerParts;
  readonly #connections: Connection[] = [];
  #listenSocket: us_listen_socket | null = null;
  #isDraining = false;

  private constructor(uws: UWebSockets, settings: ServerSettings, parts: ServerParts) {
    const { counters } = parts;
    this.#uws = uws;
    this.#parts = parts;
    this.#app = uws
      .App()
      .ws<UserData>(endpointPath, {
        // A frame up to twice the limit is read whole, so that its sender gets a close code and not only a cut (PROTOCOL.md section 6).
        maxPayloadLength: settings.maxFrameBytes * 2,
        maxBackpressure: settings.maxBufferedBytes,
        idleTimeout: settings.idleTimeoutSeconds,
        sendPingsAutomatically: true,
        compression: uws.DISABLED,
        upgrade: (response, request, context) => this.#upgrade(response, request, context),
        open: (socket) => {
          counters.connectionsOpened++;
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
          const { connection, address } = socket.getUserData();
          if (address !== null) parts.doorkeeper.leave(address);
          this.#forget(connection);
          connection.onClosed();
        },
      })
      .any('/*', (response, request) => {
        this.#refuse(response, this.#judge(request), request.getMethod() === 'head');
      });
    for (const path of parts.api?.paths ?? []) {
      this.#app.post(path, (response, request) => this.#answerPost(path, response, request));
    }
  }

  /**
   * Listens, on a free port where `port` is 0. `shared`: other processes of the same user may listen on the port too, if they
   * say so as well, and the kernel spreads connections over them. Throws {@link ServerError}.
   */
  static async start(settings: ServerSettings, sharing: Sharing, parts: ServerParts): Promise<Server> {
    const uws = await loadUWebSockets();
    const server = new Server(uws, settings, parts);
    server.#listenSocket = await listen(uws, server.#app, settings, sharing);
    return server;
  }

  /** A port that nobody listens on: `port`, or a free one where that is 0. Throws {@link ServerError}. */
  static async findPort(settings: Pick<ServerSettings, 'host' | 'port'>): Promise<number> {
    const uws = await loadUWebSockets();
    const app = uws.App();
    const listenSocket = await listen(uws, app, settings, 'exclusive');
    const port = uws.us_socket_local_port(listenSocket);
    uws.us_listen_socket_close(listenSocket);
    app.close();
    return port;
  }

  /** The port that it listens on. */
  get port(): number {
    return this.#listenSocket === null ? 0 : this.#uws.us_socket_local_port(this.#listenSocket);
  }

  get connections(): readonly Connection[] {
    return this.#connections;
  }

  /** Hands one frame to every socket of a group. Not to be called inside a WebSocket event. */
  broadcast(group: string, frame: Frame, isBinary: boolean): void {
    this.#app.publish(group, frame, isBinary, false);
  }

  /** Lets nobody in any more. */
  stopListening(): void {
    this.#isDraining = true;
    if (this.#listenSocket !== null) this.#uws.us_listen_socket_close(this.#listenSocket);
    this.#listenSocket = null;
  }

  /** Cuts off whatever is still connected. */
  close(): void {
    this.stopListening();
    this.#app.close();
  }

  // Nothing is awaited before `response.upgrade`: the request is gone when this returns.
  #upgrade(response: HttpResponse, request: HttpRequest, context: us_socket_context_t): void {
    const judgement = this.#isDraining ? refuseDraining : judge(request);
    if ('status' in judgement) return this.#refuse(response, judgement);
    const visitor = {
      origin: request.getHeader('origin'),
      remoteAddress: Buffer.from(response.getRemoteAddressAsText()).toString('latin1'),
      forwardedFor: request.getHeader('x-forwarded-for'),
    };
    const { doorkeeper, unauthenticated, accept } = this.#parts;
    const occupancy = { connections: this.#connections.length, unauthenticated: unauthenticated() };
    const entry = doorkeeper.judge(visitor, occupancy);
    if ('status' in entry) return this.#refuse(response, entry);
    const { encoding, subprotocol, proof } = judgement;
    const userData: UserData = { connection: accept(encoding), address: entry.address, proof };
    const key = request.getHeader('sec-websocket-key');
    response.upgrade(userData, key, subprotocol, '', context);
  }

  #answerPost(path: string, response: HttpResponse, request: HttpRequest): void {
    const { api, doorkeeper } = this.#parts;
    const token = bearerOf(request.getHeader('authorization'));
    const refused = this.#isDraining ? refuseDraining : doorkeeper.judgePost();
    if (refused !== null || api === null) return this.#refuse(response, refused ?? this.#judge(request));
    let isAborted = false;
    response.onAborted(() => {
      isAborted = true;
    });
    const pieces: Buffer[] = [];
    let length = 0;
    response.onData((piece, isLast) => {
      length += piece.byteLength;
      if (length > maxBodyBytes) {
        // What is still on its way is not read: the connection ends with the answer.
        if (!isAborted)
          this.#refuse(response, {
            status: '413 Content Too Large',
            headers: {},
            sentence: `A body has at most ${maxBodyBytes} bytes.`,
          });
        isAborted = true;
        return;
      }
      // A copy: the memory is uWebSockets' own.
      pieces.push(Buffer.from(piece.slice(0)));
      if (!isLast || isAborted) return;
      void api.answer(path, { token, body: Buffer.concat(pieces).toString('utf8') }).then(({ status, body }) => {
        if (isAborted) return;
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
    const judgement = judge(request);
    if ('status' in judgement) return judgement;
    return { status: '400 Bad Request', headers: {}, sentence: 'This WebSocket handshake cannot be read.' };
  }

  #refuse(response: HttpResponse, { status, headers, sentence }: Refused, isHead = false): void {
    this.#parts.counters.connectionsRefused++;
    response.cork(() => {
      response.writeStatus(status);
      for (const [name, value] of Object.entries(headers)) response.writeHeader(name, value);
      response.writeHeader('Content-Type', 'text/plain; charset=utf-8');
      // RFC 9110 section 9.3.2. Not `endWithoutBody`: this binding takes that for no answer at all, and ends the process.
      response.end(isHead ? '' : `${sentence}\n`, true);
    });
  }

  /** Takes it out of the list; the last one moves into its place. */
  #forget(connection: Connection): void {
    const last = this.#connections.pop();
    if (last === undefined || last === connection) return;
    this.#connections[connection.index] = last;
    last.index = connection.index;
  }
}

/** What is said of a port that somebody else has. */
export function cannotListen({ host, port }: Pick<ServerSettings, 'host' | 'port'>): ServerError {
  return new ServerError(
    `Cannot listen on ${host}:${port}: the port is in use or the address is not this machine's. Set FANFARE_PORT or FANFARE_HOST.`,
  );
}

function listen(
  uws: UWebSockets,
  app: TemplatedApp,
  settings: Pick<ServerSettings, 'host' | 'port'>,
  sharing: Sharing,
): Promise<us_listen_socket> {
  // uWebSockets shares unless told otherwise: a second node could take the same port, and half of the clients with it, unnoticed.
  const options = sharing === 'shared' ? 0 : uws.LIBUS_LISTEN_EXCLUSIVE_PORT;
  return new Promise((resolve, reject) => {
    app.listen(settings.host, settings.port, options, (listenSocket) => {
      if (listenSocket === false) reject(cannotListen(settings));
      else resolve(listenSocket);
    });
  });
}

function judge(request: HttpRequest): ReturnType<typeof judgeUpgrade> {
  return judgeUpgrade({
    method: () => request.getMethod(),
    path: () => request.getUrl(),
    header: (name) => request.getHeader(name),
    query: (name) => request.getQuery(name) ?? '',
  });
}

async function loadUWebSockets(): Promise<UWebSockets> {
  try {
    // A CommonJS module: what it exports is the default of its namespace.
    return (await import('uWebSockets.js')).default as unknown as UWebSockets;
  } catch (error) {
    throw new ServerError(
      `uWebSockets.js has no binary that loads here (Node ${process.versions.node}, ${process.platform} ${process.arch}): it needs glibc 2.36 or later with Node 20, glibc 2.38 with Node 22 and 24. ${(error as Error).message}`,
    );
  }
}
