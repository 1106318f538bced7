/**
 * The port that clients connect to, with TLS if there is a certificate. An app of uWebSockets reads the files of its
 * certificate only once. So a new certificate needs a new app, which replaces the previous one on the same port.
 */
import type { TemplatedApp, us_listen_socket } from 'uWebSockets.js';
import type { Frame } from '@fanfare/protocol';
import type { CertificateFiles } from './certificate.js';
import { explainLoadFailure, thisSystem } from './load-failure.js';

declare module 'uWebSockets.js' {
  // Both exist, but the types of the library leave them out.
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

export type UWebSockets = typeof import('uWebSockets.js');

interface ListenAddress {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

/**
 * `shared`: other processes of the same user may listen on the port too, and the kernel distributes connections over
 * them.
 */
export type Sharing = 'exclusive' | 'shared';

/** Why the node cannot start, or cannot use a new certificate, and what to do. */
export class ServerError extends Error {
  override readonly name = 'ServerError';
}

/** An app of uWebSockets, with the number of its open connections. */
export interface Listener {
  readonly app: TemplatedApp;
  connections: number;
}

/** TLS 1.3 has its own. For TLS 1.2, the oldest that uWebSockets speaks: ciphers with forward secrecy. */
const ciphers = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

export class Listeners {
  /** All since the start: the library never releases an app, about 30 KiB each. */
  readonly #all: Listener[] = [];
  /** Those with connections, and the current one. */
  #active: readonly TemplatedApp[] = [];
  #current: Listener;
  #listenSocket: us_listen_socket | null;
  #address: ListenAddress;

  /** `addRoutes` gives a new app its routes. Throws {@link ServerError}. */
  constructor(
    private readonly uws: UWebSockets,
    address: ListenAddress,
    private readonly certificate: CertificateFiles | null,
    private readonly sharing: Sharing,
    private readonly addRoutes: (listener: Listener) => void,
  ) {
    // uWebSockets could not listen again on a port that it chose itself (SO_REUSEADDR is not set for port 0).
    const port = address.port === 0 && certificate !== null ? freePort(uws, address) : address.port;
    this.#current = this.#create();
    this.#listenSocket = listen(uws, this.#current.app, { ...address, port }, sharing);
    if (this.#listenSocket === null) throw cannotListen(address);
    this.#address = { ...address, port: uws.us_socket_local_port(this.#listenSocket) };
  }

  get port(): number {
    return this.#address.port;
  }

  onConnectionOpened(listener: Listener): void {
    if (listener.connections++ === 0) this.#updateActive();
  }

  onConnectionClosed(listener: Listener): void {
    if (--listener.connections === 0) this.#updateActive();
  }

  /** Sends one frame to every socket of a group. */
  publish(group: string, frame: Frame, isBinary: boolean, isCompressed: boolean): void {
    for (const app of this.#active) app.publish(group, frame, isBinary, isCompressed);
  }

  /**
   * Uses the certificate that is now in the files for new connections; open connections stay. Connections that the
   * kernel has accepted within the current turn of the event loop are reset, and their clients retry. Throws
   * {@link ServerError}, and nothing has changed.
   *
   * `addServerName` is not enough: it serves only clients that name a host (SNI), not clients that connect to an
   * address.
   */
  renewCertificate(): void {
    const previous = this.#current;
    const next = this.#create();
    const listenWith = ({ app }: Listener): us_listen_socket | null =>
      listen(this.uws, app, this.#address, this.sharing);
    // An exclusive port must be free first. Within these microseconds another process hardly takes it.
    if (this.sharing === 'exclusive') this.stopListening();
    const listenSocket = listenWith(next);
    if (listenSocket === null) {
      this.#listenSocket ??= listenWith(previous);
      this.#all.pop();
      throw cannotListen(this.#address);
    }
    this.stopListening();
    this.#listenSocket = listenSocket;
    this.#current = next;
    this.#updateActive();
  }

  stopListening(): void {
    if (this.#listenSocket !== null) this.uws.us_listen_socket_close(this.#listenSocket);
    this.#listenSocket = null;
  }

  /** Drops all connections. */
  close(): void {
    this.stopListening();
    for (const { app } of this.#all) app.close();
  }

  /** Throws {@link ServerError} if the library cannot use the certificate. */
  #create(): Listener {
    const listener = { app: this.#createApp(), connections: 0 };
    this.addRoutes(listener);
    this.#all.push(listener);
    return listener;
  }

  #createApp(): TemplatedApp {
    if (this.certificate === null) return this.uws.App();
    const { certFile, keyFile } = this.certificate;
    try {
      return this.uws.SSLApp({ cert_file_name: certFile, key_file_name: keyFile, ssl_ciphers: ciphers });
    } catch {
      throw new ServerError(
        `The TLS library rejects the certificate in "${certFile}" with the key in "${keyFile}" and gives no reason. Check that every certificate in the chain is valid PEM and that the key is RSA or ECDSA.`,
      );
    }
  }

  /** A replaced listener without connections may still get one: its handshake was under way. */
  #updateActive(): void {
    const active = this.#all.filter((listener) => listener.connections > 0 || listener === this.#current);
    this.#active = active.map(({ app }) => app);
  }
}

/** `port` if nobody listens on it, or a free one if it is 0. Throws {@link ServerError}. */
export async function findPort(address: ListenAddress): Promise<number> {
  return freePort(await loadUWebSockets(), address);
}

function freePort(uws: UWebSockets, address: ListenAddress): number {
  const app = uws.App();
  const listenSocket = listen(uws, app, address, 'exclusive');
  if (listenSocket === null) throw cannotListen(address);
  const port = uws.us_socket_local_port(listenSocket);
  uws.us_listen_socket_close(listenSocket);
  app.close();
  return port;
}

/** Returns null if another process has the port. */
function listen(
  uws: UWebSockets,
  app: TemplatedApp,
  { host, port }: ListenAddress,
  sharing: Sharing,
): us_listen_socket | null {
  // By default uWebSockets shares ports: a second node could take the same one, and half of the clients, unnoticed.
  const options = sharing === 'shared' ? 0 : uws.LIBUS_LISTEN_EXCLUSIVE_PORT;
  let listening: us_listen_socket | null = null;
  // The callback runs before `listen` returns.
  app.listen(host, port, options, (listenSocket) => {
    if (listenSocket !== false) listening = listenSocket;
  });
  return listening;
}

export function cannotListen({ port }: Pick<ListenAddress, 'port'>): ServerError {
  return new ServerError(
    `Cannot listen on port ${port} of the address in FANFARE_HOST: the port is in use, or this machine does not have the address. Change FANFARE_PORT or FANFARE_HOST.`,
  );
}

/** Throws {@link ServerError} if its binary does not run on this system. */
export async function loadUWebSockets(): Promise<UWebSockets> {
  try {
    // A CommonJS module: its exports are the default of its namespace.
    return (await import('uWebSockets.js')).default as unknown as UWebSockets;
  } catch (error) {
    throw new ServerError(explainLoadFailure((error as Error).message, thisSystem()));
  }
}
