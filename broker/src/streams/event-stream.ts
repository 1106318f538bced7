/**
 * One event stream (`GET /v1/events`). It holds no publications: what its client has not read yet is read again from the
 * history, so each stream has few fields. The id of each event contains the positions of all its topics, and any node
 * continues from them.
 */
import {
  type CloseReason,
  closeReasons,
  type Position,
  positionsText,
  ReplyError,
  type Run,
  type Topic,
} from '@fanfare/protocol';
import type { Action } from '../auth/permissions.js';
import type { Exchange } from '../http/exchange.js';
import { problemOf } from '../http/problem.js';
import type { Address } from '../limits/addresses.js';
import { isAhead } from '../relay/position-id.js';
import type { EventForm, EventRun, OwnIds } from '../topics/event-run.js';
import { type EventName, eventText, heartbeat, placeOf, retryField, unavailableRetryField } from './event-text.js';
import { errorOf, HeldResponse, isUnavailable } from './held-response.js';
import { beginStream, refuseStream } from './stream-answer.js';
import type { StreamContext, StreamStart } from './stream-context.js';
import type { StreamResponse } from './stream-response.js';

/**
 * `opening`: the answer has not begun. `catchingUp`: publications are read from the history. `blocked`: the client has
 * to read first. `live`: publications are sent as they arrive.
 */
type State = 'opening' | 'catchingUp' | 'blocked' | 'live';

interface EventStreamOptions {
  readonly form: EventForm;
  /** The stream ends after the first news, or after this many seconds, 0: at once; null: it stays open. */
  readonly waitSeconds: number | null;
  /** Whether the id contains a credential, because the client has only a ticket, which is used up. */
  readonly needsCredential: boolean;
}

/** What a stream needs until its answer has begun. */
interface Opening {
  readonly exchange: Exchange;
  readonly needsCredential: boolean;
}

/** Publications that are read from the history at once. */
const pageLimit = 1_000;

/** Comments are early by a random share of the interval, up to this, so that not all streams get them at once. */
const heartbeatSpread = 0.25;

export class EventStream extends HeldResponse {
  protected readonly topics: readonly Topic[];
  readonly #form: EventForm;
  /** The position of each topic, up to which the client gets everything. Null if the topic keeps no history. */
  readonly #positions: (Position | null)[];
  #state: State = 'opening';
  /** Null when the answer has begun. */
  #opening: Opening | null;
  /** Null before the answer has begun. */
  #response: StreamResponse | null = null;
  /** Whether Redis is being read. Meanwhile, a `fast` publication may block the stream. */
  #isReading = false;
  /** What is behind the positions in the id. */
  #credential = '';
  /** One bit for each topic whose client may have missed publications that are in no history. */
  #missed = 0;
  /** One bit for each topic that the client knows to be unavailable. */
  #unavailable = 0;
  /** Whether the client has got anything that ends a stream with `wait`. */
  #hasNews = false;
  /** Bytes of the chunk that did not fit; 0 if there is none. */
  bufferedBytes = 0;
  /** When the next comment is due, or, if it is blocked, when it is dropped: whole seconds of performance.now(). */
  #dueAt = 0;
  /** When a stream with `wait` ends; 0 if it stays open. */
  #endsAt: number;

  constructor(
    context: StreamContext,
    { topics, since }: StreamStart,
    address: Address | null,
    exchange: Exchange,
    { form, waitSeconds, needsCredential }: EventStreamOptions,
  ) {
    super(context, address, waitSeconds !== null);
    this.topics = topics;
    this.#form = form;
    this.#opening = { exchange, needsCredential };
    this.#positions = topics.map(() => null);
    for (const [index, topic] of topics.entries()) {
      const begin = since?.[index] ?? null;
      if (since === null || begin === 'now') continue;
      this.#positions[index] = begin;
      // A client that was here before may have missed what no history has.
      if (begin === null || !context.relay.hasHistory(topic)) this.#miss(index);
    }
    this.#hasNews = waitSeconds === 0;
    this.#endsAt = waitSeconds === null ? 0 : secondsOf(performance.now()) + waitSeconds;
    context.open.eventStreams++;
    exchange.holder = this;
  }

  protected get action(): Action {
    return 'subscribe';
  }

  protected sinceOf(index: number): Position | null {
    return this.#positions[index] ?? null;
  }

  protected override async prepare(): Promise<void> {
    const { sessions } = this.context;
    const identity = this.authentication?.identity ?? null;
    if (
      this.#opening?.needsCredential !== true ||
      sessions === null ||
      identity === null ||
      this.authentication === null
    )
      return;
    this.#credential = `~${await sessions.streamCredentials.seal(identity, this.authentication.id, this.topics)}`;
  }

  protected begin(): void {
    const { exchange } = this.#opening as Opening;
    for (const [index, topic] of this.topics.entries()) {
      if (this.isMissing(index)) this.#unavailable |= 1 << index;
      else this.#positions[index] = this.#beginningOf(index, topic);
    }
    const events = retryField() + eventText('ready', this.#greeting, this.#id);
    const response = beginStream(exchange, events, this.isBrief);
    // From here on, nothing needs the head of the request.
    // A bound function takes half the memory of an arrow function.
    response.onAborted(this.onAborted.bind(this));
    this.#opening = null;
    this.#response = response;
    this.#planHeartbeat(performance.now());
    this.#catchUp();
  }

  protected onFound(): void {
    if (this.#state === 'live') this.#catchUp();
  }

  /**
   * The newest positions, which show a client what it has missed, the longest time between two comments, and the topics
   * that it does not get now.
   */
  get #greeting(): object {
    const { relay, sseHeartbeatMs: heartbeatMs } = this.context;
    const newest = this.topics.map((topic, index) => {
      if (this.#isUnavailable(index)) return this.#positions[index] ?? null;
      return relay.hasHistory(topic) ? relay.subscribeResult(topic, null).position : null;
    });
    const unavailable = this.topics.filter((_, index) => this.#isUnavailable(index));
    return { positions: positionsText(newest), heartbeatMs, ...(unavailable.length === 0 ? {} : { unavailable }) };
  }

  #isUnavailable(index: number): boolean {
    return (this.#unavailable & (1 << index)) !== 0;
  }

  /** The topics that the client gets have changed. */
  #announceTopics(): void {
    this.#write(eventText('ready', this.#greeting, this.#id));
  }

  /** The position after which the stream begins in a topic. */
  #beginningOf(index: number, topic: Topic): Position | null {
    const since = this.#positions[index] ?? null;
    if (!this.context.relay.hasHistory(topic)) return null;
    if (since !== null) return since;
    const { position, publications } = this.context.relay.subscribeResult(topic, null);
    // `publications` has the last value, if the topic gives it to new subscribers.
    return position === null ? null : { epoch: position.epoch, offset: position.offset - publications.count };
  }

  override onAborted(): void {
    this.#response = null;
    this.#opening = null;
    super.onAborted();
  }

  protected override finish(): void {
    if (!this.isOver) this.context.open.eventStreams--;
    this.#response = null;
    this.#opening = null;
    super.finish();
  }

  // Deliveries.

  onRun(run: EventRun): void {
    if (this.#state !== 'live') {
      // The history has it.
      if (run.first !== null || this.#state === 'opening') return;
      if (this.#state === 'blocked') return this.#miss(this.topics.indexOf(run.topic));
    }
    const index = this.#indexOf(run.topic);
    // It is read from the history when the topic is available again.
    if (run.first !== null && this.#isUnavailable(index)) return;
    this.#send(index, run);
    this.#endIfDone();
  }

  onGap(topic: Topic, position: Position | null): void {
    if (this.#state === 'live') {
      const index = this.#indexOf(topic);
      if (position !== null && this.#isUnavailable(index)) return;
      this.#notify('gap', index, position);
      this.#endIfDone();
    } else if (position === null && this.#state !== 'opening') this.#miss(this.topics.indexOf(topic));
  }

  onReset(topic: Topic, position: Position): void {
    // A stream that catches up finds out itself that its epoch is over.
    const index = this.#indexOf(topic);
    if (this.#state !== 'live' || this.#isUnavailable(index)) return;
    this.#notify('reset', index, position);
    this.#endIfDone();
  }

  #indexOf(topic: Topic): number {
    return this.topics.length === 1 ? 0 : this.topics.indexOf(topic);
  }

  #miss(index: number): void {
    this.#missed |= 1 << index;
  }

  #send(index: number, run: EventRun): void {
    const { counters } = this.context;
    this.#positions[index] = run.last;
    const chunk = this.#hasOwnIds ? run.own(this.#form, this.#ownIds(index)) : run.shared(this.#form);
    counters.deliveries += run.run.count;
    counters.streamEvents += run.run.count;
    counters.bytesOut += chunk.length;
    this.#hasNews = true;
    this.#write(chunk);
  }

  #notify(name: EventName, index: number, position: Position | null, isNews = true): void {
    this.#positions[index] = position;
    if (isNews) this.#hasNews = true;
    this.context.counters.streamEvents++;
    this.#write(eventText(name, placeOf(this.topics[index] as Topic, position), this.#id));
  }

  #write(chunk: string | Uint8Array): void {
    if (!this.context.writer.write(this.#response as StreamResponse, chunk)) this.#block(chunk.length);
  }

  // The client reads more slowly than publications arrive.

  #block(bytes: number): void {
    this.context.counters.streamPauses++;
    this.#state = 'blocked';
    this.bufferedBytes = bytes;
    this.#dueAt = secondsOf(performance.now()) + this.context.idleTimeoutSeconds;
    // Most streams never need it.
    this.#response?.onWritable(() => {
      this.#onWritable();
      return true;
    });
  }

  #onWritable(): void {
    if (this.#state !== 'blocked' || this.#response === null) return;
    this.bufferedBytes = 0;
    this.#planHeartbeat(performance.now());
    this.#catchUp();
  }

  /** Sends everything up to now, and then continues with what arrives. */
  #catchUp(): void {
    this.#state = 'catchingUp';
    // It continues after the read. A second read of the same page would send it twice.
    if (this.#isReading) return;
    for (let index = 0; index < this.topics.length; index++) if (!this.#catchUpIn(index)) return;
    // Nothing was awaited since the first topic, so deliveries follow without gap or overlap.
    this.#state = 'live';
    this.#endIfDone();
  }

  /** Returns false if the stream is blocked, or reads from the history first. */
  #catchUpIn(index: number): boolean {
    const topic = this.topics[index] as Topic;
    const { relay } = this.context;
    if (this.isMissing(index) !== this.#isUnavailable(index)) {
      this.#unavailable ^= 1 << index;
      if (!this.#isUnavailable(index)) this.#positions[index] = this.#beginningOf(index, topic);
      this.#announceTopics();
      if (this.#isBlocked) return false;
    }
    if (this.isMissing(index)) return true;
    const since = this.#positions[index] ?? null;
    if ((this.#missed & (1 << index)) !== 0) {
      this.#missed &= ~(1 << index);
      // Before anything else, such a gap is no news for a client that returns.
      this.#notify('gap', index, since, this.#hasNews);
      if (this.#isBlocked) return false;
    }
    if (since === null) return true;
    const { position, recovered, publications } = relay.subscribeResult(topic, since);
    if (position === null) return true;
    if (recovered) return this.#sendPage(index, since.offset + 1, publications);
    if (isAhead(since, position)) {
      void this.#await(index, () => this.#reach(index, since));
      return false;
    }
    if (position.epoch === since.epoch) {
      void this.#await(index, () => this.#readPage(index, since));
      return false;
    }
    this.#notify('reset', index, position);
    return !this.#isBlocked;
  }

  /** Returns false if the client has to read first. */
  #sendPage(index: number, first: number, run: Run): boolean {
    if (run.count === 0) return true;
    this.authentication?.subject?.onPublicationsRead(run.bytes.length);
    const { epoch } = this.#positions[index] as Position;
    return this.context.pages.forEach(this.topics[index] as Topic, { epoch, offset: first }, run, (piece) => {
      this.#send(index, piece);
      return !this.#isBlocked;
    });
  }

  /** Reads from Redis, and then catches up on. `read` resolves with whether the stream can continue. */
  async #await(index: number, read: () => Promise<boolean>): Promise<void> {
    this.#isReading = true;
    try {
      const canContinue = await read().finally(() => {
        this.#isReading = false;
      });
      if (canContinue) this.#catchUp();
    } catch (error) {
      if (this.#response === null) return;
      if (!isUnavailable(error) || !this.lose(index)) return this.failWith(error);
      if (!this.#isBlocked) this.#catchUp();
    }
  }

  /** Sends what is not in the memory of the node. */
  async #readPage(index: number, since: Position): Promise<boolean> {
    const topic = this.topics[index] as Topic;
    const { relay } = this.context;
    const page = await relay.history(topic, { since, limit: pageLimit, direction: 'forward' });
    // If it is blocked, it reads the page again when the client has read what is before it.
    if (this.#response === null || this.#isBlocked) return false;
    const { position, recovered, first, publications } = page;
    // The node knows later publications. That Redis does not have them now is no proof that they are lost.
    if (!isAhead(position, since)) throw new ReplyError('unavailable', 'Redis is behind this node. Retry.');
    // The node knows the other epoch by now.
    if (position.epoch !== since.epoch) return true;
    if (!recovered) {
      const offset = first === null ? position.offset : first - 1;
      this.#notify('gap', index, { epoch: since.epoch, offset });
      if (this.#isBlocked) return false;
    }
    return first === null || this.#sendPage(index, first, publications);
  }

  /** Waits until the node has reached the position of the client. Rejects if it cannot say whether that is lost. */
  async #reach(index: number, position: Position): Promise<boolean> {
    const topic = this.topics[index] as Topic;
    const { relay } = this.context;
    await relay.subscribe(topic, position);
    if (this.#response === null || this.#isBlocked) return false;
    const { position: here } = relay.subscribeResult(topic, null);
    // Redis has lost it.
    if (here !== null && isAhead(position, here)) this.#notify('reset', index, here);
    return !this.#isBlocked;
  }

  get #isBlocked(): boolean {
    return this.#state === 'blocked';
  }

  // Ids.

  get #id(): string {
    return positionsText(this.#positions) + this.#credential;
  }

  get #hasOwnIds(): boolean {
    return this.topics.length > 1 || this.#credential !== '';
  }

  #ownIds(index: number): OwnIds {
    const before = this.#positions.slice(0, index);
    const after = this.#positions.slice(index + 1);
    return {
      before: before.length === 0 ? '' : `${positionsText(before)}.`,
      after: (after.length === 0 ? '' : `.${positionsText(after)}`) + this.#credential,
    };
  }

  // The end.

  /** A stream with `wait` ends after its first news. */
  #endIfDone(): void {
    if (this.isBrief && this.#hasNews && this.#state === 'live') this.#end('');
  }

  protected fail(error: ReplyError, topic: Topic | null = null): void {
    if (this.isOver) return;
    if (this.#opening !== null) {
      const problem = problemOf(error, false, topic === null ? {} : { topic });
      refuseStream(this.#opening.exchange, problem, this.context.counters);
      return this.finish();
    }
    const data = { code: error.code, detail: error.message };
    this.context.counters.streamsUnavailable++;
    this.#end(unavailableRetryField() + eventText('unavailable', data, this.#id));
  }

  close(reason: CloseReason): void {
    if (this.isOver) return;
    if (this.#response === null) return this.fail(errorOf(reason));
    switch (reason.code) {
      case closeReasons.draining.code:
        return this.#goAway();
      case closeReasons.tokenExpired.code:
        return this.#end(eventText('tokenExpired', {}, this.#id));
      case closeReasons.revoked.code: {
        const { code, message: detail } = errorOf(reason);
        const ends = this.topics.map((topic) => eventText('unsubscribed', { topic, code, detail }, this.#id));
        return this.#end(ends.join(''));
      }
      default:
        return this.fail(errorOf(reason));
    }
  }

  invite(delayMs: number): void {
    if (this.isOver || this.isInvited) return;
    this.isInvited = true;
    setTimeout(() => this.#goAway(), delayMs).unref();
  }

  /** Ends the stream, so that the client connects again, perhaps to another node. */
  #goAway(): void {
    if (this.isOver) return;
    if (this.#response === null) return this.fail(errorOf(closeReasons.draining));
    this.#end(retryField() + eventText('goaway', {}, this.#id));
  }

  /** Sends the last events, and ends the response cleanly: Firefox never returns after a stream that was cut off. */
  #end(events: string): void {
    const response = this.#response;
    if (response === null) return;
    response.cork(() => response.end(events === '' ? undefined : events));
    this.finish();
  }

  // For the sweep.

  keepAlive(nowMs: number): void {
    const response = this.#response;
    if (response === null) return;
    this.askAgain();
    const now = secondsOf(nowMs);
    if (this.isBrief && now >= this.#endsAt && !this.#isBlocked) return this.#end('');
    if (this.#isBlocked) {
      if (now >= this.#dueAt) return this.#drop(response);
      // This restarts the timeout of uWebSockets. Otherwise it would close the stream after 12 s, although the client may
      // still be reading what is in the kernel (findings/uwebsockets-blocked-response.sh). After `resume` alone,
      // `onWritable` was not always called.
      response.pause();
      response.resume();
    } else if (now >= this.#dueAt) {
      this.#planHeartbeat(nowMs);
      this.#write(heartbeat);
    }
  }

  /** The client has read nothing for too long. */
  #drop(response: StreamResponse): void {
    this.context.counters.slowSubscribers++;
    // This calls `onAborted`.
    response.close();
  }

  #planHeartbeat(nowMs: number): void {
    const intervalMs = this.context.sseHeartbeatMs * (1 - Math.random() * heartbeatSpread);
    this.#dueAt = secondsOf(nowMs + intervalMs);
  }
}

/** A small integer takes no memory of its own. */
function secondsOf(ms: number): number {
  return Math.floor(ms / 1_000);
}
