/**
 * One WebSocket: turns frames into commands and replies into frames, and ends the connection. Each client has such an
 * object. So it has few fields, and creates a collection only when it needs one.
 */
import {
  type CloseReason,
  type Command,
  CommandError,
  type CommandSink,
  closeReasons,
  type NodeCodec,
  type OutgoingReply,
  type Position,
  type ReplyError,
  subprotocols,
  type Topic,
} from '@fanfare/protocol';
import type { Action } from '../auth/permissions.js';
import type { Caller, Subscription } from '../handlers/caller.js';
import { handle } from '../handlers/index.js';
import type { Parts } from '../handlers/parts.js';
import { PublishOrder } from '../handlers/publish-order.js';
import { replyError } from '../handlers/reply-error.js';
import type { Payer } from '../relay/relay.js';
import { type IdScope, sharedScope } from '../relay/scoped-id.js';
import { Authentication, type AuthenticationHost, type Credential } from '../session/authentication.js';
import { CommandGate, type CommandGateHost } from '../session/command-gate.js';
import type { SessionContext } from '../session/session-context.js';
import { groupOf, type Registry } from '../topics/registry.js';
import { type Compression, isWorthCompressing } from './compression.js';
import type { OpenConnection } from './open-connection.js';
import type { ReplyBuffer, ReplySender } from './reply-buffer.js';
import { has, sizeOf, type TopicSet, toList, withoutTopic, withTopic } from './topic-set.js';

/** The socket of uWebSockets, as this file needs it. Any call on a closed socket throws. */
interface Socket {
  send(frame: string | Uint8Array, isBinary: boolean, compress?: boolean): number;
  /** Sends a WebSocket ping. */
  ping(): number;
  cork(send: () => void): unknown;
  subscribe(group: string): boolean;
  unsubscribe(group: string): boolean;
  getBufferedAmount(): number;
  /** Sends a close frame, and closes when it has been sent. */
  end(code: number, reason: string): void;
  /** Closes immediately, without a close frame. */
  close(): void;
}

/** Shared by all connections of a node. */
export interface ConnectionContext {
  readonly parts: Parts;
  readonly registry: Registry;
  readonly replyBuffer: ReplyBuffer;
  readonly counters: ConnectionCounters;
  readonly maxFrameBytes: number;
  readonly maxBufferedBytes: number;
  readonly compression: Compression;
  /** Longest time between two WebSocket pings, in milliseconds. */
  readonly pingEveryMs: number;
  /** Called for each connection that the node closes; null if nobody listens. */
  readonly onClosing: ((caller: Caller, reason: CloseReason) => void) | null;
  /** Null without authentication. */
  readonly sessions: SessionContext | null;
}

interface ConnectionCounters {
  framesIn: number;
  bytesIn: number;
  framesDropped: number;
  slowSubscribers: number;
}

/** Unreadable commands in a row after which the connection is closed (PROTOCOL.md section 7). */
const maxBadCommands = 10;

/**
 * How long a client may take to read the buffered bytes before the close frame, in milliseconds (PROTOCOL.md section
 * 6). Then the node drops the connection.
 */
const closeGraceMs = 5_000;

/**
 * Each ping is early by a random share of the interval, up to this. So connections that began together are not pinged
 * in one sweep.
 */
const pingSpread = 0.25;

/** A topic that was joined, before deliveries begin. */
interface PendingSubscription extends Subscription {
  isCurrent: boolean;
}

export class Connection
  implements OpenConnection, Caller, CommandSink, ReplySender, AuthenticationHost, CommandGateHost
{
  index = -1;
  readonly #context: ConnectionContext;
  readonly #codec: NodeCodec;
  /** Both are null without authentication. */
  readonly #authentication: Authentication | null;
  readonly #gate: CommandGate | null;
  /** Null before the connection is open, and after it is closed. */
  #socket: Socket | null = null;
  #topics: TopicSet = null;
  /** Null if there is none, as most of the time. */
  #pending: Map<Topic, PendingSubscription> | null = null;
  #publishOrder: PublishOrder | null = null;
  #histories = 0;
  /**
   * Replies that leave at the end of the turn. Those with publications are already encoded, because only then is their
   * length known.
   */
  #replies: (OutgoingReply | string | Uint8Array)[] | null = null;
  /** Bytes of the encoded replies. */
  #replyBytes = 0;
  #badCommands = 0;
  #isInvited = false;
  /** When the next ping is due, in whole seconds of performance.now(): a small integer takes no memory of its own. */
  #pingAt = 0;
  /**
   * Set while the node closes the connection and waits for the client to read. It sends nothing more, and ignores
   * frames.
   */
  #closing: { readonly reason: CloseReason; readonly cutOff: NodeJS.Timeout } | null = null;

  constructor(context: ConnectionContext, codec: NodeCodec) {
    this.#context = context;
    this.#codec = codec;
    const { sessions } = context;
    this.#authentication = sessions === null ? null : new Authentication(sessions, this);
    this.#gate =
      sessions === null || this.#authentication === null ? null : new CommandGate(sessions, this.#authentication, this);
  }

  // Events of the server.

  /** `credential`: the token or ticket of the handshake, if any. */
  onOpen(socket: Socket, credential: Credential | null): void {
    this.#socket = socket;
    this.#planPing(performance.now());
    if (credential !== null) this.#authentication?.begin(credential);
  }

  /** `frame` is valid until this returns. */
  onFrame(frame: Uint8Array, isBinary: boolean): void {
    const { counters, maxFrameBytes } = this.#context;
    counters.framesIn++;
    counters.bytesIn += frame.length;
    if (this.#closing !== null) return;
    if (frame.length > maxFrameBytes) return this.close(closeReasons.frameTooLarge);
    const closeReason = this.#gate?.countFrame(frame.length) ?? null;
    if (closeReason !== null) return this.close(closeReason);
    if (isBinary === this.#codec.isBinary) this.#codec.decode(frame, this);
    else this.onCommandError(this.#wrongKindOfFrame());
  }

  /**
   * The socket has dropped a frame. This may be called in the middle of a fan-out, when the connection cannot leave
   * topics.
   */
  onDropped(): void {
    this.#context.counters.framesDropped++;
    if (this.#closing !== null || this.#socket === null) return;
    this.#context.counters.slowSubscribers++;
    this.#beginClosing(closeReasons.slowSubscriber);
    setImmediate(() => this.#leaveAll());
  }

  /** The socket has sent some of its buffered bytes. */
  onWritable(): void {
    if (this.#closing !== null) this.#endIfDrained(this.#closing.reason);
  }

  onClosed(): void {
    this.#socket = null;
    this.#replies = null;
    this.#authentication?.onClosed();
    this.#gate?.onClosed();
    if (this.#closing !== null) clearTimeout(this.#closing.cutOff);
    // uWebSockets itself has removed the socket from its groups.
    for (const topic of toList(this.#topics)) this.#removeSubscription(topic);
    this.#topics = null;
    for (const subscription of this.#pending?.values() ?? []) subscription.isCurrent = false;
    this.#pending = null;
  }

  get isBrief(): boolean {
    return false;
  }

  get isInvited(): boolean {
    return this.#isInvited;
  }

  get isClosing(): boolean {
    return this.#closing !== null;
  }

  invite(delayMs: number): void {
    if (this.#socket === null || this.#closing !== null) return;
    this.#isInvited = true;
    this.sendReplies();
    this.#socket.send(this.#codec.goaway(delayMs), this.#codec.isBinary);
  }

  /**
   * Sends a close frame behind everything that was sent before. If the client does not read within 5 s, the connection
   * is dropped.
   */
  close(reason: CloseReason): void {
    if (this.#closing !== null || this.#socket === null) return;
    this.sendReplies();
    this.#beginClosing(reason);
    this.#leaveAll();
    this.#endIfDrained(reason);
  }

  #beginClosing(reason: CloseReason): void {
    this.#context.onClosing?.(this, reason);
    this.#closing = { reason, cutOff: setTimeout(() => this.#socket?.close(), closeGraceMs) };
  }

  #endIfDrained({ code, reason }: CloseReason): void {
    // Above its limit uWebSockets would drop the close frame too (WebSocket::send), and after `end` it reports nothing
    // about the socket.
    if (this.#socket?.getBufferedAmount() === 0) this.#socket.end(code, reason);
  }

  #leaveAll(): void {
    for (const topic of toList(this.#topics)) this.leave(topic);
  }

  // Events of the codec.

  get isOver(): boolean {
    return this.#socket === null || this.#closing !== null;
  }

  onCommand(command: Command): void {
    if (this.isOver) return;
    this.#badCommands = 0;
    if (this.#gate === null) this.carryOut(command);
    else this.#gate.pass(command);
  }

  onCommandError(error: CommandError): void {
    if (this.isOver) return;
    if (this.#gate?.admitUnreadable() === false) return;
    replyError(error.id, error, this, this.#context.parts);
    const isUnreadable = error.code === 'malformed' || error.code === 'unknownCommand';
    this.#badCommands = isUnreadable ? this.#badCommands + 1 : 0;
    if (this.#badCommands >= maxBadCommands) this.close(closeReasons.badProtocol);
    this.#gate?.onUnreadable();
  }

  // For authentication and the command gate.

  onAuthenticated(connect: Command | null): void {
    if (connect !== null) this.carryOut(connect);
    this.#gate?.resume();
  }

  /** Every command goes to its handler through this method. */
  carryOut(command: Command): void {
    if (!this.isOver) handle(command, this, this.#context.parts);
  }

  refuse(command: Command | null, error: ReplyError): void {
    replyError(command?.id ?? null, error, this, this.#context.parts, command);
  }

  onPermissions(): void {
    for (const topic of toList(this.#topics)) {
      if (this.allows('subscribe', topic)) continue;
      this.leave(topic);
      const message = `The new token does not grant permission to subscribe to ${topic}.`;
      this.reply({ type: 'unsubscribed', id: null, topic, code: 'notPermitted', message });
    }
  }

  // For the sweep, revocation and rebalancing, which visit all connections.

  get authentication(): Authentication | null {
    return this.#authentication;
  }

  tickPublishOrder(): void {
    this.#publishOrder?.tick();
    if (this.#publishOrder?.isEmpty === true) this.#publishOrder = null;
  }

  /**
   * Pings the client if a ping is due, so that no load balancer closes the connection as idle. `nowMs`:
   * performance.now().
   */
  keepAlive(nowMs: number): void {
    if (this.#socket === null || this.#closing !== null || nowMs < this.#pingAt * 1_000) return;
    this.#planPing(nowMs);
    // Also if there are unread bytes: only the pong shows that a slow client is alive.
    this.#socket.ping();
  }

  #planPing(nowMs: number): void {
    const intervalMs = this.#context.pingEveryMs * (1 - Math.random() * pingSpread);
    this.#pingAt = Math.floor((nowMs + intervalMs) / 1_000);
  }

  get bufferedBytes(): number {
    return this.#socket?.getBufferedAmount() ?? 0;
  }

  // For the handlers.

  allows(action: Action, topic: Topic): boolean {
    return this.#authentication === null || this.#authentication.allows(action, topic);
  }

  whoIs(): { readonly connection: string | null; readonly subject: string | null } {
    return {
      connection: this.#authentication?.id ?? null,
      subject: this.#authentication?.identity?.subject ?? null,
    };
  }

  get idScope(): IdScope {
    return this.#authentication === null ? sharedScope : this.#authentication.idScope;
  }

  get payer(): Payer | null {
    return this.#authentication?.subject ?? null;
  }

  get expiresInMs(): number | null {
    return this.#authentication?.expiresInMs ?? null;
  }

  async refresh(token: string): Promise<void> {
    await this.#authentication?.refresh(token);
  }

  get publishOrder(): PublishOrder | null {
    return this.#publishOrder;
  }

  expectRetry(topic: Topic, messageId: string): void {
    this.#publishOrder ??= new PublishOrder();
    this.#publishOrder.expectRetry(topic, messageId);
  }

  get histories(): number {
    return this.#histories;
  }

  trackHistory<Page>(reading: Promise<Page>): Promise<Page> {
    this.#histories++;
    return reading.finally(() => this.#histories--);
  }

  get subscriptions(): number {
    return sizeOf(this.#topics);
  }

  isSubscribed(topic: Topic): boolean {
    return has(this.#topics, topic);
  }

  get room(): number {
    const unread = (this.#socket?.getBufferedAmount() ?? 0) + this.#replyBytes;
    return this.#context.maxBufferedBytes / 2 - unread;
  }

  join(topic: Topic, since: Position | null): Subscription {
    const { registry, parts } = this.#context;
    if (this.#socket === null) return { isCurrent: false, ready: Promise.resolve() };
    this.#topics = withTopic(this.#topics, topic);
    registry.add(topic, this.#codec.encoding);
    const subscription: PendingSubscription = { isCurrent: true, ready: parts.relay.subscribe(topic, since) };
    this.#pending ??= new Map();
    this.#pending.set(topic, subscription);
    return subscription;
  }

  attend(topic: Topic): void {
    if (this.#pending?.delete(topic) && this.#pending.size === 0) this.#pending = null;
    this.#socket?.subscribe(groupOf(topic, this.#codec.encoding));
  }

  leave(topic: Topic): void {
    if (this.#socket === null) return;
    const pending = this.#pending?.get(topic);
    if (pending !== undefined) {
      pending.isCurrent = false;
      this.#pending?.delete(topic);
    }
    this.#topics = withoutTopic(this.#topics, topic);
    this.#removeSubscription(topic);
    this.#socket.unsubscribe(groupOf(topic, this.#codec.encoding));
  }

  #removeSubscription(topic: Topic): void {
    const { registry, parts } = this.#context;
    if (registry.remove(topic, this.#codec.encoding) === 'last') parts.relay.unsubscribe(topic);
  }

  reply(reply: OutgoingReply): void {
    if (this.#socket === null || this.#closing !== null) return;
    if (this.#replies === null) {
      this.#replies = [];
      this.#context.replyBuffer.add(this);
    }
    const hasPublications = 'publications' in reply && reply.publications.count > 0;
    this.#replies.push(hasPublications ? this.#withPublications(reply) : reply);
  }

  /** Encodes a reply with publications now, so that its bytes are charged and counted. */
  #withPublications(reply: OutgoingReply): string | Uint8Array {
    const frame = this.#codec.reply(reply, this.room);
    this.payer?.onPublicationsRead(this.#codec.replyWork);
    this.#replyBytes += frame.length;
    // A copy: the codec reuses its buffer for the next reply.
    return frame.slice();
  }

  // For the reply buffer.

  sendReplies(): void {
    const replies = this.#replies;
    const socket = this.#socket;
    this.#replies = null;
    this.#replyBytes = 0;
    if (replies === null || socket === null) return;
    const { isBinary } = this.#codec;
    socket.cork(() => {
      // `send` need not be checked: a dropped frame closes the connection through `onDropped`.
      for (const reply of replies) {
        const isEncoded = typeof reply === 'string' || reply instanceof Uint8Array;
        const frame = isEncoded ? reply : this.#codec.reply(reply);
        socket.send(frame, isBinary, isWorthCompressing(frame, this.#context.compression));
      }
    });
  }

  #wrongKindOfFrame(): CommandError {
    const { encoding, isBinary } = this.#codec;
    const message = `This connection uses ${subprotocols[encoding]}. Send ${isBinary ? 'binary' : 'text'} frames.`;
    return new CommandError(null, 'malformed', message);
  }
}
