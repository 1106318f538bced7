/** What the HTTP routes of a node share, and how a request finds out who sends it. */
import type { NodeCodec } from '@fanfare/protocol';
import { bearerOf, type HttpRefusal } from '../connection/handshake.js';
import type { HandshakePolicy } from '../connection/handshake-policy.js';
import type { Parts } from '../handlers/parts.js';
import type { RequestSession, RequestSessions } from '../session/request-sessions.js';
import type { SessionContext } from '../session/session-context.js';
import type { Exchange, ExchangeContext } from './exchange.js';
import type { RequestOwner } from './open-requests.js';
import { problemOf, problemOfRefusal } from './problem.js';
import { type ReplyReader, RequestCaller } from './request-caller.js';

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
  /** Whom an incomplete body counts for; null if it is not counted. */
  readonly owner: RequestOwner | null;
  /** Whether it has a valid API key. */
  readonly isService: boolean;
}

/** What waits for the sender of a request. */
export interface SenderReader {
  onSender(sender: Sender): void;
}

/** Without authentication. */
const anyone: Sender = { session: null };
const uncounted: Admission = { owner: null, isService: false };

/** The token of `Authorization: Bearer`; null if there is none. */
export function tokenOf(exchange: Exchange): string | null {
  const authorization = exchange.header('authorization');
  return authorization === '' ? null : bearerOf(authorization);
}

/**
 * Finds out who sends a request: at once if the token is known, otherwise when it is checked. A request that is not
 * accepted is answered here. Returns null if it has been answered. Call it in the handler of the request.
 */
export function identify(exchange: Exchange, context: HttpContext, reader: SenderReader): Admission | null {
  const { requestSessions, policy } = context;
  const refusal = policy.judgeOrigin(exchange.origin);
  if (refusal !== null) return refuse(exchange, refusal);
  if (requestSessions === null) {
    reader.onSender(anyone);
    return uncounted;
  }
  const token = tokenOf(exchange);
  const known = token === null ? null : requestSessions.known(token);
  if (known !== null) {
    reader.onSender({ session: known });
    return { owner: known.subject, isService: known.identity.isService };
  }
  // Checking a token again costs the client nothing, so that a service is not refused once a minute.
  const admission =
    token !== null && requestSessions.isRenewal(token)
      ? { owner: null, isService: requestSessions.isService(token) }
      : judge(exchange, context, token);
  if ('status' in admission) return refuse(exchange, admission);
  requestSessions.open(token).then(
    (session) => {
      if (exchange.isOpen) reader.onSender({ session });
    },
    (error) => exchange.refuse(problemOf(error, false)),
  );
  return admission;
}

/** Judges a request whose token is not known. */
function judge(exchange: Exchange, context: HttpContext, token: string | null): Admission | HttpRefusal {
  let isService = false;
  const judgement = context.policy.judgePost(exchange.requester, () => {
    isService = token !== null && context.requestSessions?.isService(token) === true;
    return isService;
  });
  return 'status' in judgement ? judgement : { owner: judgement.address, isService };
}

function refuse(exchange: Exchange, refusal: HttpRefusal): null {
  exchange.refuse(problemOfRefusal(refusal));
  return null;
}

export function callerOf({ session }: Sender, context: HttpContext, reader: ReplyReader): RequestCaller {
  return new RequestCaller(session, context.sessions, context.parts, reader);
}
