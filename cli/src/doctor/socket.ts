/** A WebSocket of the doctor: speaks the JSON protocol, one reply at a time. */
import { subprotocols } from '@fanfare/protocol';
import { WebSocket } from 'ws';
import { type Answer, sentenceIn } from './exchange.js';

export interface Message {
  readonly type: string;
  readonly id?: number;
  readonly [field: string]: unknown;
}

/** The server answered the handshake with something else. */
export class Refusal extends Error {
  override readonly name = 'Refusal';

  constructor(
    readonly status: number,
    readonly says: string,
  ) {
    super(`HTTP ${status}${says === '' ? '' : `: ${says}`}`);
  }
}

export class DoctorSocket {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<(message: Message) => boolean, (message: Message) => void>();
  #ids = 0;
  #closed: string | null = null;
  #onClosed: (() => void)[] = [];

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data) => {
      const message = JSON.parse(String(data)) as Message;
      for (const [matches, resolve] of this.#waiting) {
        if (!matches(message)) continue;
        this.#waiting.delete(matches);
        resolve(message);
      }
    });
    socket.on('error', () => undefined);
    socket.on('close', (code, reason) => {
      this.#closed = `code ${code}${reason.length === 0 ? '' : `, "${String(reason)}"`}`;
      for (const onClosed of this.#onClosed) onClosed();
    });
  }

  /** Rejects with {@link Refusal} if the server answers with a status, or with the error of the network. */
  static open(url: URL, timeoutMs: number): Promise<DoctorSocket> {
    const socket = new WebSocket(url, subprotocols.json, {
      handshakeTimeout: timeoutMs,
      rejectUnauthorized: false,
      perMessageDeflate: false,
    });
    return new Promise((resolve, reject) => {
      socket.once('open', () => resolve(new DoctorSocket(socket)));
      socket.once('error', reject);
      socket.once('unexpected-response', (_request, response) => {
        // It is no longer there at the end.
        const { socket: connection } = response;
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          body += chunk.slice(0, 10_000);
        });
        response.on('end', () => {
          const answer: Pick<Answer, 'headers' | 'body' | 'json'> = { headers: response.headers, body, json: null };
          reject(new Refusal(response.statusCode ?? 0, sentenceIn(answer)));
          // A proxy may keep the connection open, and with it this process.
          connection.destroy();
        });
      });
    });
  }

  /** Why the server closed the connection; null if it is open. */
  get closed(): string | null {
    return this.#closed;
  }

  /** Sends a command, and resolves with its reply. */
  request(command: Readonly<Record<string, unknown>>, timeoutMs: number): Promise<Message> {
    const id = ++this.#ids;
    const reply = this.next(
      (message) => message.id === id || (message.type === 'error' && message.id === undefined),
      timeoutMs,
    );
    this.#socket.send(JSON.stringify({ ...command, id }));
    return reply;
  }

  /** Resolves with the next message that matches. Rejects if it does not arrive in time. */
  next(matches: (message: Message) => boolean, timeoutMs: number): Promise<Message> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        clearTimeout(timer);
        this.#waiting.delete(matches);
        reject(new Error(why));
      };
      const timer = setTimeout(() => fail(`no answer within ${timeoutMs / 1_000} s`), timeoutMs);
      this.#waiting.set(matches, (message) => {
        clearTimeout(timer);
        resolve(message);
      });
      const onClosed = (): void => fail(`the server closed the connection (${this.#closed})`);
      if (this.#closed === null) this.#onClosed.push(onClosed);
      else onClosed();
    });
  }

  /** Resolves after this time, or when the server closes the connection. */
  idle(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#onClosed.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  close(): void {
    this.#socket.terminate();
  }
}
