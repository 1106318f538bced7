/** One topic on the wire: subscribes at the node once for all readers of this client, and hands out what comes. */
import type { Item, Position, Publications, Subscribed } from '@fanfare/protocol';
import { DataError, type ErrorCode, FanfareError, ReplyError } from './errors.js';
import { Queue } from './queue.js';
import { type ReconnectPolicy, reconnectDelayMs } from './reconnect.js';
import type { Answer, Requests } from './requests.js';
import type { Check, Checked } from './schemas.js';
import type { GapReason, Reader } from './subscription.js';

export interface FeedSettings extends ReconnectPolicy {
  readonly requests: Requests;
  readonly timeoutMs: number;
  readonly maxBufferedPublications: number;
  /** Whether a connection is up. */
  readonly isOpen: () => boolean;
  /** Gives the connection up: what the node thinks of a subscription is unknown. */
  readonly restart: () => void;
}

/**
 * - `waiting`: the node does not know of it: no connection, or a refusal that is tried again later.
 * - `asked`: the command is on its way; publications may come before its reply (PROTOCOL.md 8.1).
 */
type FeedState = 'waiting' | 'asked' | 'subscribed';

export class Feed {
  readonly topic: string;
  readonly readers = new Set<Reader>();
  readonly #settings: FeedSettings;
  readonly #check: Check | null;
  readonly #tellSubscribed: () => void;
  #state: FeedState = 'waiting';
  /** The last position seen, where the topic has any: what a resubscribe asks to go on from. */
  #position: Position | null = null;
  /** Whether anything has come on this connection: what comes on the next one has a gap before it. */
  #isHeard = false;
  #hasGap = false;
  #refusals = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  /** What comes behind a publication whose schema has not decided yet: the order stays. */
  readonly #unchecked = new Queue<() => void>();
  #checking: Promise<void> | null = null;

  constructor(topic: string, check: Check | null, settings: FeedSettings, onSubscribed: () => void) {
    this.topic = topic;
    this.#check = check;
    this.#settings = settings;
    this.#tellSubscribed = onSubscribed;
  }

  get state(): FeedState {
    return this.#state;
  }

  add(reader: Reader): void {
    this.readers.add(reader);
    if (this.#state !== 'subscribed') return;
    // Not at once: whoever subscribes has had no chance to listen yet.
    queueMicrotask(() => {
      if (this.#state === 'subscribed') reader.confirm({ position: this.#position, recovered: false });
    });
  }

  /** Asks the node. Does nothing where it has been asked, or where no connection is up: then the next one does it. */
  subscribe(): void {
    if (this.#state !== 'waiting' || !this.#settings.isOpen()) return;
    clearTimeout(this.#retry);
    this.#state = 'asked';
    const { topic } = this;
    const since = this.#position;
    this.#settings.requests.send(
      (id) => ({ type: 'subscribe', id, topic, since }),
      this.#settings.timeoutMs,
      (answer) => this.#onAnswer(answer),
    );
  }

  /** The connection is gone. */
  interrupt(): void {
    clearTimeout(this.#retry);
    this.#state = 'waiting';
    this.#hasGap ||= this.#isHeard;
    this.#isHeard = false;
    for (const reader of [...this.readers]) reader.interrupt(null);
  }

  /** Nobody reads any more. */
  stop(): void {
    clearTimeout(this.#retry);
    this.#state = 'waiting';
    this.#unchecked.clear();
  }

  end(code: ErrorCode, error: FanfareError | null): void {
    for (const reader of [...this.readers]) reader.end(code, error);
  }

  gap(reason: GapReason): void {
    if (this.#checking !== null) return this.#wait(() => this.gap(reason));
    for (const reader of [...this.readers]) reader.gap(reason);
  }

  onPublications({ items, position }: Pick<Publications, 'items' | 'position'>): void {
    this.#isHeard = true;
    if (position !== null) this.#position = moved(position, items.length - 1);
    items.forEach((item, index) => {
      this.#take(item, position === null ? null : moved(position, index));
    });
  }

  /** Resolves once no publication waits for its schema. */
  async checked(): Promise<void> {
    while (this.#checking !== null) await this.#checking;
  }

  #onAnswer(answer: Answer): void {
    // It was given up meanwhile: nobody reads, or the connection is gone and the next one will ask again.
    if (this.#state !== 'asked' || this.readers.size === 0) return;
    if (!(answer instanceof FanfareError)) return this.#onSubscribed(answer as Subscribed);
    if (answer.code === 'timeout') return this.#settings.restart();
    if (!(answer instanceof ReplyError)) return;
    this.#state = 'waiting';
    if (!answer.retryable) return this.end(answer.code, answer);
    this.#retry = setTimeout(() => this.subscribe(), reconnectDelayMs(this.#refusals, this.#settings));
    this.#refusals++;
    for (const reader of [...this.readers]) reader.interrupt(answer);
  }

  #onSubscribed({ position, recovered, publications }: Subscribed): void {
    this.#state = 'subscribed';
    this.#refusals = 0;
    this.#tellSubscribed();
    for (const reader of [...this.readers]) reader.confirm({ position, recovered });
    if (this.#hasGap && !recovered) this.gap('reconnected');
    this.#hasGap = false;
    // `position` is where the topic stands after them.
    this.onPublications({ items: publications, position: position && moved(position, 1 - publications.length) });
    this.#position = position;
  }

  #take(item: Item, position: Position | null): void {
    if (this.#checking !== null) return this.#wait(() => this.#take(item, position));
    if ('error' in item) return this.#handOut({ error: new DataError('undecodable', this.topic, []) }, position);
    const checked = this.#check === null ? item : this.#check(item.data);
    if (!(checked instanceof Promise)) return this.#handOut(checked, position);
    this.#checking = checked.then((late) => {
      this.#checking = null;
      this.#handOut(late, position);
      while (this.#checking === null) {
        const next = this.#unchecked.shift();
        if (next === undefined) return;
        next();
      }
    });
  }

  #wait(step: () => void): void {
    if (this.#unchecked.size < this.#settings.maxBufferedPublications) this.#unchecked.push(step);
    else this.end('slowConsumer', new FanfareError('slowConsumer'));
  }

  #handOut(checked: Checked, position: Position | null): void {
    if ('error' in checked) {
      for (const reader of [...this.readers]) reader.fail(checked.error);
      return;
    }
    const publication = { topic: this.topic, data: checked.data, position };
    for (const reader of [...this.readers]) reader.deliver(publication);
  }
}

function moved({ epoch, offset }: Position, by: number): Position {
  return { epoch, offset: offset + by };
}
