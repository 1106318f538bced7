/** A connection of the real typed client. It recovers missed publications, and a load can measure what that costs. */
import { type Client, type ConnectionState, createClient, type Subscription } from '@fanfare/client';
import type { Target } from '@fanfare/kit/broker-url';
import { blankData, stampBytes, stampText } from '@fanfare/kit/stamp';
import { within } from '@fanfare/kit/within';
import { WebSocket } from 'ws';
import type { Member } from './member.js';

/** Nothing listens there. */
const nowhere = 'ws://127.0.0.1:1';

interface ClientConnectionOptions {
  readonly target: Target;
  readonly encoding: 'msgpack' | 'json';
  readonly publicationBytes: number;
  readonly onPublication: (bytes: Uint8Array, stampAt: number) => void;
  /** A `gap` or `reset` event: publications are lost. */
  readonly onReportedLoss: () => void;
  readonly onFailure: (error: Error) => void;
  /** Called when an established connection is lost. The client keeps trying to reconnect. */
  readonly onCutOff?: (error: Error) => void;
  /** How long it may take to connect and subscribe. */
  readonly timeoutMs: number;
}

export class ClientConnection implements Member {
  readonly recovers = true;
  readonly #client: Client;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #filler: string;
  #socket: WebSocket | null = null;
  #isAway = false;

  static async open(options: ClientConnectionOptions, topics: readonly string[]): Promise<ClientConnection> {
    const connection = new ClientConnection(options);
    const subscribed = connection.#client.connect().then(() => connection.subscribe(topics));
    try {
      // The client itself keeps trying, but a load without a server must be reported.
      await within(options.timeoutMs, subscribed, 'The typed client could not connect and subscribe');
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  private constructor(private readonly options: ClientConnectionOptions) {
    const { target, encoding, publicationBytes } = options;
    const { host, port, isTls, path, token } = target;
    this.#filler = blankData(publicationBytes).slice(stampBytes);
    const openSocket = (url: string | URL, protocols?: string | string[]): WebSocket => {
      this.#socket = new WebSocket(this.#isAway ? nowhere : url, protocols);
      return this.#socket;
    };
    // The client calls it with `new`, and uses the socket that it returns.
    function Socket(url: string | URL, protocols?: string | string[]): WebSocket {
      return openSocket(url, protocols);
    }
    this.#client = createClient(`${isTls ? 'wss' : 'ws'}://${host}:${port}${path ?? '/ws'}`, {
      encoding,
      autoConnect: false,
      reconnectBaseDelayMs: 100,
      reconnectMaxDelayMs: 1_000,
      timeoutMs: 60_000,
      ...(token === null ? {} : { getToken: () => token }),
      webSocket: Socket as unknown as typeof globalThis.WebSocket,
    });
    this.#client.on('error', (error) => options.onFailure(error));
    let wasConnected = false;
    this.#client.on('state', (state) => {
      if (wasConnected && state.name !== 'connected') {
        options.onCutOff?.(new Error(`The typed client lost its connection: ${state.reason}.`));
      }
      wasConnected = state.name === 'connected';
    });
  }

  get isConnected(): boolean {
    return this.#client.state.name === 'connected';
  }

  async subscribe(topics: readonly string[]): Promise<void> {
    const ready = topics.map((topic) => {
      const subscription = this.#client.subscribe(topic, ({ data }) => {
        this.options.onPublication(Buffer.from(String(data), 'latin1'), 0);
      });
      for (const event of ['gap', 'reset'] as const) subscription.on(event, () => this.options.onReportedLoss());
      this.#subscriptions.set(topic, subscription);
      return subscription.ready;
    });
    await Promise.all(ready);
  }

  async unsubscribe(topics: readonly string[]): Promise<void> {
    for (const topic of topics) {
      this.#subscriptions.get(topic)?.unsubscribe();
      this.#subscriptions.delete(topic);
    }
  }

  add(topic: string, stream: number, sequence: number, plannedUs: number): void {
    this.#client.send(topic, stampText(stream, sequence, plannedUs) + this.#filler);
  }

  /** Does nothing: the client itself sends all publications of a turn in one write. */
  flush(): void {}

  pause(): void {
    this.#socket?.pause();
  }

  leave(): void {
    this.#isAway = true;
    this.#socket?.terminate();
  }

  /** Resolves when the client is connected again. Rejects if it is late, or if it has given up. */
  async comeBack(timeoutMs: number): Promise<void> {
    const late = AbortSignal.timeout(timeoutMs);
    // The client notices the break a moment later.
    await this.#until((name) => name !== 'connected', late);
    this.#isAway = false;
    await this.#until((name) => name === 'connected', late);
  }

  async #until(isMet: (name: ConnectionState['name']) => boolean, late: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        const { name } = this.#client.state;
        const isOver = isMet(name);
        if (!isOver && !late.aborted && name !== 'disconnected') return;
        stop();
        late.removeEventListener('abort', look);
        if (isOver) resolve();
        else reject(new Error(late.aborted ? 'The client was not back in time.' : 'The client has given up.'));
      };
      const stop = this.#client.on('state', look);
      late.addEventListener('abort', look);
      look();
    });
  }

  close(): void {
    this.#client.close();
  }
}
