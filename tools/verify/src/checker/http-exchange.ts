/**
 * HTTP as a client in any language speaks it: requests on kept-alive connections of Node's `http`. Nothing here knows
 * our client or our protocol package.
 */
import {
  Agent,
  type ClientRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as requestHttp,
} from 'node:http';
import { request as requestHttps, Agent as TlsAgent } from 'node:https';
import { text } from 'node:stream/consumers';

/** Where the HTTP routes of a cluster are. */
export interface HttpPlace {
  /** The address for the next connection, such as `http://127.0.0.1:8080`. */
  readonly origin: () => string;
  readonly token: string | null;
}

/** The same address as the WebSocket at these URLs, each in turn. */
export function httpPlace(urls: readonly [string, ...string[]], token: string | null): HttpPlace {
  const origins = urls.map((url) => url.replace(/^ws/, 'http').replace(/\/ws$/, ''));
  let turn = 0;
  return { token, origin: () => origins[turn++ % origins.length] as string };
}

/** There is no answer, or only a part of it. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';

  constructor(
    message: string,
    /** Whether the node may have received the request. */
    readonly maybeReceived: boolean,
  ) {
    super(message);
  }
}

interface Exchange {
  readonly method: 'GET' | 'POST';
  /** With the query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** How long the node may be silent, in milliseconds. */
  readonly silenceMs: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** One connection at a time to a cluster. It is kept open for the next request. */
export class HttpConnection {
  readonly #agent: Agent | TlsAgent;
  readonly #isTls: boolean;
  #origin: string;
  #request: ClientRequest | null = null;

  constructor(private readonly place: HttpPlace) {
    this.#origin = place.origin();
    this.#isTls = this.#origin.startsWith('https:');
    const options = { keepAlive: true, maxSockets: 1 };
    this.#agent = this.#isTls ? new TlsAgent(options) : new Agent(options);
  }

  /** Resolves with the head; the body follows. Rejects with {@link NoAnswer}. */
  open({ method, path, headers = {}, body, silenceMs }: Exchange): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      let isSent = false;
      const { token } = this.place;
      const sent = (this.#isTls ? requestHttps : requestHttp)(`${this.#origin}${path}`, {
        method,
        agent: this.#agent,
        timeout: silenceMs,
        headers: { ...headers, ...(token === null ? {} : { Authorization: `Bearer ${token}` }) },
      });
      this.#request = sent;
      sent.once('socket', (socket) => {
        if (!socket.connecting) isSent = true;
        else socket.once('connect', () => (isSent = true));
      });
      sent.once('timeout', () => sent.destroy(new Error(`The node was silent for ${silenceMs} ms.`)));
      sent.once('response', (response) => {
        // Readers of the body get the error too.
        response.on('error', () => {});
        resolve(response);
      });
      sent.on('error', ({ message }) => {
        this.leave();
        reject(new NoAnswer(message, isSent));
      });
      sent.end(body);
    });
  }

  async exchange(exchange: Exchange): Promise<Answer> {
    const response = await this.open(exchange);
    try {
      return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) };
    } catch (error) {
      this.leave();
      throw new NoAnswer((error as Error).message, true);
    }
  }

  /** Closes the connection, also during a request. The next request opens another one, at the next address. */
  leave(): void {
    this.#origin = this.place.origin();
    this.#request?.destroy();
    this.#agent.destroy();
  }
}

/** The body of an answer that reports an error (RFC 9457). */
interface Problem {
  readonly code: string;
  readonly detail: string;
  readonly retryable: boolean;
  readonly maybeDelivered: boolean;
}

export function readProblem({ body, headers }: Answer): Problem | null {
  if (!headers['content-type']?.startsWith('application/problem+json')) return null;
  try {
    return JSON.parse(body) as Problem;
  } catch {
    return null;
  }
}

/** How long an answer asks to wait, in milliseconds; null if it does not. */
export function retryAfterMs({ headers }: Answer): number | null {
  const seconds = Number(headers['retry-after'] ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds * 1_000 : null;
}

/** An answer that will not change if the request is repeated. */
export function explainRefusal(answer: Answer): string {
  const problem = readProblem(answer);
  return problem === null ? `${answer.status} ${answer.body}` : `${answer.status} ${problem.code}: ${problem.detail}`;
}
