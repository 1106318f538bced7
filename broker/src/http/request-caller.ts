/** The sender of an HTTP request, as the handlers see it: a {@link Caller} without a connection. */
import { type Command, type OutgoingReply, type Position, ReplyError, type Topic } from '@fanfare/protocol';
import type { Action } from '../auth/permissions.js';
import type { Caller, Subscription } from '../handlers/caller.js';
import { handle } from '../handlers/index.js';
import type { Parts } from '../handlers/parts.js';
import { PublishOrder } from '../handlers/publish-order.js';
import { replyError } from '../handlers/reply-error.js';
import type { Payer } from '../relay/relay.js';
import { type IdScope, sharedScope } from '../relay/scoped-id.js';
import { CommandGate, type CommandGateHost } from '../session/command-gate.js';
import type { RequestSession } from '../session/request-sessions.js';
import type { SessionContext } from '../session/session-context.js';

/** Gets the replies to the commands of a request. */
export interface ReplyReader {
  /** Each command has an id, and gets one reply. */
  onReply(reply: OutgoingReply): void;
}

/** Bytes of publications in one answer: `history` is refused beyond it. One page has at most 256 KiB. */
const maxAnswerBytes = 2_097_152;

export class RequestCaller implements Caller, CommandGateHost {
  readonly subscriptions = 0;
  /** Bytes of publications that the answer may still have. */
  room = maxAnswerBytes;
  publishOrder: PublishOrder | null = null;
  histories = 0;
  readonly #session: RequestSession | null;
  readonly #gate: CommandGate | null;

  /** `session` and `sessions`: null without authentication. */
  constructor(
    session: RequestSession | null,
    sessions: SessionContext | null,
    private readonly parts: Parts,
    private readonly reader: ReplyReader,
  ) {
    this.#session = session;
    this.#gate = session === null || sessions === null ? null : new CommandGate(sessions, session, this);
    this.#gate?.resume();
  }

  /** Carries out one command, now or later. A payload is copied before this returns. */
  submit(command: Command): void {
    if (this.#gate === null) this.carryOut(command);
    else this.#gate.pass(command);
  }

  // For the command gate.

  readonly isClosing = false;

  /** The token may have been revoked while the body arrived, or while the command waited. */
  carryOut(command: Command): void {
    const refusal = this.#session?.refusal ?? null;
    if (refusal === null) handle(command, this, this.parts);
    else this.refuse(command, refusal);
  }

  refuse(command: Command | null, error: ReplyError): void {
    replyError(command?.id ?? null, error, this, this.parts, command);
  }

  close(): void {
    // Nothing is open: the answer says that the limit is exceeded.
  }

  // For the handlers.

  whoIs(): { readonly connection: string | null; readonly subject: string | null } {
    return { connection: null, subject: this.#session?.identity.subject ?? null };
  }

  allows(action: Action, topic: Topic): boolean {
    return this.#session === null || this.#session.allows(action, topic);
  }

  get idScope(): IdScope {
    return this.#session?.idScope ?? sharedScope;
  }

  get payer(): Payer | null {
    return this.#session?.subject ?? null;
  }

  get expiresInMs(): number | null {
    return this.#session?.expiresInMs ?? null;
  }

  expectRetry(topic: Topic, messageId: string): void {
    this.publishOrder ??= new PublishOrder();
    this.publishOrder.expectRetry(topic, messageId);
  }

  trackHistory<Page>(reading: Promise<Page>): Promise<Page> {
    this.histories++;
    return reading.finally(() => this.histories--);
  }

  reply(reply: OutgoingReply): void {
    if ('publications' in reply) {
      const { length } = reply.publications.bytes;
      this.room -= length;
      this.payer?.onPublicationsRead(length);
    }
    this.reader.onReply(reply);
  }

  async refresh(): Promise<void> {
    throw needsConnection('refresh');
  }

  isSubscribed(): boolean {
    return false;
  }

  join(_topic: Topic, _since: Position | null): Subscription {
    throw needsConnection('subscribe');
  }

  attend(): void {
    // Nothing was joined.
  }

  leave(): void {
    // Nothing was joined.
  }
}

/** A request cannot receive anything after its answer. */
export function needsConnection(type: Command['type']): ReplyError {
  return new ReplyError(
    'unknownCommand',
    `A request cannot ${type}, because nothing stays open after its answer. Use GET /v1/events.`,
  );
}
