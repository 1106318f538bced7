/**
 * A request for history that waits for the next publication (`GET /v1/topics/{topic}/publications?wait=`). The node
 * keeps nothing for a client between two requests.
 */
import {
  type CloseReason,
  closeReasons,
  type HistoryDirection,
  type Position,
  positionText,
  type ReplyError,
  type Topic,
} from '@fanfare/protocol';
import type { Action } from '../auth/permissions.js';
import { defaultHistoryLimit } from '../handlers/history.js';
import { type Exchange, notStored } from '../http/exchange.js';
import { answerPage, type HistoryQuery, positionHeader } from '../http/history-request.js';
import { problemOf } from '../http/problem.js';
import type { Address } from '../limits/addresses.js';
import type { HistoryPage } from '../relay/relay.js';
import type { EventRun } from '../topics/event-run.js';
import { errorOf, HeldResponse } from './held-response.js';
import type { StreamContext } from './stream-context.js';

const direction: HistoryDirection = 'forward';

export class HeldPoll extends HeldResponse {
  readonly #topic: Topic;
  readonly #exchange: Exchange;
  readonly #limit: number;
  readonly #isNow: boolean;
  /** The position after which it waits. Null before it is known, and if it begins with the oldest publication. */
  #since: Position | null;
  #isWaiting = false;
  /** When it is answered without a publication, in whole seconds of performance.now(). */
  readonly #endsAt: number;

  constructor(context: StreamContext, query: HistoryQuery, address: Address | null, exchange: Exchange) {
    super(context, address, true);
    const { topic, since, limit, wait } = query;
    // One text for all polls of a topic.
    this.#topic = context.registry.audienceOf(topic)?.topic ?? topic;
    this.#exchange = exchange;
    this.#limit = limit ?? defaultHistoryLimit;
    this.#isNow = since === 'now';
    this.#since = since === 'now' ? null : since;
    this.#endsAt = Math.floor(performance.now() / 1_000) + (wait ?? 0);
    context.open.heldPolls++;
    exchange.holder = this;
  }

  protected get topics(): readonly Topic[] {
    return [this.#topic];
  }

  protected get action(): Action {
    return 'history';
  }

  get bufferedBytes(): number {
    return 0;
  }

  protected sinceOf(): Position | null {
    return this.#since;
  }

  protected begin(): void {
    const { position, recovered, publications } = this.context.relay.subscribeResult(this.#topic, this.#since);
    const isEmpty = this.#since === null && position?.offset === 0;
    const isAtEnd = this.#isNow || isEmpty || (recovered && publications.count === 0);
    if (!isAtEnd) return this.#read();
    this.#since = position;
    this.#isWaiting = true;
    this.#exchange.forgetHeaders();
  }

  protected onFound(): void {
    // It has one topic, and begins with it.
  }

  onRun(run: EventRun): void {
    if (!this.#isWaiting || run.first === null || run.last === null) return;
    const { epoch } = run.first;
    // Usually they all wait at the end of the topic.
    if (epoch !== this.#since?.epoch || run.first.offset !== this.#since.offset + 1) return this.#read();
    if (run.run.count > this.#limit) return this.#read();
    this.#answer({ position: run.last, recovered: true, first: run.first.offset, publications: run.run });
  }

  onGap(): void {
    if (this.#isWaiting) this.#read();
  }

  onReset(): void {
    if (this.#isWaiting) this.#read();
  }

  /** Answers with a page of the history, whatever is in it. */
  #read(): void {
    this.#isWaiting = false;
    const request = { since: this.#since, limit: this.#limit, direction };
    this.context.relay.history(this.#topic, request).then(
      (page) => this.#answer(page),
      (error: unknown) => {
        if (!this.isOver) this.failWith(error);
      },
    );
  }

  #answer(page: HistoryPage): void {
    if (this.isOver) return;
    this.authentication?.subject?.onPublicationsRead(page.publications.bytes.length);
    this.context.counters.deliveries += page.publications.count;
    answerPage(this.#exchange, { type: 'history', id: null, topic: this.#topic, ...page, direction });
    this.finish();
  }

  /** Nothing was published. */
  #answerEmpty(): void {
    if (this.isOver) return;
    if (this.#since === null) return this.fail(errorOf(closeReasons.draining));
    this.#exchange.answerEmpty('204 No Content', { ...notStored, [positionHeader]: positionText(this.#since) });
    this.finish();
  }

  protected fail(error: ReplyError, topic: Topic | null = null): void {
    if (this.isOver) return;
    this.#exchange.refuse(problemOf(error, false, topic === null ? {} : { topic }));
    this.finish();
  }

  close(reason: CloseReason): void {
    if (reason.code === closeReasons.draining.code) this.#answerEmpty();
    else this.fail(errorOf(reason));
  }

  invite(delayMs: number): void {
    if (this.isOver || this.isInvited) return;
    this.isInvited = true;
    setTimeout(() => this.#answerEmpty(), delayMs).unref();
  }

  keepAlive(nowMs: number): void {
    if (this.#isWaiting && nowMs >= this.#endsAt * 1_000) this.#answerEmpty();
  }

  protected override finish(): void {
    if (!this.isOver) this.context.open.heldPolls--;
    super.finish();
  }
}
