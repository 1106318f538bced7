/**
 * A response that stays open: the base of event streams and held polls. It counts as a connection, with the same limits,
 * authentication and permissions as a WebSocket.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type CloseReason, type Command, closeReasons, type Position, ReplyError, type Topic } from '@fanfare/protocol';
import { AuthError } from '../auth/auth-error.js';
import { eventOf } from '../auth/hook.js';
import type { Action } from '../auth/permissions.js';
import type { OpenConnection } from '../connection/open-connection.js';
import type { Address } from '../limits/addresses.js';
import type { Subject } from '../limits/subjects.js';
import { Authentication, type AuthenticationHost, type Credential, refusalOf } from '../session/authentication.js';
import type { EventRun } from '../topics/event-run.js';
import type { StreamSubscriber } from '../topics/registry.js';
import { rateLimited } from './admission.js';
import type { StreamContext } from './stream-context.js';

/**
 * How long it waits for its other topics when the node receives some of them, in milliseconds. Their Redis may not
 * respond. Longer than a busy machine needs, and less than the timeout of Redis.
 */
const patienceMs = 500;

export abstract class HeldResponse implements OpenConnection, StreamSubscriber, AuthenticationHost {
  index = -1;
  readonly authentication: Authentication | null;
  isInvited = false;
  /** A token that is remembered if it is accepted. Null if there is none. */
  #token: string | null = null;
  #isJoined = false;
  #hasBegun = false;
  /** One bit for each topic that the node does not receive, and one for each that the relay is asked for now. */
  #missing = 0;
  #asked = 0;
  protected isOver = false;

  constructor(
    protected readonly context: StreamContext,
    /** Null if it is not counted. */
    private readonly address: Address | null,
    readonly isBrief: boolean,
  ) {
    const { sessions } = context;
    this.authentication = sessions === null ? null : new Authentication(sessions, this);
    // Clients that poll open one after the other, as they should.
    if (!isBrief) context.counters.connectionsOpened++;
    context.host.opened(this);
  }

  protected abstract get topics(): readonly Topic[];
  /** What it does with its topics. */
  protected abstract get action(): Action;
  /** Where it begins in each topic. */
  protected abstract sinceOf(index: number): Position | null;
  /**
   * The node receives at least one of the topics, and those that are not {@link isMissing}. Everything that the relay
   * returned until now precedes the next deliveries.
   */
  protected abstract begin(): void;
  /** The node receives a topic that was missing. */
  protected abstract onFound(): void;
  /** Answers with an error, or ends with it, and calls {@link finish}. */
  protected abstract fail(error: ReplyError, topic?: Topic | null): void;
  abstract close(reason: CloseReason): void;
  abstract invite(delayMs: number): void;
  abstract keepAlive(nowMs: number): void;
  abstract get bufferedBytes(): number;
  abstract onRun(run: EventRun): void;
  abstract onGap(topic: Topic, position: Position | null): void;
  abstract onReset(topic: Topic, position: Position): void;

  /** It leaves the list of the node as soon as it has ended. */
  get isClosing(): boolean {
    return false;
  }

  tickPublishOrder(): void {
    // It publishes nothing.
  }

  /** `credential`: null if the request has none. */
  start(credential: Credential | null): void {
    if (this.authentication === null) void this.#open();
    else if (credential !== null) {
      const isNew = credential.kind === 'token' || (credential.kind === 'accepted' && credential.asksHook);
      if (isNew) this.#token = credential.text;
      this.authentication.begin(credential);
    } else {
      this.fail(
        new ReplyError('unauthenticated', 'Send "Authorization: Bearer" with a token, or "?ticket=" with a ticket.'),
      );
    }
  }

  // For authentication.

  onAuthenticated(): void {
    const identity = this.authentication?.identity ?? null;
    if (this.#token !== null && identity !== null) this.context.requestSessions?.remember(this.#token, identity);
    this.#token = null;
    void this.#open();
  }

  onPermissions(): void {
    // The token of a response cannot be replaced.
  }

  refuse(_command: Command | null, error: ReplyError): void {
    this.fail(error);
  }

  /** The client is gone. */
  onAborted(): void {
    this.finish();
  }

  /** It has ended: leaves its topics and the list of the node. */
  protected finish(): void {
    if (this.isOver) return;
    this.isOver = true;
    const { registry, relay, host, counters } = this.context;
    if (!this.isBrief) counters.connectionsClosed++;
    if (this.#isJoined) {
      for (const topic of this.topics) if (registry.removeStream(topic, this) === 'last') relay.unsubscribe(topic);
    }
    this.authentication?.onClosed();
    host.closed(this, this.address);
  }

  async #open(): Promise<void> {
    const { registry } = this.context;
    let permitting: Topic | null = null;
    try {
      await this.prepare();
      for (permitting of this.topics) {
        // The client may be gone.
        if (this.isOver) return;
        await this.#permit(permitting);
      }
      permitting = null;
      if (this.isOver) return;
      this.#isJoined = true;
      for (const topic of this.topics) registry.addStream(topic, this);
      await this.#subscribe();
    } catch (error) {
      if (!this.isOver) this.failWith(error, permitting);
    }
  }

  /** Begins when the node receives all topics, or some and the others take too long. */
  async #subscribe(): Promise<void> {
    this.#missing = this.#allTopics;
    const all = Promise.all(this.topics.map((_, index) => this.#ask(index)));
    if (this.topics.length > 1) await Promise.race([all, delay(patienceMs, null, { ref: false })]);
    const errors = this.#missing === this.#allTopics ? await all : [];
    if (this.isOver) return;
    const error = errors.find((each) => each !== null) ?? null;
    if (error !== null && this.#missing === this.#allTopics) return this.fail(error);
    this.#hasBegun = true;
    this.begin();
  }

  /** Makes the node receive a topic. Resolves with the error if it cannot now; null otherwise. */
  async #ask(index: number): Promise<ReplyError | null> {
    const { relay } = this.context;
    const bit = 1 << index;
    this.#asked |= bit;
    try {
      await relay.subscribe(this.topics[index] as Topic, this.sinceOf(index));
      this.#missing &= ~bit;
      if (this.#hasBegun && !this.isOver) this.onFound();
    } catch (error) {
      if (isUnavailable(error)) return error;
      if (!this.isOver) this.failWith(error);
    } finally {
      this.#asked &= ~bit;
    }
    return null;
  }

  /** Whether the node does not receive the topic for it, because it is unavailable. */
  protected isMissing(index: number): boolean {
    return (this.#missing & (1 << index)) !== 0;
  }

  /**
   * A topic is unavailable. The node asks for it again, and it continues with its other topics. Returns false if it has
   * no other.
   */
  protected lose(index: number): boolean {
    const missing = this.#missing | (1 << index);
    if (missing === this.#allTopics) return false;
    this.#missing = missing;
    return true;
  }

  /** Asks for the missing topics. Call this once a second. */
  protected askAgain(): void {
    const due = this.#missing & ~this.#asked;
    if (due === 0) return;
    for (let index = 0; index < this.topics.length; index++) if ((due & (1 << index)) !== 0) void this.#ask(index);
  }

  /** The bits of all topics: at most 32. */
  get #allTopics(): number {
    return (-1 >>> (32 - this.topics.length)) | 0;
  }

  /** `topic`: which one the error is about; null if it is about none or all. */
  protected failWith(error: unknown, topic: Topic | null = null): void {
    if (error instanceof ReplyError) return this.fail(error, topic);
    if (error instanceof AuthError) return this.fail(new ReplyError(error.code, error.message));
    this.context.http.onBug(error);
    this.fail(new ReplyError('internal', 'Internal error. See the log of the node.'));
  }

  /** Called when the client is authenticated. */
  protected async prepare(): Promise<void> {
    // Most need nothing.
  }

  /** Throws ReplyError if the client may not read the topic, or not now. */
  async #permit(topic: Topic): Promise<void> {
    const { sessions, counters } = this.context;
    const { authentication, action } = this;
    if (sessions === null || authentication === null) return;
    if (!authentication.allows(action, topic)) {
      counters.commandsNotPermitted++;
      const what = action === 'subscribe' ? 'subscribe to' : 'read the history of';
      throw new ReplyError('notPermitted', `The token does not grant permission to ${what} ${topic}.`);
    }
    if (authentication.subject !== null) await this.#charge(authentication.subject);
    const { hook } = sessions;
    const { identity, id } = authentication;
    if (hook?.asksAbout(eventOf[action]) !== true || identity === null) return;
    const { issuer, subject } = identity;
    const decision = await hook.decide({ event: eventOf[action], issuer, subject, connection: id, topic });
    if (!decision.isAllowed) throw refusalOf(decision);
  }

  /** A topic costs one command. */
  async #charge(subject: Subject): Promise<void> {
    for (;;) {
      const admission = subject.admitCommand(performance.now());
      if (admission === 'admitted') return;
      if (admission !== 'undecided') {
        this.context.counters.commandsLimited++;
        throw rateLimited(admission.retryAfterMs);
      }
      await new Promise<void>((resolve) => subject.onceDecided(resolve));
    }
  }
}

export function isUnavailable(error: unknown): error is ReplyError {
  return error instanceof ReplyError && error.code === 'unavailable';
}

/** The error that a client gets if the node closes its response before the answer has begun. */
export function errorOf(reason: CloseReason): ReplyError {
  const { code } = reason;
  switch (code) {
    case closeReasons.tokenExpired.code:
      return new ReplyError('tokenExpired', 'The token has expired.');
    case closeReasons.revoked.code:
    case closeReasons.unauthenticated.code:
      return new ReplyError('invalidToken', 'The token was revoked.');
    case closeReasons.tooManyConnections.code:
      return new ReplyError('rateLimited', 'The subject of the token has too many connections. Close some first.');
    case closeReasons.draining.code:
      return new ReplyError('unavailable', 'This node is shutting down. Retry to reach another node.');
    case closeReasons.authenticationTimeout.code:
      return new ReplyError('unavailable', 'The node could not check the token in time. Retry.');
    default:
      return new ReplyError('overloaded', 'This node has too much to do. Retry.');
  }
}
