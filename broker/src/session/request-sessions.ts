/**
 * Who sends an HTTP request. A request has no connection that could remember its token, so accepted tokens are
 * remembered here for a while. Used only if the node requires authentication.
 */
import { ReplyError, type Topic } from '@fanfare/protocol';
import { AuthError } from '../auth/auth-error.js';
import { refuseOutdated } from '../auth/auth-store.js';
import type { Identity } from '../auth/identity.js';
import type { Action } from '../auth/permissions.js';
import type { Subject } from '../limits/subjects.js';
import { type IdScope, scopeOf } from '../relay/scoped-id.js';
import { publisherOf, reasonOf, refusalOf, subjectNameOf } from './authentication.js';
import type { GateSession } from './command-gate.js';
import type { SessionContext } from './session-context.js';

/** How long a node uses the answer of the hook about `connect` for the requests of a token, in milliseconds. */
const hookAnswerMs = 60_000;

/** The maximum number of remembered tokens. One more makes the node forget the one that was accepted first. */
const maxRememberedTokens = 10_000;

/** The sender of one request. */
export class RequestSession implements GateSession {
  readonly state = 'authenticated';
  /** A request has no connection. */
  readonly id = null;

  constructor(
    readonly identity: Identity,
    /** Null for services, which have no limits. */
    readonly subject: Subject | null,
    readonly idScope: IdScope,
    private readonly context: SessionContext,
  ) {}

  /** Why the token is not accepted any more; null if it is. */
  get refusal(): ReplyError | null {
    return refusalOfIdentity(this.identity, this.context);
  }

  /** How long the token is still valid, in milliseconds; null if it does not expire. */
  get expiresInMs(): number | null {
    const { expiresAtMs } = this.identity;
    return expiresAtMs === null ? null : Math.max(0, expiresAtMs - Date.now());
  }

  allows(action: Action, topic: Topic): boolean {
    return this.identity.permissions.allows(action, topic);
  }

  beginWith(): void {
    // It has begun.
  }

  failUnreadable(): void {
    // The answer to the request says so.
  }
}

/**
 * A token that was accepted stays so until {@link RequestSessions.forget}. Its expiry, revocations and removed keys are
 * checked each time.
 */
interface Accepted {
  readonly identity: Identity;
  readonly idScope: IdScope;
  /** When the hook has to be asked again, by Date.now(). */
  readonly askAgainAt: number;
}

export class RequestSessions {
  readonly #accepted = new Map<string, Accepted>();
  /** Tokens that are being checked. */
  readonly #checks = new Map<string, Promise<Accepted>>();

  constructor(private readonly context: SessionContext) {}

  /** The session of a token that was accepted before; null if the token has to be checked with {@link open}. */
  known(token: string): RequestSession | null {
    const accepted = this.accepted(token);
    return accepted === null || accepted.asksHook ? null : accepted.session;
  }

  /**
   * The same for a response that stays open. `asksHook`: the hook has to be asked about `connect` again, if it wants to
   * be asked.
   */
  accepted(token: string): { readonly session: RequestSession; readonly asksHook: boolean } | null {
    const accepted = this.#accepted.get(token);
    if (accepted === undefined || !this.context.store.isCurrent) return null;
    if (refusalOfIdentity(accepted.identity, this.context) !== null) {
      this.#accepted.delete(token);
      return null;
    }
    const asksHook = Date.now() >= accepted.askAgainAt && this.context.hook?.asksAbout('connect') === true;
    return { session: this.#sessionOf(accepted), asksHook };
  }

  /** The token was accepted now, by the hook too. */
  remember(token: string, identity: Identity): void {
    this.#remember(token, acceptedNow(identity));
  }

  /** Whether the token was accepted before, or is being checked now: then a check costs the client nothing. */
  isRenewal(token: string): boolean {
    return this.#accepted.has(token) || this.#checks.has(token);
  }

  /** Every token has to be checked again: the rules have changed. */
  forget(): void {
    this.#accepted.clear();
  }

  /** Checks a token. Rejects with ReplyError if it is not accepted. */
  async open(token: string | null): Promise<RequestSession> {
    const { counters, onFailed } = this.context;
    try {
      if (token === null) {
        throw new ReplyError('unauthenticated', 'Send "Authorization: Bearer" with a token or API key.');
      }
      return this.#sessionOf(await this.#checkOnce(token));
    } catch (error) {
      counters.authenticationsFailed++;
      const known = this.#translated(error);
      onFailed(reasonOf(known));
      throw known;
    }
  }

  /** Whether the token is a valid API key of this node. Costs one hash. */
  isService(token: string): boolean {
    const identity = this.context.authenticator.serviceOf(token);
    return identity !== null && !this.context.revocations.has(identity, '');
  }

  /** Requests with one token wait for one check. */
  #checkOnce(token: string): Promise<Accepted> {
    let check = this.#checks.get(token);
    if (check === undefined) {
      check = this.#check(token).finally(() => this.#checks.delete(token));
      this.#checks.set(token, check);
    }
    return check;
  }

  async #check(token: string): Promise<Accepted> {
    const { authenticator, store, hook, counters } = this.context;
    refuseOutdated(store);
    const identity = await authenticator.authenticate(token);
    this.#requireAccess(identity);
    if (hook?.asksAbout('connect') === true) {
      const { issuer, subject } = identity;
      const decision = await hook.decide({ issuer, subject, event: 'connect', connection: null, topic: null });
      if (!decision.isAllowed) throw refusalOf(decision);
      // It may have been revoked meanwhile.
      this.#requireAccess(identity);
    }
    counters.authentications++;
    const accepted = acceptedNow(identity);
    this.#remember(token, accepted);
    return accepted;
  }

  #requireAccess(identity: Identity): void {
    const refusal = refusalOfIdentity(identity, this.context);
    if (refusal !== null) throw refusal;
  }

  #remember(token: string, accepted: Accepted): void {
    this.#accepted.delete(token);
    this.#accepted.set(token, accepted);
    if (this.#accepted.size <= maxRememberedTokens) return;
    for (const oldest of this.#accepted.keys()) {
      this.#accepted.delete(oldest);
      return;
    }
  }

  #sessionOf({ identity, idScope }: Accepted): RequestSession {
    const subject = identity.isService ? null : this.context.subjects.named(subjectNameOf(identity));
    return new RequestSession(identity, subject, idScope, this.context);
  }

  #translated(error: unknown): ReplyError {
    if (error instanceof ReplyError) return error;
    if (error instanceof AuthError) return new ReplyError(error.code, error.message);
    this.context.onBug(error);
    return new ReplyError('internal', 'Internal error while checking the token. See the log of the node.');
  }
}

function acceptedNow(identity: Identity): Accepted {
  return { identity, idScope: scopeOf(publisherOf(identity)), askAgainAt: Date.now() + hookAnswerMs };
}

/** Why a token that was valid is not accepted now; null if it is. */
function refusalOfIdentity(identity: Identity, { authenticator, revocations }: SessionContext): ReplyError | null {
  if (Date.now() >= (identity.acceptedUntilMs ?? Number.POSITIVE_INFINITY)) {
    return new ReplyError('tokenExpired', 'The token has expired.');
  }
  if (revocations.has(identity, '')) return new ReplyError('invalidToken', 'The token was revoked.');
  if (authenticator.accepts(identity)) return null;
  return new ReplyError('invalidToken', 'The issuer has removed the key that signed the token.');
}
