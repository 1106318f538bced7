/** One HTTP request and its answer. */
import type { HttpRequest, HttpResponse } from 'uWebSockets.js';
import type { Requester } from '../connection/handshake.js';
import { endWithoutBody, remoteAddressOf } from '../connection/http.js';
import { type OpenRequest, type OpenRequests, type RequestOwner, requestTimeoutMs } from './open-requests.js';
import { Problem } from './problem.js';

/** What all requests of a node share. */
export interface ExchangeContext {
  readonly openRequests: OpenRequests;
  /** How many requests are not answered yet. */
  readonly unanswered: { count: number };
  /** Whether clients should close their connections: the node is about to stop, or has many idle sockets. */
  mustClose(): boolean;
  /** Whether the node accepts no more requests, because it closes its parts. */
  isStopping(): boolean;
  /** Called for each request that is answered with a problem; null if nobody listens. */
  readonly onRefused: ((requester: Requester, problem: Problem) => void) | null;
  /** Called for each answer, for metrics. `beganAtMs`: when its body began, by performance.now(); 0 if it has none. */
  onAnswered(route: string, status: number, beganAtMs: number): void;
  /** Called for an unexpected error: a bug. */
  onBug(error: unknown): void;
}

/** Request headers that a node uses, by their names in lower case. */
const headerNames = [
  ...(['accept', 'authorization', 'content-type', 'cookie', 'fanfare-client', 'idempotency-key'] as const),
  ...(['last-event-id', 'origin', 'sec-fetch-site', 'traceparent', 'x-forwarded-for'] as const),
] as const;

type HeaderName = (typeof headerNames)[number];

/** What reads a body. */
export interface BodyReader {
  /** The whole body, in bytes that are valid until this returns. Throws Problem. */
  onBody(body: Uint8Array): void;
}

/** What answers a request later. */
interface AnswerHolder {
  /** The client is gone. */
  onAborted(): void;
}

/** A W3C `traceparent` (Trace Context section 3.2). */
const traceparentGrammar = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

const exposedHeaders = 'Fanfare-Position, Retry-After, traceparent';

type Headers = Readonly<Record<string, string>>;

const noHeaders: Headers = {};

/**
 * A request has few objects, and reads only the headers that it needs: publishing is as frequent over HTTP as over a
 * WebSocket.
 */
export class Exchange implements OpenRequest {
  readonly isHead: boolean;
  readonly #response: HttpResponse;
  readonly #context: ExchangeContext;
  readonly #route: string;
  /** Null when its handler has returned. */
  #request: HttpRequest | null;
  /** Headers that are read after the handler has returned; null if there are none. */
  #kept: Map<string, string> | null = null;
  /** Empty if there is none: the request is not from a page. */
  readonly origin: string;
  readonly #traceparent: string;
  #isOpen = true;
  #holder: AnswerHolder | null = null;
  #isCredentialed = false;

  // The body.
  owner: RequestOwner | null = null;
  heldBytes = 0;
  beganAtMs = 0;
  #isService = false;
  /** True if there is none. */
  #isBodyRead: boolean;
  #maxBytes = 0;
  #bodyReader: BodyReader | null = null;
  #bodyBytes = 0;
  /** What arrived of the body, if it did not arrive whole. */
  #pieces: Buffer[] | null = null;

  /** `route`: its name in metrics. `method`: in lower case. Must be called in the handler of the request; {@link endHandler} ends it. */
  constructor(context: ExchangeContext, route: string, response: HttpResponse, request: HttpRequest, method: string) {
    this.#context = context;
    this.#route = route;
    this.#response = response;
    this.#request = request;
    this.isHead = method === 'head';
    this.#isBodyRead = this.isHead || method === 'get' || method === 'options';
    this.origin = request.getHeader('origin');
    this.#traceparent = request.getHeader('traceparent');
    context.unanswered.count++;
    // A bound function takes half the memory of an arrow function.
    response.onAborted(this.#onAborted.bind(this));
  }

  /** Whether the request can still be answered. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** The first parameter of the path, decoded. Only in the handler. */
  get parameter(): string {
    return decoded(this.#inHandler.getParameter(0) ?? '');
  }

  /** Only in the handler. */
  get query(): string {
    return this.#inHandler.getQuery() ?? '';
  }

  /** Empty if it is missing. Only in the handler, or after {@link keepHeaders}. */
  header(name: HeaderName): string {
    return this.#kept === null ? this.#inHandler.getHeader(name) : (this.#kept.get(name) ?? '');
  }

  /** Keeps all headers, for a request that is answered later. Only in the handler. */
  keepHeaders(): void {
    const kept = new Map<string, string>();
    for (const name of headerNames) kept.set(name, this.#inHandler.getHeader(name));
    kept.set('x-forwarded-for', this.#forwardedFor());
    this.#kept = kept;
  }

  /** Keeps no headers any more: a request that waits for long should take little memory. */
  forgetHeaders(): void {
    this.#kept = null;
  }

  /** Who sends the request. Only in the handler, or after {@link keepHeaders}. */
  get requester(): Requester {
    return {
      origin: this.origin,
      remoteAddress: this.#isOpen ? remoteAddressOf(this.#response) : '',
      forwardedFor: this.#kept?.get('x-forwarded-for') ?? this.#forwardedFor(),
    };
  }

  get #inHandler(): HttpRequest {
    if (this.#request === null) throw new Error('The head of a request is read in its handler.');
    return this.#request;
  }

  /**
   * All lines of the header are one list (RFC 9110 section 5.3). With the first line only, a client could hide the
   * line of a proxy behind its own. Empty after the handler.
   */
  #forwardedFor(): string {
    let all = '';
    this.#request?.forEach((name, value) => {
      if (name === 'x-forwarded-for') all = all === '' ? value : `${all}, ${value}`;
    });
    return all;
  }

  /** The handler has returned: uWebSockets uses the request for another one. */
  endHandler(): void {
    this.#request = null;
  }

  /** Who answers later. */
  set holder(holder: AnswerHolder) {
    this.#holder = holder;
  }

  #onAborted(): void {
    this.#leave();
    this.#holder?.onAborted();
  }

  /**
   * Reads the body. One that is too long or too slow is answered here. `most`: its maximum length in bytes. `owner`: whom
   * an incomplete body counts for; `isService`: whether it has a valid API key.
   */
  readBody(most: number, owner: RequestOwner | null, isService: boolean, reader: BodyReader): void {
    this.#maxBytes = most;
    this.owner = owner;
    this.#isService = isService;
    this.#bodyReader = reader;
    this.#context.openRequests.add(this);
    this.#response.onData((piece, isLast) => this.#onData(piece, isLast));
  }

  #onData(piece: ArrayBuffer, isLast: boolean): void {
    if (!this.#isOpen) return;
    const { openRequests } = this.#context;
    this.#bodyBytes += piece.byteLength;
    if (this.#bodyBytes > this.#maxBytes) {
      this.#pieces = null;
      // The rest of the body is read and dropped: closing the connection now would reset it, and the client could not
      // read the answer.
      const members = { maxBytes: this.#maxBytes };
      return this.refuse(
        new Problem('contentTooLarge', `The body is longer than ${this.#maxBytes} bytes.`, { members }),
      );
    }
    if (isLast) {
      this.#isBodyRead = true;
      openRequests.delete(this);
      if (this.#pieces === null) return this.#hand(new Uint8Array(piece));
    } else {
      // Most bodies arrive whole, and are not refused because others are slow.
      const tooMany = openRequests.judge(this, this.#isService);
      if (tooMany !== null) return this.refuse(tooMany);
    }
    this.#pieces ??= [];
    // A copy: uWebSockets reuses its memory.
    this.#pieces.push(Buffer.from(piece.slice(0)));
    openRequests.hold(this, piece.byteLength);
    if (isLast) this.#hand(Buffer.concat(this.#pieces));
  }

  /** The body is complete, but has to wait. Returns false if there is no room for it, and the request is answered. */
  holdBody(bytes: number): boolean {
    const { openRequests } = this.#context;
    openRequests.hold(this, bytes);
    const tooMany = openRequests.judge(this, this.#isService);
    if (tooMany !== null) this.refuse(tooMany);
    return tooMany === null;
  }

  #hand(body: Uint8Array): void {
    try {
      this.#bodyReader?.onBody(body);
    } catch (error) {
      this.fail(error);
    }
  }

  /** The body takes too long. */
  expire(): void {
    this.refuse(bodyNotInTime);
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
    this.#leave();
    const response = this.#response;
    response.cork(() => {
      for (const name in headers) response.writeHeader(name, headers[name] as string);
      this.#writeCommon();
      response.write(chunk);
    });
    this.#context.onAnswered(this.#route, Number.parseInt(ok, 10), this.beganAtMs);
    return response;
  }

  /** Answers with events that end at once, and closes the connection. `headers` has `Content-Type`. */
  answerLast(body: string, headers: Headers): void {
    this.#end(ok, '', body, headers, true);
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
    // A cache may otherwise keep a 404.
    const headers = { ...notStored, ...problem.headers };
    this.#end(status, 'application/problem+json', JSON.stringify(problem.body), headers, problem.closes);
  }

  /** Answers an error that was thrown. */
  fail(error: unknown): void {
    if (error instanceof Problem) return this.refuse(error);
    this.#context.onBug(error);
    this.refuse(new Problem('internal', 'Internal error. See the log of the node.'));
  }

  #end(status: string, contentType: string, body: string, headers: Headers, closes = false): void {
    if (!this.#isOpen) return;
    this.#leave();
    this.#response.cork(() => this.#write(status, contentType, body, headers, closes));
    this.#context.onAnswered(this.#route, Number.parseInt(status, 10), this.beganAtMs);
  }

  /** It can be answered no more. */
  #leave(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#context.unanswered.count--;
    // It may be answered before its body is complete.
    this.#context.openRequests.delete(this);
    this.#context.openRequests.release(this);
  }

  #write(status: string, contentType: string, body: string, headers: Headers, closes: boolean): void {
    const response = this.#response;
    if (status !== ok) response.writeStatus(status);
    if (contentType !== '') response.writeHeader('Content-Type', contentType);
    for (const name in headers) response.writeHeader(name, headers[name] as string);
    this.#writeCommon();
    if (this.isHead) return endWithoutBody(response, Buffer.byteLength(body));
    // The rest of a body that did not arrive in time would be read as the next request. In other cases, a connection
    // that is closed before the body is read is reset, and the client could not read the answer.
    const mustClose = status.startsWith('408') || (this.#isBodyRead && (closes || this.#context.mustClose()));
    response.end(body, mustClose);
  }

  /** Headers of every answer: for pages of other origins, and for traces. */
  #writeCommon(): void {
    const response = this.#response;
    const origin = this.origin;
    if (this.#isCredentialed) response.writeHeader('Vary', 'Origin');
    if (origin !== '') {
      // Pages of origins that are not allowed only get errors, which contain no secret.
      response.writeHeader('Access-Control-Allow-Origin', this.#isCredentialed ? origin : '*');
      if (this.#isCredentialed) response.writeHeader('Access-Control-Allow-Credentials', 'true');
      response.writeHeader('Access-Control-Expose-Headers', exposedHeaders);
    }
    const traceparent = this.#traceparent;
    if (traceparent !== '' && traceparentGrammar.test(traceparent)) response.writeHeader('traceparent', traceparent);
  }
}

/** Headers of answers to GET, which caches would otherwise keep. Answers to POST are never kept (RFC 9111). */
export const notStored: Headers = { 'Cache-Control': 'no-store' };

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
