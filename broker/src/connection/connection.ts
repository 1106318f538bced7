/**
 * One WebSocket as the node sees it: frames in, commands out; replies in, frames out; and how it ends. There are as many of
 * these as clients, so its fields are few and none is a collection unless it must be.
 */
import {
  type CloseReason,
  type Command,
  CommandError,
  type CommandSink,
  closeReasons,
  type NodeCodec,
  type OutgoingReply,
  type ReplyError,
  subprotocols,
  type Topic,
} from '@fanfare/protocol';
import type { Action } from '../auth/permissions.js';
import type { Caller, Membership } from '../handlers/caller.js';
import { handle } from '../handlers/index.js';
import type { Parts } from '../handlers/parts.js';
import { replyError } from '../handlers/reply-error.js';
import type { Turns } from '../handlers/turns.js';
import type { Payer } from '../relay/relay.js';
import { type IdScope, sharedScope } from '../relay/scoped-id.js';
import { type Proof, Session, type SessionContext, type SessionHost } from '../session/session.js';
import { groupOf, type Registry } from '../topics/registry.js';
import { type Compression, isWorthCompressing } from './compression.js';
import type { Outbox, Sender } from './outbox.js';
import { has, sizeOf, type TopicSet, toList, withoutTopic, withTopic } from './topic-set.js';

/** The socket as this file needs it; uWebSockets' own fits. Any call on a closed one throws. */
export interface Socket {
  send(frame: string | Uint8Array, isBinary: boolean, compress?: boolean): number;
  /** Sends a WebSocket ping. */
  ping(): number;
  cork(send: () => void): unknown;
  subscribe(group: string): boolean;
  unsubscribe(group: string): boolean;
  getBufferedAmount(): number;
  /** Sends a close frame and closes when it is out. */
  end(code: number, reason: string): void;
  /** Closes at once, without a close frame. */
  close(): void;
}

/** What all connections of a node share. */
export interface ConnectionContext {
  readonly parts: Parts;
  readonly registry: Registry;
  readonly outbox: Outbox;
  readonly counters: ConnectionCounters;
  readonly maxFrameBytes: number;
  readonly maxBufferedBytes: number;
  readonly compression: Compression;
  /** Longest time between two WebSocket pings, in milliseconds. */
  readonly pingEveryMs: number;
  /** Called for each connection that the node closes; null if nobody listens. */
  readonly onClosing: ((caller: Caller, reason: CloseReason) => void) | null;
  /** Null where nobody is asked who he is. */
  readonly sessions: SessionContext | null;
}

export interface ConnectionCounters {
  framesIn: number;
  bytesIn: number;
  framesDropped: number;
  slowSubscribers: number;
}

/** Unreadable commands in a row after which the connection is closed (PROTOCOL.md section 7). */
const maxBadCommands = 10;

/**
 * How long a connection that is to be closed may take to read what is buffered for it, so that the close frame behind it can be
 * sent, in milliseconds (PROTOCOL.md section 6). Beyond it, it is cut off.
 */
const closeGraceMs = 5_000;

/** Pings come up to this share of their interval early, at random: connections that began together are not all pinged in one round. */
const pingSpread = 0.25;

/** A topic that was joined and is not attended yet. */
interface PendingMembership extends Membership {
  isCurrent: boolean;
}

export class Connection implements Caller, CommandSink, Sender, SessionHost {
  /** Where it stands in the server's list. */
  index = -1;
  histories = 0;
  turns: Turns | null = null;
  readonly #context: ConnectionContext;
  readonly #codec: NodeCodec;
  /** Null where everybody may do everything. */
  readonly #session: Session | null;
  /** Null before it is open and once it is closed. */
  #socket: Socket | null = null;
  #topics: TopicSet = null;
  /** Null where none is: most of the time. */
  #pending: Map<Topic, PendingMembership> | null = null;
  /** What waits until the end of the turn. Those with publications are encoded already: only so their length is known. */
  #replies: (OutgoingReply | string | Uint8Array)[] | null = null;
  /** Bytes of those that are encoded. */
  #replyBytes = 0;
  #badCommands = 0;
  #isInvited = false;
  /** When the next ping is due, in whole seconds of performance.now(): a small integer costs no memory of its own. */
  #pingAt = 0;
  /** Set while the connection is to be closed and has not read what is buffered: it is sent nothing more, and not heard. */
  #closing: { readonly reason: CloseReason; readonly cutOff: NodeJS.Timeout } | null = null;

  constructor(context: ConnectionContext, codec: NodeCodec) {
    this.#context = context;
    this.#codec = codec;
    this.#session = context.sessions === null ? null : new Session(context.sessions, this);
  }

  // What the server tells.

  /** `proof`: what the handshake brought to show who it is. */
  onOpen(socket: Socket, proof: Proof | null): void {
    this.#socket = socket;
    this.#planPing(performance.now());
    if (proof !== null) this.#session?.begin(proof);
  }

  /** `frame` is valid until this returns. */
  onFrame(frame: Uint8Array, isBinary: boolean): void {
    const { counters, maxFrameBytes } = this.#context;
    counters.framesIn++;
    counters.bytesIn += frame.length;
    if (this.#closing !== null) return;
    if (frame.length > maxFrameBytes) return this.close(closeReasons.frameTooLarge);
    const tooMuch = this.#session?.countFrame(frame.length) ?? null;
    if (tooMuch !== null) return this.close(tooMuch);
    if (isBinary === this.#codec.isBinary) this.#codec.decode(frame, this);
    else this.onCommandError(this.#wrongKindOfFrame());
  }

  /** The socket has dropped a frame. This may be called in the middle of a fan-out, where topics cannot be left. */
  onDropped(): void {
    this.#context.counters.framesDropped++;
    if (this.#closing !== null || this.#socket === null) return;
    this.#context.counters.slowSubscribers++;
    this.#beginClosing(closeReasons.slowSubscriber);
    setImmediate(() => this.#leaveAll());
  }

  /** The socket has sent some of what it holds. */
  onWritable(): void {
    if (this.#closing !== null) this.#endIfDrained(this.#closing.reason);
  }

  onClosed(): void {
    this.#socket = null;
    this.#replies = null;
    this.#session?.end();
    if (this.#closing !== null) clearTimeout(this.#closing.cutOff);
    // uWebSockets has taken the socket out of its groups by itself.
    for (const topic of toList(this.#topics)) this.#context.registry.remove(topic, this.#codec.encoding);
    this.#topics = null;
    for (const membership of this.#pending?.values() ?? []) membership.isCurrent = false;
    this.#pending = null;
  }

  /** Whether it has been invited to move. */
  get isInvited(): boolean {
    return this.#isInvited;
  }

  /** Whether it only waits for its peer to read what is buffered. */
  get isClosing(): boolean {
    return this.#closing !== null;
  }

  /** Invites the client to move to another node, after `delayMs`. */
  invite(delayMs: number): void {
    if (this.#socket === null || this.#closing !== null) return;
    this.#isInvited = true;
    this.sendReplies();
    this.#socket.send(this.#codec.goaway(delayMs), this.#codec.isBinary);
  }

  /** Ends the connection with a close frame, behind all that was sent before; what is not read within 5 s is cut off. */
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
    // Above its limit uWebSockets would drop the close frame too (WebSocket::send), and once ended we lose sight of the socket.
    if (this.#socket?.getBufferedAmount() === 0) this.#socket.end(code, reason);
  }

  #leaveAll(): void {
    for (const topic of toList(this.#topics)) this.leave(topic);
  }

  // What the codec tells.

  get isOver(): boolean {
    return this.#socket === null || this.#closing !== null;
  }

  onCommand(command: Command): void {
    if (this.isOver) return;
    this.#badCommands = 0;
    if (this.#session === null || this.#session.admits(command)) handle(command, this, this.#context.parts);
  }

  onCommandError(error: CommandError): void {
    if (this.isOver) return;
    if (this.#session?.admitsError() === false) return;
    replyError(error.id, error, this, this.#context.parts);
    const isUnreadable = error.code === 'malformed' || error.code === 'unknownCommand';
    this.#badCommands = isUnreadable ? this.#badCommands + 1 : 0;
    if (this.#badCommands >= maxBadCommands) this.close(closeReasons.badProtocol);
    this.#session?.onCommandError();
  }

  // What the session needs.

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

  // What those need who look at all connections.

  get session(): Session | null {
    return this.#session;
  }

  /** Stops waiting for refused publications that were not sent again. To be called once a second. */
  forgetTurns(): void {
    this.turns?.look();
    if (this.turns?.isEmpty === true) this.turns = null;
  }

  /** Pings the client when it is time, so that no balancer takes the connection for idle; `nowMs` is of performance.now(). */
  keepAlive(nowMs: number): void {
    if (this.#socket === null || this.#closing !== null || nowMs < this.#pingAt * 1_000) return;
    this.#planPing(nowMs);
    // Also behind unread bytes: only the answer shows that a client that reads slowly is alive.
    this.#socket.ping();
  }

  #planPing(nowMs: number): void {
    const intervalMs = this.#context.pingEveryMs * (1 - Math.random() * pingSpread);
    this.#pingAt = Math.floor((nowMs + intervalMs) / 1_000);
  }

  /** Bytes that wait for the peer to read them, beyond what the kernel holds. */
  get bufferedBytes(): number {
    return this.#socket?.getBufferedAmount() ?? 0;
  }

  // What handlers need.

  allows(action: Action, topic: Topic): boolean {
    return this.#session === null || this.#session.allows(action, topic);
  }

  whoIs(): { readonly connection: string | null; readonly subject: string | null } {
    return { connection: this.#session?.id ?? null, subject: this.#session?.subject ?? null };
  }

  get idScope(): IdScope {
    return this.#session === null ? sharedScope : this.#session.idScope;
  }

  get payer(): Payer | null {
    return this.#session?.payer ?? null;
  }

  get expiresInMs(): number | null {
    return this.#session?.expiresInMs ?? null;
  }

  async refresh(token: string): Promise<void> {
    await this.#session?.refresh(token);
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

  join(topic: Topic): Membership {
    const membership: PendingMembership = { isCurrent: this.#socket !== null };
    if (this.#socket === null) return membership;
    this.#topics = withTopic(this.#topics, topic);
    this.#context.registry.add(topic, this.#codec.encoding);
    this.#pending ??= new Map();
    this.#pending.set(topic, membership);
    return membership;
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
    this.#context.registry.remove(topic, this.#codec.encoding);
    this.#socket.unsubscribe(groupOf(topic, this.#codec.encoding));
  }

  reply(reply: OutgoingReply): void {
    if (this.#socket === null || this.#closing !== null) return;
    if (this.#replies === null) {
      this.#replies = [];
      this.#context.outbox.add(this);
    }
    const hasPublications = 'publications' in reply && reply.publications.count > 0;
    this.#replies.push(hasPublications ? this.#withPublications(reply) : reply);
  }

  /** Everything that is sent of histories is written, charged and counted here. */
  #withPublications(reply: OutgoingReply): string | Uint8Array {
    const frame = this.#codec.reply(reply, this.room);
    this.payer?.onPublicationsRead(this.#codec.replyWork);
    this.#replyBytes += frame.length;
    // The codec writes the next reply over this one.
    return frame.slice();
  }

  // What the outbox needs.

  sendReplies(): void {
    const replies = this.#replies;
    const socket = this.#socket;
    this.#replies = null;
    this.#replyBytes = 0;
    if (replies === null || socket === null) return;
    const { isBinary } = this.#codec;
    socket.cork(() => {
      // A frame that is dropped ends the connection through `onDropped`; the result says nothing more.
      for (const reply of replies) {
        const isWritten = typeof reply === 'string' || reply instanceof Uint8Array;
        const frame = isWritten ? reply : this.#codec.reply(reply);
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
