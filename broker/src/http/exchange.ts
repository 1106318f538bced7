/** One HTTP request and its answer. */
import type { HttpRequest, HttpResponse } from 'uWebSockets.js';
import type { Requester } from '../connection/handshake.js';
import { endWithoutBody, remoteAddressOf } from '../connection/http.js';
import type { Address } from '../limits/addresses.js';
import { type OpenRequest, type OpenRequests, requestTimeoutMs } from './open-requests.js';
import { Problem } from './problem.js';

/** What all requests of a node share. */
export interface ExchangeContext {
  readonly openRequests: OpenRequests;
  /** Whether the node is about to stop: answers then ask clients to close the connection. */
  isDraining(): boolean;
  /** Called for each request that is answered with a problem; null if nobody listens. */
  readonly onRefused: ((requester: Requester, problem: Problem) => void) | null;
  /** Called for each answer, for metrics. */
  onAnswered(route: string, status: number): void;
  /** Called for an unexpected error: a bug. */
  onBug(error: unknown): void;
}

/** Request headers that requests of a node use, by their names in lower case. Empty if missing. */
class Head {
  accept = '';
  authorization = '';
  'content-type' = '';
  cookie = '';
  'fanfare-client' = '';
  'idempotency-key' = '';
  'last-event-id' = '';
  origin = '';
  'sec-fetch-site' = '';
  traceparent = '';
  'x-forwarded-for' = '';
}

type HeaderName = keyof Head;

/** A W3C `traceparent` (Trace Context section 3.2). */
const traceparentGrammar = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

export const exposedHeaders = 'Fanfare-Position, Retry-After, traceparent';

export type Headers = Readonly<Record<string, string>>;

const noHeaders: Headers = {};

export class Exchange {
  /** The first parameter of the path, decoded; empty if there is none. */
  readonly parameter: string;
  readonly query: string;
  readonly isHead: boolean;
  readonly #head = new Head();
  readonly #response: HttpResponse;
  readonly #context: ExchangeContext;
  readonly #route: string;
  #isOpen = true;
  /** While its body is incomplete. */
  #openRequest: OpenRequest | null = null;
  #onGone: (() => void) | null = null;
  #isCredentialed = false;

  /** `route`: its name in metrics. Must be called in the handler of the request. */
  constructor(context: ExchangeContext, route: string, response: HttpResponse, request: HttpRequest) {
    this.#context = context;
    this.#route = route;
    this.#response = response;
    const head = this.#head;
    // Several lines of one name are one list (RFC 9110 section 5.3). `getHeader` would return only the first.
    request.forEach((name, value) => {
      if (!(name in head)) return;
      const before = head[name as HeaderName];
      head[name as HeaderName] = before === '' ? value : `${before}, ${value}`;
    });
    this.isHead = request.getMethod() === 'head';
    this.parameter = decoded(request.getParameter(0) ?? '');
    this.query = request.getQuery() ?? '';
    response.onAborted(() => {
      this.#isOpen = false;
      this.#closeRequest();
      this.#onGone?.();
    });
  }

  /** Whether the request can still be answered. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  header(name: HeaderName): string {
    return this.#head[name];
  }

  get requester(): Requester {
    return {
      origin: this.#head.origin,
      remoteAddress: this.#isOpen ? remoteAddressOf(this.#response) : '',
      forwardedFor: this.#head['x-forwarded-for'],
    };
  }

  /** `onGone`: called if the client goes away before the answer. */
  set onGone(onGone: () => void) {
    this.#onGone = onGone;
  }

  /**
   * Reads the body. `onBody` gets bytes that are valid until it returns. A body that is too long or too slow is
   * answered here. `address`: which client an incomplete body counts for; `isService`: whether it has a valid API key.
   */
  readBody(most: number, address: Address | null, isService: boolean, onBody: (body: Uint8Array) => void): void {
    const { openRequests } = this.#context;
    const pieces: Buffer[] = [];
    let length = 0;
    this.#openRequest = { address, expire: () => this.refuse(bodyNotInTime) };
    openRequests.add(this.#openRequest, performance.now());
    this.#response.onData((piece, isLast) => {
      if (!this.#isOpen) return;
      length += piece.byteLength;
      if (length > most) {
        // The rest of the body is read and dropped: closing the connection now would reset it, and the client could
        // not read the answer.
        return this.refuse(
          new Problem('contentTooLarge', `The body is longer than ${most} bytes.`, { members: { maxBytes: most } }),
        );
      }
      if (isLast) {
        this.#closeRequest();
        if (pieces.length === 0) return onBody(new Uint8Array(piece));
      } else if (pieces.length === 0) {
        // Most bodies arrive whole, and are not refused because others are slow.
        const tooMany = openRequests.judge(address, isService);
        if (tooMany !== null) return this.refuse(tooMany);
      }
      // A copy: uWebSockets reuses its memory.
      pieces.push(Buffer.from(piece.slice(0)));
      if (isLast) onBody(Buffer.concat(pieces));
    });
  }

  #closeRequest(): void {
    if (this.#openRequest !== null) this.#context.openRequests.delete(this.#openRequest);
    this.#openRequest = null;
  }

  /** Answers with JSON. */
  answer(status: string, body: string, headers: Headers = noHeaders): void {
    this.#end(status, 'application/json', body, headers);
  }

  /** Answers without a body. */
  answerEmpty(status: string, headers: Headers = noHeaders): void {
    this.#end(status, '', '', headers);
  }

  /**
   * Begins an answer that stays open, with the first chunk of its body, and hands over the response. The caller replaces
   * its abort handler. `headers` has `Cache-Control`.
   */
  begin(headers: Headers, chunk: string): HttpResponse {
    this.#isOpen = false;
    const response = this.#response;
    response.cork(() => {
      for (const name in headers) response.writeHeader(name, headers[name] as string);
      this.#writeCommon();
      response.write(chunk);
    });
    this.#context.onAnswered(this.#route, Number.parseInt(ok, 10));
    return response;
  }

  /** Lets the page of this origin read an answer to a request with a cookie. The origin is allowed by name. */
  allowCredentials(): void {
    this.#isCredentialed = true;
  }

  /** Reports a refusal that is answered in another form than {@link refuse}. */
  report(problem: Problem): void {
    this.#context.onRefused?.(this.requester, problem);
  }

  /** Answers with an error. */
  refuse(problem: Problem): void {
    if (!this.#isOpen) return;
    this.report(problem);
    const status = `${problem.status} ${problem.body['title']}`;
    this.#end(status, 'application/problem+json', JSON.stringify(problem.body), problem.headers);
  }

  /** Answers an error that was thrown. */
  fail(error: unknown): void {
    if (error instanceof Problem) return this.refuse(error);
    this.#context.onBug(error);
    this.refuse(new Problem('internal', 'Internal error. See the log of the node.'));
  }

  #end(status: string, contentType: string, body: string, headers: Headers): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#closeRequest();
    const response = this.#response;
    const context = this.#context;
    // The rest of a body that did not arrive in time would be read as the next request.
    const mustClose = context.isDraining() || status.startsWith('408');
    response.cork(() => {
      if (status !== ok) response.writeStatus(status);
      if (contentType !== '') response.writeHeader('Content-Type', contentType);
      for (const name in headers) response.writeHeader(name, headers[name] as string);
      response.writeHeader('Cache-Control', 'no-store');
      this.#writeCommon();
      if (this.isHead) endWithoutBody(response, Buffer.byteLength(body));
      else response.end(body, mustClose);
    });
    context.onAnswered(this.#route, Number.parseInt(status, 10));
  }

  /** Headers of every answer: for pages of other origins, and for traces. */
  #writeCommon(): void {
    const { origin, traceparent } = this.#head;
    const response = this.#response;
    if (this.#isCredentialed) response.writeHeader('Vary', 'Origin');
    if (origin !== '') {
      // Pages of origins that are not allowed only get errors, which contain no secret.
      response.writeHeader('Access-Control-Allow-Origin', this.#isCredentialed ? origin : '*');
      if (this.#isCredentialed) response.writeHeader('Access-Control-Allow-Credentials', 'true');
      response.writeHeader('Access-Control-Expose-Headers', exposedHeaders);
    }
    if (traceparent !== '' && traceparentGrammar.test(traceparent)) response.writeHeader('traceparent', traceparent);
  }
}

export const ok = '200 OK';

const bodyNotInTime = new Problem(
  'requestTimeout',
  `The node did not receive the whole body within ${requestTimeoutMs / 1_000} s. Send it with Content-Length and without chunk extensions.`,
);

/** A part of the path without its percent-encoding. An invalid encoding stays: it is in no valid topic. */
function decoded(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
