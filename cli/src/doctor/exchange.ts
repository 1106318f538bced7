/** HTTP requests of the doctor: each on a connection that stays open, without checking the certificate again. */
import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  /** The body as JSON; null if it is not. */
  readonly json: unknown;
  /** Whether the connection of an earlier request was used again. */
  readonly isReused: boolean;
  readonly ms: number;
}

interface Options {
  readonly method?: 'GET' | 'POST';
  readonly token?: string | null;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Longest body that is read. */
const maxBodyBytes = 1_048_576;

export class Exchanges {
  readonly #agents = {
    'http:': new HttpAgent({ keepAlive: true, maxSockets: 1 }),
    'https:': new HttpsAgent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false }),
  };

  constructor(private readonly timeoutMs: number) {}

  /** Rejects if there is no complete answer in time. */
  ask(url: URL, options: Options = {}): Promise<Answer> {
    const startedAt = performance.now();
    return new Promise((resolve, reject) => {
      const request = this.#open(url, options, (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          body += chunk;
          if (body.length > maxBodyBytes) request.destroy(new Error('the answer is too long'));
        });
        response.on('error', reject);
        response.on('end', () => {
          clearTimeout(timer);
          const { statusCode: status = 0, headers } = response;
          const ms = performance.now() - startedAt;
          resolve({ status, headers, body, json: parsed(body), isReused: request.reusedSocket, ms });
        });
      });
      const timer = setTimeout(() => {
        request.destroy(new Error(`no answer within ${this.timeoutMs / 1_000} s`));
      }, this.timeoutMs);
      request.on('error', (error) => {
        clearTimeout(timer);
        reject(error);
      });
    });
  }

  /** Sends a request, and hands over the answer when its headers are there. */
  open(url: URL, options: Options, onResponse: (response: IncomingMessage) => void) {
    return this.#open(url, options, onResponse, false);
  }

  close(): void {
    for (const agent of Object.values(this.#agents)) agent.destroy();
  }

  #open(url: URL, options: Options, onResponse: (response: IncomingMessage) => void, isKept = true) {
    const { method = 'GET', token = null, body, headers = {} } = options;
    const text = body === undefined ? null : JSON.stringify(body);
    const common = {
      method,
      headers: {
        'User-Agent': 'fanfare-doctor',
        ...headers,
        ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
        ...(text === null ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }),
      },
    };
    const isTls = url.protocol === 'https:';
    const agent = isKept ? this.#agents[isTls ? 'https:' : 'http:'] : false;
    const request = isTls
      ? requestHttps(url, { ...common, agent: agent as HttpsAgent | false, rejectUnauthorized: false }, onResponse)
      : requestHttp(url, { ...common, agent }, onResponse);
    request.end(text ?? undefined);
    return request;
  }
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}

/** What a server says in its answer: the problem's detail, a line of plain text, or nothing for a page of HTML. */
export function sentenceIn({ headers, body, json }: Pick<Answer, 'headers' | 'body' | 'json'>): string {
  const { detail } = (json ?? {}) as { readonly detail?: unknown };
  if (typeof detail === 'string') return detail;
  return headers['content-type']?.startsWith('text/plain') === true ? body.trim().slice(0, 300) : '';
}
