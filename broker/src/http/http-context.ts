/** What the HTTP routes of a node share, and how a request finds out who sends it. */
import { endpointPath, type NodeCodec } from '@fanfare/protocol';
import { bearerOf, type HttpRefusal } from '../connection/handshake.js';
import type { HandshakePolicy } from '../connection/handshake-policy.js';
import type { Parts } from '../handlers/parts.js';
import type { Address } from '../limits/addresses.js';
import type { RequestSession, RequestSessions } from '../session/request-sessions.js';
import type { SessionContext } from '../session/session-context.js';
import type { Exchange, ExchangeContext } from './exchange.js';
import { Problem, problemOf, problemOfRefusal } from './problem.js';
import { type OnReply, RequestCaller } from './request-caller.js';

export interface HttpContext extends ExchangeContext {
  readonly parts: Parts;
  readonly policy: Pick<HandshakePolicy, 'judgePost' | 'judgeOrigin'>;
  /** Both are null without authentication. */
  readonly sessions: SessionContext | null;
  readonly requestSessions: RequestSessions | null;
  readonly json: NodeCodec;
  /** Longest body of one publication, or of a frame of commands. */
  readonly maxFrameBytes: number;
}

/** The sender of a request. */
export interface Sender {
  /** Null without authentication. */
  readonly session: RequestSession | null;
}

/** What a request may use before its token is checked. */
interface Admission {
  /** Which address an incomplete body counts for; null if none is counted. */
  readonly address: Address | null;
  /** Whether it has a valid API key. */
  readonly isService: boolean;
}

const anyone: Sender = { session: null };
const uncounted: Admission = { address: null, isService: false };

/** The token of `Authorization: Bearer`; null if there is none. */
export function tokenOf(exchange: Exchange): string | null {
  const authorization = exchange.header('authorization');
  return authorization === '' ? null : bearerOf(authorization);
}

/**
 * Finds out who sends a request, then calls `next`: at once if the token is known, otherwise when it is checked. A
 * request that is not accepted is answered here. Returns null if it has been answered.
 */
export function identify(exchange: Exchange, context: HttpContext, next: (sender: Sender) => void): Admission | null {
  const { requestSessions, policy } = context;
  const refuse = (refusal: HttpRefusal): null => {
    exchange.refuse(problemOfRefusal(refusal));
    return null;
  };
  const origin = exchange.header('origin');
  if (origin !== '') {
    const refusal = policy.judgeOrigin(origin);
    if (refusal !== null) return refuse(refusal);
  }
  if (requestSessions === null) {
    next(anyone);
    return uncounted;
  }
  const token = tokenOf(exchange);
  const known = token === null ? null : requestSessions.known(token);
  if (known !== null) {
    next({ session: known });
    return { address: null, isService: known.identity.isService };
  }
  let isService = false;
  const judgement = policy.judgePost(exchange.requester, () => {
    isService = token !== null && requestSessions.isService(token);
    return isService;
  });
  if ('status' in judgement) return refuse(judgement);
  requestSessions.open(token).then(
    (session) => {
      if (exchange.isOpen) next({ session });
    },
    (error) => exchange.refuse(problemOf(error, false)),
  );
  return { address: judgement.address, isService };
}

/** Reads the body and finds out who sends it, whichever is done last. `onBody` as in {@link Exchange.readBody}. */
export function receive(
  exchange: Exchange,
  context: HttpContext,
  most: number,
  onBody: (body: Uint8Array, sender: Sender) => void,
): void {
  let sender: Sender | null = null;
  let body: Uint8Array | null = null;
  const admission = identify(exchange, context, (found) => {
    sender = found;
    if (body !== null) onBody(body, found);
  });
  if (admission === null) return;
  exchange.readBody(most, admission.address, admission.isService, (bytes) => {
    if (sender !== null) onBody(bytes, sender);
    // A copy: the bytes are valid only now.
    else body = bytes.slice();
  });
}

export function callerOf({ session }: Sender, context: HttpContext, onReply: OnReply): RequestCaller {
  return new RequestCaller(session, context.sessions, context.parts, onReply);
}

/** For paths that no route has. */
export const notFound = new Problem(
  'notFound',
  `Not found. GET /v1/openapi.json lists the paths; the WebSocket endpoint is ${endpointPath}.`,
);
