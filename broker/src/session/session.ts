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
import type { Admission, Refusal, Subject, Subjects } from '../limits/subjects.js';
import type { Payer, Relay } from '../relay/relay.js';
import { type IdScope, scopeOf } from '../relay/scoped-id.js';

/** Bytes of frames that a client may send before it is authenticated. */
export const maxUnauthenticatedBytes = 16_384;

/**
 * Commands, and bytes of their publications, that may wait for the hook, or for other nodes, to decide about one before them. More than the
 * typed client has unanswered (800 commands, 1 MiB of publications): a slow hook must not close it.
 */
export const maxWaitingCommands = 1_000;
const maxWaitingBytes = 2_097_152;

/** Errors for commands behind the token, until it is accepted. With the last one the connection is closed: no limit of a subject holds yet. */
export const maxUnauthenticatedErrors = 10;

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
  readonly relay: Pick<Relay, 'hasHistory' | 'hasPublished'>;
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

/** `isPaid`: whether it counts already towards what its subject may send. */
interface Waiting {
  readonly command: Command;
  readonly isPaid: boolean;
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
  /** Of all frames so far, until it is authenticated. */
  #bytes = 0;
  /** Commands behind the token that were answered with an error, until it is accepted. */
  #errors = 0;
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

  /** Who pays for the topics that its publications begin; null as long as no token is accepted, and for services. */
  get payer(): Payer | null {
    return this.#subject;
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
    if (this.#state === 'open') return this.#waitingBytes <= maxWaitingBytes ? null : closeReasons.rateLimited;
    this.#bytes += bytes;
    return this.#bytes <= maxUnauthenticatedBytes ? null : closeReasons.frameTooLarge;
  }

  /** Counts a command that could not be read. Answers false where it was refused for being one too many. */
  admitsError(): boolean {
    const admission = this.#subject?.admitUnreadable(performance.now()) ?? 'admitted';
    if (admission === 'admitted') return true;
    this.#limit(null, admission);
    return false;
  }

  /** A command could not be read, and the client has its error. If it was the first one, the session ends: no `connect` follows it. */
  onCommandError(): void {
    if (this.#state === 'silent') this.#end(closeReasons.unauthenticated, 'The first command is malformed.');
    else this.#countError();
  }

  #countError(): void {
    if (this.#state === 'checking' && ++this.#errors === maxUnauthenticatedErrors)
      this.#host.close(closeReasons.badProtocol);
  }

  /** Whether a command is to be carried out now. If not, it waits, or is answered. Its payload is copied if it waits. */
  admits(command: Command): boolean {
    switch (this.#state) {
      case 'open': {
        const payment = this.#pay(command);
        if (payment === 'refused') return false;
        if (payment === 'paid' && this.#waiting === null) return !this.#asks(command);
        const isFirst = this.#waiting === null;
        this.#wait(command, payment === 'paid');
        if (isFirst) this.#goOnOnceDecided();
        return false;
      }
      case 'checking':
        this.#wait(command, false);
        return false;
      case 'silent':
        if (command.type === 'connect' && command.token !== null) {
          const { token } = command;
          void this.#open(() => this.#authenticate(token), command);
        } else
          this.#fail(command, new ReplyError('unauthenticated', 'The first command must be "connect" with a token.'));
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
    if (this.#isRefreshing) throw new ReplyError('rateLimited', 'Another refresh is in progress. Wait for its reply.');
    this.#isRefreshing = true;
    try {
      const identity = await this.#authenticate(token);
      if (this.#state !== 'open') throw new ReplyError('unauthenticated', 'The connection is closed.');
      if (identity.subject !== this.#identity?.subject || identity.issuer !== this.#identity.issuer) {
        throw new ReplyError(
          'invalidToken',
          'The token belongs to a different subject. Open a separate connection for it.',
        );
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

  /** The command is carried out later, or is refused. */
  #wait(command: Command, isPaid: boolean): void {
    this.#waiting ??= [];
    if (this.#waiting.length >= maxWaitingCommands) return this.#limit(command, null);
    this.#waiting.push({ command: keep(command), isPaid });
    this.#waitingBytes += bytesOf(command);
  }

  /** Carries out what has waited, as far as it goes. */
  #goOn(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    for (const [index, { command, isPaid }] of waiting.entries()) {
      if (this.#host.isClosing) return;
      const payment = isPaid ? 'paid' : this.#pay(command);
      if (payment === 'undecided') {
        this.#waiting = waiting.slice(index);
        return this.#goOnOnceDecided();
      }
      this.#waitingBytes -= bytesOf(command);
      if (payment === 'refused') continue;
      if (!this.#asks(command)) this.#host.carryOut(command);
      else {
        // The others wait on, behind this one.
        this.#waiting = waiting.slice(index + 1);
        return;
      }
    }
  }

  #goOnOnceDecided(): void {
    this.#subject?.onceDecided(() => {
      if (this.#state === 'open') this.#goOn();
    });
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
    const kept = keep(command);
    void hook.decide({ event, issuer, subject, connection: this.id, topic }).then((decision) => {
      if (this.#state !== 'open') return;
      if (decision.isAllowed) this.#host.carryOut(kept);
      else this.#host.refuse(kept, refusalOf(decision));
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
      throw new ReplyError('invalidToken', 'The issuer has withdrawn the key that signed the token.');
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
      throw new ReplyError('internal', 'Internal error while checking the token. See the log of the node.');
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

  /** Counts a command towards what its subject may send; one that is refused is answered. `undecided`: nothing was done. */
  #pay(command: Command): 'paid' | 'undecided' | 'refused' {
    if (this.#subject === null) return 'paid';
    const admission = this.#admissionOf(command, this.#subject);
    if (admission === 'admitted') return 'paid';
    if (admission === 'undecided') return admission;
    this.#limit(command, admission);
    return 'refused';
  }

  #admissionOf(command: Command, subject: Subject): Admission {
    const nowMs = performance.now();
    if (command.type !== 'publish') return subject.admitCommand(nowMs);
    const { relay } = this.#context;
    const { topic } = command;
    const isKept = relay.hasHistory(topic);
    if (isKept && !subject.mayBeginTopic(nowMs) && !relay.hasPublished(topic)) return subject.refuseTopic(nowMs);
    return subject.admitPublication(bytesOf(command), isKept, nowMs);
  }

  /** `refusal`: null if too many commands wait. */
  #limit(command: Command | null, refusal: Refusal | null): void {
    this.#context.counters.commandsLimited++;
    const message =
      refusal === null
        ? 'Too many commands are pending on this connection. Wait for replies, then retry.'
        : `${exceeded[refusal.limit]} Retry in ${refusal.retryAfterMs} ms.`;
    this.#host.refuse(command, new ReplyError('rateLimited', message, refusal?.retryAfterMs ?? null));
    this.#countError();
    // Of a service, only what waits is bounded.
    if (this.#subject?.mayBeRefused(performance.now()) === false) this.#host.close(closeReasons.rateLimited);
  }
}

const exceeded: Readonly<Record<Refusal['limit'], string>> = {
  rate: 'Rate limit exceeded.',
  historyBytes: 'Hourly limit of bytes published to topics with history exceeded.',
  newTopics: 'Hourly limit of new topics exceeded, and this node has no recent publication to this topic.',
};

/** Of its publication. */
function bytesOf(command: Command): number {
  return command.type === 'publish' ? command.end - command.start : 0;
}

/** The command with a copy of its payload: its frame is not valid for long. A payload that fills its bytes is such a copy. */
function keep<Kept extends Command>(command: Kept): Kept {
  if (command.type !== 'publish') return command;
  const { bytes, start, end } = command;
  if (start === 0 && end === bytes.length) return command;
  return { ...command, bytes: bytes.slice(start, end), start: 0, end: end - start };
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
  if (isDown) return new ReplyError('unavailable', 'The authorization hook did not respond. Retry.');
  return new ReplyError('notPermitted', reason ?? 'The authorization hook denied this.');
}

/** For the log: what the hook says is the application's, and behind a colon stands what the token holds. */
function reasonOf({ code, message }: ReplyError): string {
  return code === 'notPermitted' ? 'The authorization hook denied it.' : (message.split(': ')[0] as string);
}

function closeOf({ code }: ReplyError): CloseReason {
  if (code === 'tokenExpired') return closeReasons.tokenExpired;
  if (code === 'invalidToken' || code === 'unauthenticated' || code === 'notPermitted')
    return closeReasons.unauthenticated;
  return closeReasons.authenticationTimeout;
}
