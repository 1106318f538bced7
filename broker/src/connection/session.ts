/**
 * Who a connection belongs to, from its token to its end, where the node asks for authentication (PROTOCOL.md section 3). Until a token
 * is accepted nothing is carried out: the commands behind it wait.
 */
import { type CloseReason, type Command, closeReasons, ReplyError, type Topic } from '@fanfare/protocol';
import { AuthError } from '../auth/auth-error.js';
import { type AuthStore, refuseOutdated } from '../auth/auth-store.js';
import type { Authenticator } from '../auth/authenticator.js';
import { type Decision, eventOf, type Hook } from '../auth/hook.js';
import type { Identity } from '../auth/identity.js';
import type { Action } from '../auth/permissions.js';
import type { Revocations } from '../auth/revocations.js';
import type { Tickets } from '../auth/tickets.js';
import { actionOf, isGuarded } from '../handlers/permit.js';
import type { Subject, Subjects } from '../limits/subjects.js';
import { type IdScope, scopeOf } from '../relay/scoped-id.js';

/** Bytes of frames that a client may send before it is authenticated. */
export const maxUnauthenticatedBytes = 16_384;

/**
 * Commands, and bytes of the frames that hold them, that may wait for the hook to decide about one before them. More than the typed
 * client has unanswered (800 commands, 1 MiB of publications): a slow hook must not close it.
 */
export const maxWaitingCommands = 1_000;
const maxWaitingBytes = 2_097_152;

/** What a client shows of itself at the handshake. */
export interface Proof {
  readonly kind: 'token' | 'ticket';
  readonly text: string;
}

/** What all sessions of a node share. */
export interface SessionContext {
  readonly authenticator: Authenticator;
  readonly tickets: Tickets;
  readonly revocations: Revocations;
  readonly store: Pick<AuthStore, 'isCurrent' | 'revocationLagMs'>;
  readonly subjects: Subjects;
  /** Null where nobody else is asked. */
  readonly hook: Hook | null;
  readonly authTimeoutMs: number;
  readonly counters: SessionCounters;
  /** Sessions that have no token yet. */
  unauthenticated: number;
  /** A name that no other session of the broker has. */
  nextId(): string;
  /** Called for each authentication that fails. `reason`: why, without any part of the token. */
  onFailed(reason: string): void;
  /** Called for an error that is a bug. */
  onBug(error: unknown): void;
}

export interface SessionCounters {
  authentications: number;
  authenticationsFailed: number;
  authenticationTimeouts: number;
  tokensExpired: number;
  subjectsRefused: number;
  commandsNotPermitted: number;
  commandsLimited: number;
  connectionsRevoked: number;
  connectionsKeyRemoved: number;
}

/** The connection, as this file needs it. */
export interface SessionHost {
  carryOut(command: Command): void;
  refuse(command: Command | null, error: ReplyError): void;
  readonly isClosing: boolean;
  close(reason: CloseReason): void;
  isSubscribed(topic: Topic): boolean;
  /** The subscriptions may be others than before. */
  onPermissions(): void;
}

/** `frameBytes`: of its frame, which is kept for it; 0 where another command of the same frame stands for that. */
interface Waiting {
  readonly command: Command;
  readonly frameBytes: number;
}

type State = 'silent' | 'checking' | 'open' | 'over';

export class Session {
  /** Tells it from all others of this node: by this it can be revoked. */
  readonly id: string;
  readonly #context: SessionContext;
  readonly #host: SessionHost;
  #state: State = 'silent';
  /** Commands behind one that is not decided yet; null where there is none. */
  #waiting: Waiting[] | null = [];
  #waitingBytes = 0;
  /** Of the frame that is being read, until a command of it waits. */
  #frameBytes = 0;
  #bytes = 0;
  #identity: Identity | null = null;
  #subject: Subject | null = null;
  /** Null until something is published: most connections never do. */
  #idScope: IdScope | null = null;
  #isRefreshing = false;
  /** When it ends unless it is authenticated by then, or refreshed; milliseconds since the epoch. */
  #endsAtMs: number;

  constructor(context: SessionContext, host: SessionHost) {
    this.id = context.nextId();
    this.#context = context;
    this.#host = host;
    this.#endsAtMs = Date.now() + context.authTimeoutMs;
    context.unauthenticated++;
  }

  /** Whether a command may have to wait: its frame must be kept then. */
  get mayWait(): boolean {
    return this.#state !== 'open' || this.#context.hook !== null;
  }

  /** Null as long as no token is accepted. */
  get subject(): string | null {
    return this.#identity?.subject ?? null;
  }

  /** Of the messageIds of its publications. Those of one that has no token are like no other's. */
  get idScope(): IdScope {
    if (this.#identity === null) return scopeOf(this.id);
    this.#idScope ??= scopeOf(publisherOf(this.#identity));
    return this.#idScope;
  }

  /** How long the token is good for, in milliseconds; null where it does not expire. */
  get expiresInMs(): number | null {
    const expiresAtMs = this.#identity?.expiresAtMs ?? null;
    return expiresAtMs === null ? null : Math.max(0, expiresAtMs - Date.now());
  }

  /** Checks what came with the handshake. */
  begin({ kind, text }: Proof): void {
    void this.#open(() => (kind === 'token' ? this.#authenticate(text) : this.#redeem(text)), null);
  }

  /** Counts a frame whose commands may have to wait. Answers with what ends the connection where that is too much. */
  countFrame(bytes: number): CloseReason | null {
    if (this.#state === 'open') {
      this.#frameBytes = bytes;
      return this.#waitingBytes <= maxWaitingBytes ? null : closeReasons.rateLimited;
    }
    this.#frameBytes = bytes;
    this.#bytes += bytes;
    return this.#bytes <= maxUnauthenticatedBytes ? null : closeReasons.frameTooLarge;
  }

  /** Counts a command that could not be read. Answers false where it was refused for being one too many. */
  admitsError(): boolean {
    const retryAfterMs = this.#subject?.admitCommand(performance.now()) ?? 0;
    if (retryAfterMs > 0) this.#limit(null, retryAfterMs);
    return retryAfterMs === 0;
  }

  /** A command could not be read, and the client has its error. If it was the first one, the session ends: no `connect` follows it. */
  onCommandError(): void {
    if (this.#state === 'silent') this.#end(closeReasons.unauthenticated, 'The first command could not be read.');
  }

  /** Whether a command is to be carried out now. If not, it waits, or is answered. */
  admits(command: Command): boolean {
    switch (this.#state) {
      case 'open':
        if (!this.#affords(command)) return false;
        if (this.#waiting !== null) return this.#wait(command, this.#waiting);
        return !this.#asks(command);
      case 'checking':
        return this.#wait(command, this.#waiting ?? []);
      case 'silent':
        if (command.type === 'connect' && command.token !== null) {
          const { token } = command;
          void this.#open(() => this.#authenticate(token), command);
        } else this.#fail(command, new ReplyError('unauthenticated', 'Send connect with a token first.'));
        return false;
      case 'over':
        return false;
    }
  }

  allows(action: Action, topic: Topic): boolean {
    return this.#identity?.permissions.allows(action, topic) === true;
  }

  /** Puts another token in the place of the first one. Rejects with a ReplyError where that cannot be: the first one stands. */
  async refresh(token: string): Promise<number | null> {
    if (this.#isRefreshing)
      throw new ReplyError('rateLimited', 'Another token is being checked: wait for that answer.');
    this.#isRefreshing = true;
    try {
      const identity = await this.#authenticate(token);
      if (this.#state !== 'open') throw new ReplyError('unauthenticated', 'The connection has ended.');
      if (identity.subject !== this.#identity?.subject || identity.issuer !== this.#identity.issuer) {
        throw new ReplyError('invalidToken', 'The token belongs to another subject: open another connection for it.');
      }
      this.#refuseWithdrawn(identity);
      this.#adopt(identity);
      this.#host.onPermissions();
      return this.expiresInMs;
    } finally {
      this.#isRefreshing = false;
    }
  }

  /** Called from time to time: ends the session where its time is up. */
  check(nowMs: number): void {
    if (nowMs < this.#endsAtMs || this.#state === 'over') return;
    this.#endsAtMs = Number.POSITIVE_INFINITY;
    if (this.#state === 'open') {
      this.#context.counters.tokensExpired++;
      this.#host.close(closeReasons.tokenExpired);
    } else {
      this.#context.counters.authenticationTimeouts++;
      this.#host.close(closeReasons.authenticationTimeout);
    }
  }

  /** Ends the session if it is revoked, or if its token is signed with a key that is not good any more. */
  checkWithdrawn(): void {
    const { revocations, authenticator, counters } = this.#context;
    if (this.#identity === null) return;
    if (revocations.has(this.#identity, this.id)) {
      counters.connectionsRevoked++;
      this.#host.close(closeReasons.revoked);
    } else if (!authenticator.accepts(this.#identity)) {
      counters.connectionsKeyRemoved++;
      this.#host.close(closeReasons.tokenExpired);
    } else return;
    this.#identity = null;
  }

  /** The connection is closed. */
  end(): void {
    if (this.#state === 'silent' || this.#state === 'checking') this.#context.unauthenticated--;
    this.#state = 'over';
    this.#waiting = null;
    if (this.#subject !== null) this.#context.subjects.leave(this.#subject);
    this.#subject = null;
  }

  async #open(authenticate: () => Promise<Identity>, connect: Command | null): Promise<void> {
    this.#state = 'checking';
    let identity: Identity;
    try {
      identity = await authenticate();
      if (!(await this.#join(identity))) return;
      await this.#askToConnect(identity);
      this.#refuseWithdrawn(identity);
    } catch (error) {
      // What is no ReplyError is a bug, and told already.
      return this.#fail(connect, error as ReplyError);
    }
    if (this.#state !== 'checking') return;
    this.#context.unauthenticated--;
    this.#context.counters.authentications++;
    this.#state = 'open';
    this.#adopt(identity);
    if (connect !== null) this.#host.carryOut(connect);
    // What came before nobody was there to pay for.
    this.#waiting = (this.#waiting ?? []).filter(({ command }) => this.#affords(command));
    this.#goOn();
  }

  /** Answers false where that ends the session. */
  async #join(identity: Identity): Promise<boolean> {
    if (identity.isService) return true;
    const { subjects, counters } = this.#context;
    const subject = await subjects.join(subjectNameOf(identity));
    if (subject === null) {
      counters.subjectsRefused++;
      this.#host.close(closeReasons.tooManyConnections);
      return false;
    }
    // It may have ended meanwhile.
    if (this.#state === 'checking') this.#subject = subject;
    else subjects.leave(subject);
    return this.#state === 'checking';
  }

  /** Answers false: the command is carried out later, or is refused. */
  #wait(command: Command, waiting: Waiting[]): false {
    if (waiting.length < maxWaitingCommands) {
      waiting.push({ command, frameBytes: this.#frameBytes });
      this.#waitingBytes += this.#frameBytes;
      this.#frameBytes = 0;
    } else this.#limit(command, null);
    return false;
  }

  /** Carries out what has waited, as far as it goes. */
  #goOn(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    for (const [index, { command, frameBytes }] of waiting.entries()) {
      if (this.#host.isClosing) return;
      this.#waitingBytes -= frameBytes;
      if (!this.#asks(command)) this.#host.carryOut(command);
      else {
        // The others wait on, behind this one.
        this.#waiting = waiting.slice(index + 1);
        return;
      }
    }
  }

  async #askToConnect({ issuer, subject }: Identity): Promise<void> {
    const { hook } = this.#context;
    if (hook?.asksAbout('connect') !== true) return;
    const decision = await hook.decide({ issuer, subject, event: 'connect', connection: this.id, topic: null });
    if (!decision.isAllowed) throw refusalOf(decision);
  }

  /** Whether the hook is asked about the command first. What the token does not grant it is not asked about. */
  #asks(command: Command): boolean {
    const { hook } = this.#context;
    if (hook === null || this.#identity === null || !isGuarded(command)) return false;
    const { topic } = command;
    const action = actionOf(command);
    const event = eventOf[action];
    if (!hook.asksAbout(event) || !this.allows(action, topic)) return false;
    // The subscription began with the hook's permission, and shows everything that can be read of the topic.
    if (event === 'subscribe' && this.#host.isSubscribed(topic)) return false;
    this.#waiting = [];
    const { issuer, subject } = this.#identity;
    void hook.decide({ event, issuer, subject, connection: this.id, topic }).then((decision) => {
      if (this.#state !== 'open') return;
      if (decision.isAllowed) this.#host.carryOut(command);
      else this.#host.refuse(command, refusalOf(decision));
      this.#goOn();
    });
    return true;
  }

  #adopt(identity: Identity): void {
    this.#identity = identity;
    this.#endsAtMs = identity.acceptedUntilMs ?? Number.POSITIVE_INFINITY;
  }

  async #authenticate(token: string): Promise<Identity> {
    return this.#translate(async () => {
      refuseOutdated(this.#context.store);
      const identity = await this.#context.authenticator.authenticate(token);
      this.#refuseWithdrawn(identity);
      return identity;
    });
  }

  /** Again after each wait: it, or its key, may have been taken back meanwhile. Throws ReplyError. */
  #refuseWithdrawn(identity: Identity): void {
    const { revocations, authenticator } = this.#context;
    if (revocations.has(identity, this.id)) throw new ReplyError('invalidToken', 'The token was revoked.');
    if (!authenticator.accepts(identity))
      throw new ReplyError('invalidToken', 'The token is signed with a key that its issuer has taken back.');
  }

  async #redeem(ticket: string): Promise<Identity> {
    return this.#authenticate(
      await this.#translate(() => {
        refuseOutdated(this.#context.store);
        return this.#context.tickets.redeem(ticket);
      }),
    );
  }

  async #translate<Value>(work: () => Promise<Value>): Promise<Value> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof ReplyError) throw error;
      if (error instanceof AuthError) throw new ReplyError(error.code, error.message);
      this.#context.onBug(error);
      throw new ReplyError('internal', 'The node failed at checking the token and has logged why.');
    }
  }

  #fail(command: Command | null, error: ReplyError): void {
    if (this.#state === 'over') return;
    this.#host.refuse(command, error);
    this.#end(closeOf(error), reasonOf(error));
  }

  /** `why`: for the log. */
  #end(reason: CloseReason, why: string): void {
    this.#context.counters.authenticationsFailed++;
    this.#context.onFailed(why);
    this.#host.close(reason);
  }

  #affords(command: Command): boolean {
    if (this.#subject === null) return true;
    const nowMs = performance.now();
    const retryAfterMs =
      command.type === 'publish'
        ? this.#subject.admitPublication(command.end - command.start, nowMs)
        : this.#subject.admitCommand(nowMs);
    if (retryAfterMs > 0) this.#limit(command, retryAfterMs);
    return retryAfterMs === 0;
  }

  /** `retryAfterMs`: null if what has to be waited for is no rate. */
  #limit(command: Command | null, retryAfterMs: number | null): void {
    this.#context.counters.commandsLimited++;
    const message =
      retryAfterMs === null
        ? 'Too many commands wait for the authorization hook. Send this again when some of them are answered.'
        : `You sent more than you may. Send this again in ${retryAfterMs} ms.`;
    this.#host.refuse(command, new ReplyError('rateLimited', message, retryAfterMs));
    // Of a service, only what waits for the hook is bounded.
    if (this.#subject?.mayBeRefused(performance.now()) === false) this.#host.close(closeReasons.rateLimited);
  }
}

/** The same name at two issuers is two subjects. A line break stands in neither. */
export function subjectNameOf({ issuer, subject }: Identity): string {
  return `${issuer ?? ''}\n${subject}`;
}

/** Whose messageIds those of an identity are. No subject is like a group: API keys have another prefix, and tokens an issuer. */
function publisherOf(identity: Identity): string {
  return identity.messageIdGroup === null ? subjectNameOf(identity) : `\ngroup:${identity.messageIdGroup}`;
}

function refusalOf({ reason, isDown }: Decision & { isAllowed: false }): ReplyError {
  if (isDown) return new ReplyError('unavailable', 'Who decides about this does not answer. Try again.');
  return new ReplyError('notPermitted', reason ?? 'The application does not permit this.');
}

/** For the log: what the hook says is the application's, and behind a colon stands what the token holds. */
function reasonOf({ code, message }: ReplyError): string {
  return code === 'notPermitted' ? 'The hook did not permit it.' : (message.split(': ')[0] as string);
}

function closeOf({ code }: ReplyError): CloseReason {
  if (code === 'tokenExpired') return closeReasons.tokenExpired;
  if (code === 'invalidToken' || code === 'unauthenticated' || code === 'notPermitted')
    return closeReasons.unauthenticated;
  return closeReasons.authenticationTimeout;
}
