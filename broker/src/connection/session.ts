/**
 * Who a connection belongs to, from its token to its end, where the node asks for authentication (PROTOCOL.md section 3). Until a token
 * is accepted nothing is carried out: the commands behind it wait.
 */
import { type CloseReason, type Command, closeReasons, ReplyError, type Topic } from '@fanfare/protocol';
import { AuthError } from '../auth/auth-error.js';
import type { Authenticator } from '../auth/authenticator.js';
import type { Decision, Hook } from '../auth/hook.js';
import type { Identity } from '../auth/identity.js';
import type { Action } from '../auth/permissions.js';
import type { Revocations } from '../auth/revocations.js';
import type { Tickets } from '../auth/tickets.js';
import type { Subject, Subjects } from '../limits/subjects.js';
import { TokenBucket } from '../limits/token-bucket.js';

/** Bytes of frames that a client may send before it is authenticated. */
export const maxUnauthenticatedBytes = 16_384;

/** Commands, and bytes of their publications, that may wait for the hook to decide about one before them. */
const maxWaitingCommands = 1_000;
const maxWaitingBytes = 1_048_576;

/** Commands that may be too many before the connection is closed, and how many a second are forgiven. */
const maxRefusals = 1_000;
const forgivenPerSecond = 10;

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
  readonly subjects: Subjects;
  /** Null where nobody else is asked. */
  readonly hook: Hook | null;
  readonly authTimeoutMs: number;
  readonly counters: SessionCounters;
  /** Sessions that have no token yet. */
  unauthenticated: number;
  /** A name that no other session of the broker has. */
  nextId(): string;
  /** Told of an error that is a bug. */
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
}

/** The connection, as this file needs it. */
export interface SessionHost {
  carryOut(command: Command): void;
  refuse(command: Command | null, error: ReplyError): void;
  close(reason: CloseReason): void;
  /** The subscriptions may be others than before. */
  onPermissions(): void;
}

type State = 'silent' | 'checking' | 'open' | 'over';

export class Session {
  /** Tells it from all others of this node: by this it can be revoked. */
  readonly id: string;
  readonly #context: SessionContext;
  readonly #host: SessionHost;
  #state: State = 'silent';
  /** Commands behind one that is not decided yet; null where there is none. */
  #waiting: Command[] | null = [];
  #waitingBytes = 0;
  #bytes = 0;
  #identity: Identity | null = null;
  #subject: Subject | null = null;
  /** What is left of the commands that may be too many; null while none was. */
  #patience: TokenBucket | null = null;
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

  get identity(): Identity | null {
    return this.#identity;
  }

  /** Whether a command may have to wait: its frame must be kept then. */
  get mayWait(): boolean {
    return this.#state !== 'open' || this.#context.hook !== null;
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

  /** Counts a frame that came before the session is open. Answers false where that is too much. */
  takesFrame(bytes: number): boolean {
    if (this.#state === 'open') return true;
    this.#bytes += bytes;
    return this.#bytes <= maxUnauthenticatedBytes;
  }

  /** Whether a command is to be carried out now. If not, it waits, or is answered. */
  admits(command: Command): boolean {
    switch (this.#state) {
      case 'open':
        if (this.#waiting !== null) return this.#wait(command, this.#waiting);
        return this.#affords(command) && !this.#asks(command);
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
      if (identity.subject !== this.#identity?.subject) {
        throw new ReplyError('invalidToken', 'The token belongs to another subject: open another connection for it.');
      }
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

  /** Ends the session where it is revoked. */
  checkRevoked(): void {
    if (this.#identity === null || !this.#context.revocations.has(this.#identity, this.id)) return;
    this.#identity = null;
    this.#context.counters.connectionsRevoked++;
    this.#host.close(closeReasons.revoked);
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
      await this.#askToConnect(identity);
    } catch (error) {
      // What is no ReplyError is a bug, and told already.
      return this.#fail(connect, error as ReplyError);
    }
    if (this.#state !== 'checking') return;
    if (!identity.isService) {
      this.#subject = this.#context.subjects.join(identity.subject);
      if (this.#subject === null) {
        this.#context.counters.subjectsRefused++;
        return this.#host.close(closeReasons.tooManyConnections);
      }
    }
    this.#context.unauthenticated--;
    this.#context.counters.authentications++;
    this.#state = 'open';
    this.#adopt(identity);
    if (connect !== null) this.#host.carryOut(connect);
    this.#goOn();
  }

  /** Answers false: the command is carried out later, or is refused. */
  #wait(command: Command, waiting: Command[]): false {
    if (command.type === 'publish') this.#waitingBytes += command.end - command.start;
    if (waiting.length < maxWaitingCommands && this.#waitingBytes <= maxWaitingBytes) waiting.push(command);
    else this.#limit(command);
    return false;
  }

  /** Carries out what has waited, as far as it goes. */
  #goOn(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    this.#waitingBytes = 0;
    for (const command of waiting) if (this.admits(command)) this.#host.carryOut(command);
  }

  async #askToConnect({ subject }: Identity): Promise<void> {
    const { hook } = this.#context;
    if (hook?.asksAbout('connect') !== true) return;
    const decision = await hook.decide({ subject, event: 'connect', connection: this.id, topic: null });
    if (!decision.isAllowed) throw refusalOf(decision);
  }

  /** Whether the hook is asked about the command first. What the token does not grant it is not asked about. */
  #asks(command: Command): boolean {
    const { hook } = this.#context;
    if (hook === null || this.#identity === null) return false;
    if (command.type !== 'publish' && command.type !== 'subscribe') return false;
    const { type: event, topic } = command;
    if (!hook.asksAbout(event) || !this.allows(event, topic)) return false;
    this.#waiting = [];
    void hook.decide({ event, subject: this.#identity.subject, connection: this.id, topic }).then((decision) => {
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
      const { authenticator, revocations } = this.#context;
      const identity = await authenticator.authenticate(token);
      if (revocations.has(identity, this.id)) throw new AuthError('invalidToken', 'The token was revoked.');
      return identity;
    });
  }

  async #redeem(ticket: string): Promise<Identity> {
    return this.#authenticate(await this.#translate(() => this.#context.tickets.redeem(ticket)));
  }

  async #translate<Value>(work: () => Promise<Value>): Promise<Value> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof AuthError) throw new ReplyError(error.code, error.message);
      this.#context.onBug(error);
      throw new ReplyError('internal', 'The node failed at checking the token and has logged why.');
    }
  }

  #fail(command: Command | null, error: ReplyError): void {
    if (this.#state === 'over') return;
    this.#context.counters.authenticationsFailed++;
    this.#host.refuse(command, error);
    this.#host.close(closeOf(error));
  }

  #affords(command: Command): boolean {
    if (this.#subject === null) return true;
    const nowMs = performance.now();
    const affords =
      command.type === 'publish'
        ? this.#subject.mayPublish(command.end - command.start, nowMs)
        : this.#subject.mayCommand(nowMs);
    if (!affords) this.#limit(command);
    return affords;
  }

  #limit(command: Command): void {
    this.#context.counters.commandsLimited++;
    this.#host.refuse(command, new ReplyError('rateLimited', 'You send more than you may: slow down.'));
    const nowMs = performance.now();
    this.#patience ??= new TokenBucket(forgivenPerSecond, maxRefusals, nowMs);
    if (!this.#patience.take(1, nowMs)) this.#host.close(closeReasons.rateLimited);
  }
}

function refusalOf({ reason, isDown }: Decision & { isAllowed: false }): ReplyError {
  if (isDown) return new ReplyError('unavailable', 'Who decides about this does not answer. Try again.');
  return new ReplyError('notPermitted', reason ?? 'The application does not permit this.');
}

function closeOf({ code }: ReplyError): CloseReason {
  if (code === 'tokenExpired') return closeReasons.tokenExpired;
  if (code === 'invalidToken' || code === 'unauthenticated' || code === 'notPermitted')
    return closeReasons.unauthenticated;
  return closeReasons.authenticationTimeout;
}
