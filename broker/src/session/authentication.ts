/**
 * Who a connection belongs to, from its token to its end (PROTOCOL.md section 3). Used only if the node requires
 * authentication.
 */
import { type CloseReason, type Command, closeReasons, impossible, ReplyError, type Topic } from '@fanfare/protocol';
import { AuthError } from '../auth/auth-error.js';
import { refuseOutdated } from '../auth/auth-store.js';
import type { Decision } from '../auth/hook.js';
import type { Identity } from '../auth/identity.js';
import type { Action } from '../auth/permissions.js';
import type { Subject } from '../limits/subjects.js';
import { type IdScope, scopeOf } from '../relay/scoped-id.js';
import type { SessionContext } from './session-context.js';

/**
 * What a client brings to authenticate at the handshake. `resumed`: the credential in the id of an event, for a stream of
 * the same topics. `accepted`: a token that the node has checked before, and whether the hook has to be asked about it.
 */
export type Credential =
  | { readonly kind: 'accepted'; readonly text: string; readonly identity: Identity; readonly asksHook: boolean }
  | { readonly kind: 'token' | 'ticket'; readonly text: string }
  | { readonly kind: 'resumed'; readonly text: string; readonly topics: readonly Topic[] };

/** The connection, as this file needs it. */
export interface AuthenticationHost {
  /** The client is authenticated. `connect`: the command that contained the token; null if the handshake did. */
  onAuthenticated(connect: Command | null): void;
  /** A new token may have other permissions. */
  onPermissions(): void;
  refuse(command: Command | null, error: ReplyError): void;
  close(reason: CloseReason): void;
}

/** `new`: no token yet. `checking`: the token is being checked. */
type State = 'new' | 'checking' | 'authenticated' | 'closed';

export class Authentication {
  #id: string;
  #state: State = 'new';
  #identity: Identity | null = null;
  #subject: Subject | null = null;
  /** Null until something is published: most connections never publish. */
  #idScope: IdScope | null = null;
  #isRefreshing = false;
  /** Deadline for authentication, then for a refresh; milliseconds since the epoch. */
  #endsAtMs: number;

  constructor(
    private readonly context: SessionContext,
    private readonly host: AuthenticationHost,
  ) {
    this.#id = context.nextId();
    this.#endsAtMs = Date.now() + context.authTimeoutMs;
    context.unauthenticated++;
  }

  /**
   * Unique in the broker. A connection can be revoked by this name. A stream that is resumed has the name that it had
   * before.
   */
  get id(): string {
    return this.#id;
  }

  get state(): State {
    return this.#state;
  }

  /** Null until a token is accepted. */
  get identity(): Identity | null {
    return this.#identity;
  }

  /** The limits of the subject; null until a token is accepted, and for services, which have none. */
  get subject(): Subject | null {
    return this.#subject;
  }

  /** The scope of the messageIds. Before a token is accepted, each connection has its own. */
  get idScope(): IdScope {
    if (this.#identity === null) return scopeOf(this.id);
    this.#idScope ??= scopeOf(publisherOf(this.#identity));
    return this.#idScope;
  }

  /** How long the token is still valid, in milliseconds; null if it does not expire. */
  get expiresInMs(): number | null {
    const expiresAtMs = this.#identity?.expiresAtMs ?? null;
    return expiresAtMs === null ? null : Math.max(0, expiresAtMs - Date.now());
  }

  allows(action: Action, topic: Topic): boolean {
    return this.#identity?.permissions.allows(action, topic) === true;
  }

  /** Checks the credential of the handshake. */
  begin(credential: Credential): void {
    const asksHook = credential.kind !== 'accepted' || credential.asksHook;
    void this.#authenticateWith(() => this.#identify(credential), null, asksHook);
  }

  #identify(credential: Credential): Promise<Identity> {
    switch (credential.kind) {
      case 'token':
        return this.#verify(credential.text);
      case 'accepted':
        return Promise.resolve(credential.identity);
      case 'ticket':
        return this.#redeem(credential.text);
      case 'resumed':
        return this.#resume(credential.text, credential.topics);
      default:
        return impossible(credential);
    }
  }

  /** The first command of a connection without a credential in the handshake. It must be `connect` with a token. */
  beginWith(command: Command): void {
    if (command.type === 'connect' && command.token !== null) {
      const { token } = command;
      void this.#authenticateWith(() => this.#verify(token), command, true);
    } else {
      this.#fail(command, new ReplyError('unauthenticated', 'The first command must be "connect" with a token.'));
    }
  }

  /** The first command could not be read. The client has received the error. */
  failUnreadable(): void {
    this.#end(closeReasons.unauthenticated, 'The first command is malformed.');
  }

  /** Replaces the token. Rejects with ReplyError if the new one is not accepted; the old one then remains valid. */
  async refresh(token: string): Promise<void> {
    if (this.#isRefreshing) throw new ReplyError('rateLimited', 'Another refresh is in progress. Wait for its reply.');
    this.#isRefreshing = true;
    try {
      const identity = await this.#verify(token);
      if (this.#state !== 'authenticated') throw new ReplyError('unauthenticated', 'The connection is closed.');
      if (identity.subject !== this.#identity?.subject || identity.issuer !== this.#identity.issuer) {
        throw new ReplyError(
          'invalidToken',
          'The token belongs to a different subject. Open a separate connection for it.',
        );
      }
      this.#requireAccess(identity);
      this.#adopt(identity);
      this.host.onPermissions();
    } finally {
      this.#isRefreshing = false;
    }
  }

  /**
   * Closes the connection if it did not authenticate in time, or if its token has expired. Call this from time to time.
   */
  checkDeadline(nowMs: number): void {
    if (nowMs < this.#endsAtMs || this.#state === 'closed') return;
    this.#endsAtMs = Number.POSITIVE_INFINITY;
    if (this.#state === 'authenticated') {
      this.context.counters.tokensExpired++;
      this.host.close(closeReasons.tokenExpired);
    } else {
      this.context.counters.authenticationTimeouts++;
      this.host.close(closeReasons.authenticationTimeout);
    }
  }

  /** Closes the connection if it was revoked, or if the key that signed its token was removed. */
  checkAccess(): void {
    const { revocations, authenticator, counters } = this.context;
    if (this.#identity === null) return;
    if (revocations.has(this.#identity, this.id)) {
      counters.connectionsRevoked++;
      this.host.close(closeReasons.revoked);
    } else if (!authenticator.accepts(this.#identity)) {
      counters.connectionsKeyRemoved++;
      this.host.close(closeReasons.tokenExpired);
    } else return;
    this.#identity = null;
  }

  /** The connection is closed. */
  onClosed(): void {
    if (this.#state === 'new' || this.#state === 'checking') this.context.unauthenticated--;
    this.#state = 'closed';
    if (this.#subject !== null) this.context.subjects.leave(this.#subject);
    this.#subject = null;
  }

  async #authenticateWith(
    identify: () => Promise<Identity>,
    connect: Command | null,
    asksHook: boolean,
  ): Promise<void> {
    this.#state = 'checking';
    let identity: Identity;
    try {
      identity = await identify();
      if (!(await this.#join(identity))) return;
      if (asksHook) await this.#askHook(identity);
      this.#requireAccess(identity);
    } catch (error) {
      // Other errors than ReplyError are bugs, and already logged.
      return this.#fail(connect, error as ReplyError);
    }
    if (this.#state !== 'checking') return;
    this.context.unauthenticated--;
    this.context.counters.authentications++;
    this.#state = 'authenticated';
    this.#adopt(identity);
    this.host.onAuthenticated(connect);
  }

  /**
   * Counts the connection for its subject. Returns false if that closes the connection, or if it was closed in the
   * meantime.
   */
  async #join(identity: Identity): Promise<boolean> {
    if (identity.isService) return true;
    const { subjects, counters } = this.context;
    const subject = await subjects.join(subjectNameOf(identity));
    if (subject === null) {
      counters.subjectsRefused++;
      this.host.close(closeReasons.tooManyConnections);
      return false;
    }
    if (this.#state === 'checking') this.#subject = subject;
    else subjects.leave(subject);
    return this.#state === 'checking';
  }

  async #askHook({ issuer, subject }: Identity): Promise<void> {
    const { hook } = this.context;
    if (hook?.asksAbout('connect') !== true) return;
    const decision = await hook.decide({ issuer, subject, event: 'connect', connection: this.id, topic: null });
    if (!decision.isAllowed) throw refusalOf(decision);
  }

  #adopt(identity: Identity): void {
    this.#identity = identity;
    this.#endsAtMs = identity.acceptedUntilMs ?? Number.POSITIVE_INFINITY;
  }

  async #verify(token: string): Promise<Identity> {
    return this.#translate(async () => {
      refuseOutdated(this.context.store);
      const identity = await this.context.authenticator.authenticate(token);
      this.#requireAccess(identity);
      return identity;
    });
  }

  async #redeem(ticket: string): Promise<Identity> {
    return this.#verify(
      await this.#translate(() => {
        refuseOutdated(this.context.store);
        return this.context.tickets.redeem(ticket);
      }),
    );
  }

  async #resume(text: string, topics: readonly Topic[]): Promise<Identity> {
    const { identity, connection } = await this.#translate(() => {
      refuseOutdated(this.context.store);
      return this.context.streamCredentials.open(text, topics);
    });
    this.#id = connection;
    this.#requireAccess(identity);
    return identity;
  }

  /** Repeated after each wait, because the token or its key may have been revoked meanwhile. Throws ReplyError. */
  #requireAccess(identity: Identity): void {
    const { revocations, authenticator } = this.context;
    if (revocations.has(identity, this.id)) throw new ReplyError('invalidToken', 'The token was revoked.');
    if (!authenticator.accepts(identity))
      throw new ReplyError('invalidToken', 'The issuer has removed the key that signed the token.');
  }

  /** Turns errors into ReplyErrors for the client. */
  async #translate<Value>(work: () => Promise<Value>): Promise<Value> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof ReplyError) throw error;
      if (error instanceof AuthError) throw new ReplyError(error.code, error.message);
      this.context.onBug(error);
      throw new ReplyError('internal', 'Internal error while checking the token. See the log of the node.');
    }
  }

  #fail(command: Command | null, error: ReplyError): void {
    if (this.#state === 'closed') return;
    this.host.refuse(command, error);
    this.#end(closeOf(error), reasonOf(error));
  }

  /** `why`: for the log. */
  #end(reason: CloseReason, why: string): void {
    this.context.counters.authenticationsFailed++;
    this.context.onFailed(why);
    this.host.close(reason);
  }
}

/** The same name at two issuers means two subjects. Neither name can contain a line break. */
export function subjectNameOf({ issuer, subject }: Identity): string {
  return `${issuer ?? ''}\n${subject}`;
}

/**
 * Whose messageIds an identity uses. No subject name looks like a group: API keys have another prefix, and tokens have
 * an issuer.
 */
export function publisherOf(identity: Identity): string {
  return identity.messageIdGroup === null ? subjectNameOf(identity) : `\ngroup:${identity.messageIdGroup}`;
}

/** The error for a command that the hook has refused. */
export function refusalOf({ reason, isDown }: Decision & { isAllowed: false }): ReplyError {
  if (isDown) return new ReplyError('unavailable', 'The authorization hook did not respond. Retry.');
  return new ReplyError('notPermitted', reason ?? 'The authorization hook denied this.');
}

/**
 * The reason for the log. It omits the text of the hook, and everything after a colon, because that may quote the
 * token.
 */
export function reasonOf({ code, message }: ReplyError): string {
  return code === 'notPermitted' ? 'The authorization hook denied it.' : (message.split(': ')[0] as string);
}

function closeOf({ code }: ReplyError): CloseReason {
  if (code === 'tokenExpired') return closeReasons.tokenExpired;
  if (code === 'invalidToken' || code === 'unauthenticated' || code === 'notPermitted')
    return closeReasons.unauthenticated;
  return closeReasons.authenticationTimeout;
}
