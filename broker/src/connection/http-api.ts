/** POST requests on the port of the clients: limits, reading the body, and the answer in time. */
import type { HttpRequest, HttpResponse } from 'uWebSockets.js';
import { bearerOf, type HttpRefusal, type Requester, refuseDraining } from './handshake.js';
import type { HandshakePolicy } from './handshake-policy.js';
import { headersOf, requesterOf, sendJson } from './http.js';
import { type OpenRequest, OpenRequests, requestTimeoutMs } from './open-requests.js';

export interface ApiRequest {
  /** The token of `Authorization: Bearer`; null if there is none. */
  readonly token: string | null;
  readonly body: string;
}

/** Answers POST requests with JSON. */
export interface Api {
  readonly paths: readonly string[];
  /**
   * Whether the token is a valid API key of this node. Called before the limits, for each request: it must cost little.
   */
  isService(token: string): boolean;
  answer(path: string, request: ApiRequest): Promise<{ readonly status: string; readonly body: unknown }>;
}

const maxBodyBytes = 4_096;

const bodyTooLong: HttpRefusal = {
  status: '413 Content Too Large',
  headers: {},
  sentence: `The body is longer than ${maxBodyBytes} bytes.`,
};

const bodyNotInTime: HttpRefusal = {
  status: '408 Request Timeout',
  headers: {},
  sentence: `The node did not receive the whole body within ${requestTimeoutMs / 1_000} s. Send it with Content-Length and without chunk extensions.`,
};

const noAnswerInTime: HttpRefusal = {
  status: '504 Gateway Timeout',
  headers: {},
  sentence: `The node did not finish within ${requestTimeoutMs / 1_000} s. The request may or may not have taken effect.`,
};

export class HttpApi {
  readonly #openRequests = new OpenRequests();

  constructor(
    private readonly api: Api,
    private readonly policy: HandshakePolicy,
    private readonly refuse: (response: HttpResponse, refusal: HttpRefusal, requester: Requester) => void,
  ) {}

  get paths(): readonly string[] {
    return this.api.paths;
  }

  /** Answers the requests that take too long. Call this about once a second, with performance.now(). */
  expire(nowMs: number): void {
    this.#openRequests.expire(nowMs);
  }

  onPost(path: string, response: HttpResponse, request: HttpRequest, isDraining: boolean): void {
    const { api } = this;
    const header = headersOf(request);
    const requester = requesterOf(response, header);
    const token = bearerOf(header('authorization'));
    let isService = false;
    const checkService = (): boolean => {
      isService = token !== null && api.isService(token);
      return isService;
    };
    const judgement = isDraining ? refuseDraining : this.policy.judgePost(requester, checkService);
    if ('status' in judgement) return this.refuse(response, judgement, requester);
    const { address } = judgement;
    const tooMany = this.#openRequests.judge(address, isService);
    if (tooMany !== null) return this.refuse(response, tooMany, requester);
    let isComplete = false;
    // The code that removes a request from the open requests answers it, so each request gets one answer.
    const open: OpenRequest = { address, expire: () => refuse(isComplete ? noAnswerInTime : bodyNotInTime) };
    const refuse = (refusal: HttpRefusal): void => {
      if (this.#openRequests.delete(open)) this.refuse(response, refusal, requester);
    };
    this.#openRequests.add(open, performance.now());
    response.onAborted(() => this.#openRequests.delete(open));
    const pieces: Buffer[] = [];
    let length = 0;
    response.onData((piece, isLast) => {
      if (!this.#openRequests.has(open)) return;
      length += piece.byteLength;
      // The rest of the body is not read: the answer ends the connection.
      if (length > maxBodyBytes) return refuse(bodyTooLong);
      // A copy: uWebSockets reuses its memory.
      pieces.push(Buffer.from(piece.slice(0)));
      if (!isLast) return;
      isComplete = true;
      void api.answer(path, { token, body: Buffer.concat(pieces).toString('utf8') }).then(({ status, body }) => {
        if (this.#openRequests.delete(open)) sendJson(response, status, body);
      });
    });
  }
}
