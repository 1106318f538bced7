/** Whether a request may become a response that stays open, and what that costs. */
import { ReplyError } from '@fanfare/protocol';
import type { Exchange } from '../http/exchange.js';
import { type Problem, problemOf, problemOfRefusal } from '../http/problem.js';
import type { Address } from '../limits/addresses.js';
import type { Credential } from '../session/authentication.js';
import type { StreamContext } from './stream-context.js';

interface Admission {
  /** Null if it is not counted. */
  readonly address: Address | null;
  readonly credential: Credential | null;
}

/**
 * Counts one more connection, or says why there cannot be one. After each publication, all clients that poll return at
 * once. So a token that is known costs no handshake: the rate of its subject limits it. `isBrief`: it is a long poll.
 */
export function admit(
  exchange: Exchange,
  { host, requestSessions, counters }: StreamContext,
  credential: Credential | null,
  isBrief: boolean,
): Admission | Problem {
  const accepted = credential?.kind === 'token' ? (requestSessions?.accepted(credential.text) ?? null) : null;
  const exceeded = accepted?.session.subject?.exceededCommandRate(performance.now()) ?? null;
  if (exceeded !== null) {
    counters.commandsLimited++;
    return problemOf(rateLimited(exceeded.retryAfterMs), false);
  }
  // Without authentication, no request costs anything.
  const isFree = accepted !== null || (requestSessions === null && isBrief);
  const admitted = host.admit(exchange.requester, isFree ? 'nothing' : 'request');
  if ('status' in admitted) return problemOfRefusal(admitted);
  const { address } = admitted;
  if (accepted === null || credential === null) return { address, credential };
  const { session, asksHook } = accepted;
  // The hook learns the name of each connection that lasts.
  const isAsked = asksHook || !isBrief;
  return {
    address,
    credential: { kind: 'accepted', text: credential.text, identity: session.identity, asksHook: isAsked },
  };
}

/** The subject has sent too many commands. */
export function rateLimited(retryAfterMs: number): ReplyError {
  return new ReplyError('rateLimited', `Rate limit exceeded. Retry in ${retryAfterMs} ms.`, retryAfterMs);
}
