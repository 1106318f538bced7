/**
 * The subscriptions of one event stream (`GET /v1/events`). It opens the stream again, from the positions that it has
 * reached, when a topic joins or leaves, and when the stream ends. A long poll is a stream that ends after a while.
 */
import { type Item, type Position, parsePositionsText, positionText } from '@fanfare/protocol';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { type ReconnectPolicy, reconnectDelayMs } from '../reconnect.js';
import type { Message } from './command-queue.js';
import { foreign, headersOf, isAboutToken, type Problem, problemIn, reasonOf } from './http.js';

interface ChannelListener {
  /** A message for the client, like one of a WebSocket. */
  onMessage(message: Message): void;
  /** A node has answered: a stream has begun, or is refused. */
  onAnswer(): void;
  /** Bytes have arrived. */
  onAlive(): void;
  /** A node refuses the stream, and not because of one topic. */
  onRefused(problem: Problem): void;
  /** There is no stream. `isMute`: nothing has arrived in time. */
  onFailed(reason: string, isMute: boolean): void;
}

interface ChannelSettings extends ReconnectPolicy {
  readonly api: string;
  /** Whether a stream ends after a while. */
  readonly isPolling: boolean;
  /** How long the first bytes of a stream may take, in milliseconds. */
  readonly silenceMs: number;
  readonly token: () => string | null;
}

/** The maximum number of topics of a stream. */
const maxTopics = 32;

/** uWebSockets may refuse a longer request line. */
const maxUrlBytes = 1_200;

/** How long a poll waits at the node, in seconds: shorter than the default interval of pings. */
const waitSeconds = 20;

/** How long an open stream may be silent until the node has named the interval of its comments, in milliseconds. */
const firstIdleMs = 20_000;

/** A stream that lasts this long resets the count of failures, in milliseconds. */
const stableMs = 10_000;

/** How long a node may refuse the stream of open subscriptions until the connection is lost, in milliseconds. */
const maxRefusedMs = 5_000;

/** The maximum number of publications that wait for the end of a recovery. */
const maxRecovered = 1_000;

/** A `subscribe` that is not answered. */
interface Join {
  readonly id: number | undefined;
  /** The position that the client has seen; null if it wants new publications only. */
  readonly since: Position | null;
  /** What the client has missed, and where that ends; null until the stream begins. */
  recovery: { readonly end: Position; readonly items: Item[] } | null;
}

interface Subscription {
  /** The position that the client has reached; null if it is not known, or the topic keeps no history. */
  at: Position | null;
  /** Null after the answer. */
  join: Join | null;
}

/** The data of an event. */
interface EventData {
  readonly topic: string;
  readonly epoch?: string;
  readonly offset?: number;
  readonly code?: string;
  readonly detail?: string;
  /** The newest positions of all topics when the stream began. */
  readonly positions?: string;
  /** The topics that the node cannot serve now. It does as soon as it can. */
  readonly unavailable?: readonly string[];
  /** Longest time between two comments, in milliseconds. */
  readonly heartbeatMs?: number;
}

/** A stream that is open or being opened. */
interface Stream {
  readonly request: AbortController;
  readonly subscriptions: ReadonlyMap<string, Subscription>;
  readonly openedAtMs: number;
  isBegun: boolean;
  /** Whether it has brought anything. */
  isUseful: boolean;
  /** How long it may be silent, in milliseconds. */
  idleMs: number;
  /** How long the node asks to wait before the next opening, in milliseconds. */
  retryMs: number;
}

const tokenExpired: Problem = {
  code: 'tokenExpired',
  message: 'The token has expired.',
  retryable: false,
  retryAfterMs: null,
  topic: null,
};

/** What a node answers on a WebSocket. */
const topicUnavailable: Problem = {
  code: 'unavailable',
  message: 'The topic is unavailable: its Redis does not respond. Retry.',
  retryable: true,
  retryAfterMs: null,
  topic: null,
};

export class EventChannel {
  readonly #settings: ChannelSettings;
  readonly #listener: ChannelListener;
  readonly #subscriptions = new Map<string, Subscription>();
  #stream: Stream | null = null;
  #isOpenPlanned = false;
  /** Whether the stream has to be opened again as soon as it has begun. */
  #isOutdated = false;
  /** One timer: until the next opening, or until the stream has been silent for too long. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;
  /** Since when nodes have refused the stream; null if they have not. */
  #refusedAtMs: number | null = null;
  /** Whether the client waits for the beginning of a stream. */
  #isChecking = false;
  #isClosed = false;

  constructor(settings: ChannelSettings, listener: ChannelListener) {
    this.#settings = settings;
    this.#listener = listener;
  }

  get isEmpty(): boolean {
    return this.#subscriptions.size === 0;
  }

  has(topic: string): boolean {
    return this.#subscriptions.has(topic);
  }

  /** Whether one more topic fits into the URL. */
  hasRoom(topic: string): boolean {
    const topics = [...this.#subscriptions.keys(), topic];
    return topics.length <= maxTopics && this.#urlOf(topics, 0).length <= maxUrlBytes;
  }

  add(topic: string, since: Position | null, id: number | undefined): void {
    this.#subscriptions.set(topic, { at: since, join: { id, since, recovery: null } });
    this.open();
  }

  /** Nothing arrives for the topic any more. Returns its `subscribe` if that is not answered. */
  remove(topic: string): Pick<Join, 'id'> | null {
    const join = this.#subscriptions.get(topic)?.join ?? null;
    this.#subscriptions.delete(topic);
    this.open();
    return join;
  }

  /** Opens the stream again, to find out whether a node answers. */
  check(): void {
    this.#isChecking = true;
    this.open();
  }

  /** Opens the stream again: once for all calls of a turn of the event loop, and not before the last one has begun. */
  open(): void {
    if (this.#isOpenPlanned) return;
    this.#isOpenPlanned = true;
    queueMicrotask(() => {
      this.#isOpenPlanned = false;
      if (this.#stream?.isBegun === false && !this.isEmpty) this.#isOutdated = true;
      else void this.#open();
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#stop();
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#stream?.request.abort();
    this.#stream = null;
    this.#isOutdated = false;
  }

  async #open(): Promise<void> {
    this.#stop();
    if (this.#isClosed || this.isEmpty) return;
    const subscriptions = new Map(this.#subscriptions);
    const stream: Stream = {
      request: new AbortController(),
      subscriptions,
      openedAtMs: performance.now(),
      isBegun: false,
      isUseful: false,
      idleMs: firstIdleMs,
      retryMs: 0,
    };
    this.#stream = stream;
    const { isPolling, silenceMs, token } = this.#settings;
    // A poll ends at once if the client waits for an answer.
    const isHasty = this.#isChecking || [...subscriptions.values()].some(({ join }) => join !== null);
    const waitMs = isPolling && !isHasty ? waitSeconds * 1_000 : 0;
    const mute = `No event stream within ${silenceMs + waitMs} ms: a proxy may hold it back.`;
    this.#wait(silenceMs + waitMs, () => this.#listener.onFailed(mute, true));
    try {
      const response = await fetch(this.#urlOf([...subscriptions.keys()], waitMs / 1_000), {
        headers: {
          ...headersOf(token()),
          'Last-Event-ID': [...subscriptions.values()].map(textOf).join('.'),
        },
        signal: stream.request.signal,
        // Otherwise the cache of a browser lets one of two polls wait for the other.
        cache: 'no-store',
      } as RequestInit);
      const problem = await problemIn(response);
      if (this.#stream !== stream) return;
      if (problem !== null) return this.#onRefused(problem);
      const isStream = /^text\/event-stream\b/.test(response.headers.get('Content-Type') ?? '');
      if (response.body === null || !isStream) return this.#listener.onFailed(foreign(response), false);
      await this.#read(stream, response.body);
    } catch (error) {
      if (this.#stream === stream) this.#onEnd(stream, reasonOf(error));
    }
  }

  #urlOf(topics: readonly string[], wait: number): string {
    const query = new URLSearchParams({ envelope: '1' });
    for (const topic of topics) query.append('topic', topic);
    if (this.#settings.isPolling) query.set('wait', String(wait));
    return `${this.#settings.api}events?${query}`;
  }

  async #read(stream: Stream, body: ReadableStream<Uint8Array>): Promise<void> {
    let retryMs = 0;
    const parser = createParser({
      onEvent: (event) => {
        if (event.event === 'unavailable') stream.retryMs = retryMs;
        else if (this.#stream === stream) this.#onEvent(event, stream);
      },
      onRetry: (delayMs) => {
        retryMs = delayMs;
      },
    });
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (;;) {
      // Not `.read`: in the files for pages, members of that name have another name (internal-names.js).
      const { done, value } = await reader['read']();
      if (this.#stream !== stream) return;
      if (done) return this.#onEnd(stream, 'The event stream was empty.');
      this.#listener.onAlive();
      parser.feed(decoder.decode(value, { stream: true }));
      if (this.#stream !== stream) return;
      this.#wait(stream.idleMs, () => this.open());
    }
  }

  #wait(delayMs: number, then: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, delayMs);
  }

  /** Each stream ends at some time. Any node can continue it. `reason`: why it is a failure if it has not begun. */
  #onEnd({ isBegun, isUseful, openedAtMs, retryMs }: Stream, reason: string): void {
    if (!isBegun) return this.#listener.onFailed(reason, false);
    this.#stream = null;
    const isGood = isUseful || performance.now() - openedAtMs >= stableMs;
    if (isGood) this.#failures = 0;
    const isNext = isGood && this.#settings.isPolling;
    const delayMs = isNext ? 0 : reconnectDelayMs(this.#failures++, this.#settings);
    this.#wait(Math.max(delayMs, retryMs), () => this.open());
  }

  #onRefused(problem: Problem): void {
    const { code, retryable, retryAfterMs, topic } = problem;
    const isJoining = (name: string): boolean => (this.#subscriptions.get(name)?.join ?? null) !== null;
    // Without a topic, it is about all of them. Those that have just joined get an answer, and the client decides.
    const refused = topic !== null && this.has(topic) ? [topic] : [...this.#subscriptions.keys()].filter(isJoining);
    if (isAboutToken(code) || (!retryable && refused.length === 0)) return this.#listener.onRefused(problem);
    this.#stream = null;
    this.#listener.onAnswer();
    for (const name of refused) if (!retryable || isJoining(name)) this.#onLeft({ ...problem, topic: name });
    if (!retryable || this.isEmpty) return this.open();
    const delayMs = (retryAfterMs ?? 0) + reconnectDelayMs(this.#failures++, this.#settings);
    const now = performance.now();
    this.#refusedAtMs ??= now;
    // Nothing arrives for the other topics. A new connection may reach another node, and the application hears of it.
    if (now + delayMs - this.#refusedAtMs > maxRefusedMs) return this.#listener.onRefused(problem);
    this.#wait(delayMs, () => this.open());
  }

  /** The node does not permit the topic, or no longer. */
  #onLeft(problem: Problem & { readonly topic: string }): void {
    const { topic, code, message, retryable, retryAfterMs } = problem;
    if (isAboutToken(code)) return this.#listener.onRefused(problem);
    const join = this.#subscriptions.get(topic)?.join ?? null;
    this.#subscriptions.delete(topic);
    if (join === null) this.#listener.onMessage({ type: 'unsubscribed', topic, code, message });
    else this.#listener.onMessage({ type: 'error', id: join.id, code, message, retryable, retryAfterMs });
  }

  #onEvent({ event, id, data }: EventSourceMessage, stream: Stream): void {
    const content = JSON.parse(data) as EventData;
    if (id !== undefined) {
      const positions = parsePositionsText(id) ?? [];
      for (const [index, subscription] of [...stream.subscriptions.values()].entries()) {
        subscription.at = positions[index] ?? null;
      }
    }
    if (event === 'ready') return this.#onReady(stream, content);
    if (event === 'tokenExpired') return this.#listener.onRefused(tokenExpired);
    const { topic, epoch, offset, code, detail } = content;
    const subscription = stream.subscriptions.get(topic);
    // The topic may have left meanwhile.
    if (subscription === undefined || this.#subscriptions.get(topic) !== subscription) return;
    switch (event ?? 'message') {
      case 'message':
        stream.isUseful = true;
        return this.#onPublication(content, subscription);
      case 'gap':
      case 'reset':
        // Each poll of a topic without history begins with a gap.
        stream.isUseful ||= epoch !== undefined;
        if (subscription.join?.recovery) this.#answer(topic, subscription, false);
        return this.#listener.onMessage({ type: event as string, topic, epoch, offset });
      case 'unsubscribed':
        return this.#onLeft({ code: code ?? '', message: detail ?? '', retryable: false, retryAfterMs: null, topic });
    }
  }

  /** The stream has begun: at the positions of the client, or at the newest ones. */
  #onReady(stream: Stream, { positions = '', heartbeatMs = firstIdleMs, unavailable = [] }: EventData): void {
    const ends = parsePositionsText(positions) ?? [];
    stream.isBegun = true;
    this.#refusedAtMs = null;
    stream.idleMs = 1.5 * heartbeatMs;
    this.#isChecking = false;
    this.#listener.onAnswer();
    for (const [index, [topic, subscription]] of [...stream.subscriptions].entries()) {
      const { at, join } = subscription;
      // A recovery continues from where the last stream has ended.
      if (this.#subscriptions.get(topic) !== subscription || join === null || join.recovery !== null) continue;
      if (unavailable.includes(topic)) {
        this.#onLeft({ ...topicUnavailable, topic });
        continue;
      }
      const end = ends[index] ?? at;
      if (at !== null && join.since !== null && end !== null) join.recovery = { end, items: [] };
      const mustWait = at?.epoch === end?.epoch && (at?.offset ?? 0) < (end?.offset ?? 0);
      if (join.recovery === null || !mustWait) this.#answer(topic, subscription, true);
      stream.isUseful = true;
    }
    if (this.#isOutdated) this.open();
  }

  #onPublication(content: EventData, subscription: Subscription): void {
    const { topic, epoch, offset } = content;
    // The data of the event has the members of an item.
    const item = content as unknown as Item;
    const recovery = subscription.join?.recovery;
    if (!recovery) return this.#listener.onMessage({ type: 'publications', topic, epoch, offset, items: [item] });
    recovery.items.push(item);
    if (offset === recovery.end.offset) this.#answer(topic, subscription, true);
    else if (recovery.items.length === maxRecovered) this.#answer(topic, subscription, false);
  }

  /** Answers a `subscribe`. `isComplete`: nothing is missing between the position of the client and the end. */
  #answer(topic: string, subscription: Subscription, isComplete: boolean): void {
    const { join, at } = subscription;
    if (join === null) return;
    subscription.join = null;
    const { id, since, recovery } = join;
    const items = recovery?.items ?? [];
    const position = recovery?.end ?? at;
    const recovered =
      isComplete && since !== null && position !== null && position.offset === since.offset + items.length;
    const publications = recovered ? items : [];
    this.#listener.onMessage({ type: 'subscribed', id, topic, ...position, recovered, publications });
    if (recovered || items.length === 0 || since === null) return;
    this.#listener.onMessage({ type: 'publications', topic, epoch: since.epoch, offset: since.offset + 1, items });
  }
}

function textOf({ at, join }: Subscription): string {
  return join?.since === null ? 'now' : positionText(at);
}
