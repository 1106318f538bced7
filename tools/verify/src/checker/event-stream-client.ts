/**
 * Subscribes to topics by server-sent events, as a client in any language does it: it reads the stream, remembers the
 * last id, and opens the stream again with it, at any node. With `waitSeconds` each response ends after some events: a
 * long poll.
 */
import type { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Position } from '@fanfare/client';
import {
  type Answer,
  explainRefusal,
  HttpConnection,
  type HttpPlace,
  readProblem,
  retryAfterMs,
} from './http-exchange.js';
import type { TopicView } from './subscriber-logs.js';

interface StreamTopic {
  readonly topic: string;
  readonly view: TopicView;
}

interface StreamOptions {
  readonly place: HttpPlace;
  readonly topics: readonly StreamTopic[];
  /** For long polls; null: the stream stays open. */
  readonly waitSeconds: number | null;
  /** A node sends at least a comment in this time, in milliseconds. */
  readonly silenceMs: number;
  /** All topics are subscribed; called for each response. */
  readonly onSubscribed: () => void;
  /** A stream has ended. */
  readonly onEnd: () => void;
}

/** What browsers use until the stream says something else. */
const usualRetryMs = 3_000;

interface StreamEvent {
  readonly name: string;
  readonly data: string;
  readonly id: string | null;
}

export class EventStreamClient {
  readonly #connection: HttpConnection;
  readonly #closing = new AbortController();
  readonly #hasEnvelopes: boolean;
  #lastId: string | null = null;
  #retryMs = usualRetryMs;

  constructor(private readonly options: StreamOptions) {
    this.#connection = new HttpConnection(options.place);
    // Polls always have them, so both forms are checked.
    this.#hasEnvelopes = options.topics.length > 1 || options.waitSeconds !== null;
  }

  /** Reads until {@link close}, or until a node refuses it for good: then it resolves with the reason. */
  async run(): Promise<string | null> {
    const { onEnd, waitSeconds } = this.options;
    while (!this.#closing.signal.aborted) {
      const end = await this.#read().catch(() => 'broken' as const);
      if (typeof end !== 'string') return end.refusal;
      if (this.#closing.signal.aborted) return null;
      if (end === 'broken' || waitSeconds === null) {
        onEnd();
        await delay(this.#retryMs, null, { signal: this.#closing.signal }).catch(() => null);
      }
    }
    return null;
  }

  close(): void {
    this.#closing.abort();
    this.#connection.leave();
  }

  /** One response, and how it ended. */
  async #read(): Promise<'ended' | 'broken' | { readonly refusal: string }> {
    const { topics, waitSeconds, silenceMs } = this.options;
    const query = new URLSearchParams(topics.map(({ topic }): [string, string] => ['topic', topic]));
    if (waitSeconds !== null) query.set('wait', String(waitSeconds));
    if (this.#hasEnvelopes && topics.length === 1) query.set('envelope', '1');
    const response = await this.#connection.open({
      method: 'GET',
      path: `/v1/events?${query}`,
      headers: {
        Accept: 'text/event-stream',
        ...(this.#lastId === null ? {} : { 'Last-Event-ID': this.#lastId }),
      },
      silenceMs: silenceMs + (waitSeconds ?? 0) * 1_000,
    });
    if (response.statusCode !== 200) return await this.#refused(response);
    let isEnding = false;
    const parser = new EventParser(
      (event) => {
        isEnding ||= this.#take(event);
      },
      (retryMs) => {
        this.#retryMs = retryMs;
      },
    );
    response.setEncoding('utf8');
    for await (const piece of response as AsyncIterable<string>) parser.push(piece);
    return isEnding ? 'broken' : 'ended';
  }

  async #refused(response: IncomingMessage): Promise<'broken' | { readonly refusal: string }> {
    response.setEncoding('utf8');
    let body = '';
    for await (const piece of response as AsyncIterable<string>) body += piece;
    const answer: Answer = { status: response.statusCode ?? 0, headers: response.headers, body };
    const problem = readProblem(answer);
    this.#retryMs = retryAfterMs(answer) ?? this.#retryMs;
    if (problem?.retryable) return 'broken';
    const refusal = explainRefusal(answer);
    for (const { view } of this.options.topics) view.end(refusal);
    return { refusal };
  }

  /** Whether the stream ends after the event, and the next one must wait. */
  #take({ name, data, id }: StreamEvent): boolean {
    const { topics, onSubscribed } = this.options;
    // Only a stream that never began has none.
    if (name === 'unavailable' && id === null) return true;
    if (id === null) return this.#wrong(`The event ${name} has no id`);
    this.#lastId = id;
    const positions = readId(id, topics.length);
    if (positions === null) return this.#wrong(`The id is ${id}`);
    if (name === 'ready') {
      const { unavailable = [] } = JSON.parse(data) as { readonly unavailable?: readonly string[] };
      for (const [index, { topic, view }] of topics.entries())
        if (!unavailable.includes(topic)) view.confirm(positions[index] ?? null);
      onSubscribed();
      return false;
    }
    switch (name) {
      case 'goaway':
      case 'unavailable':
        return true;
      case 'message':
        if (!this.#hasEnvelopes) {
          topics[0]?.view.deliver(JSON.parse(data), positions[0] ?? null);
          return false;
        }
        break;
      case 'gap':
      case 'reset':
      case 'undecodable':
      case 'unsubscribed':
        break;
      default:
        return this.#wrong(`There is an event ${name}`);
    }
    const content = JSON.parse(data) as Record<string, unknown>;
    const index = topics.findIndex(({ topic }) => topic === content['topic']);
    const view = topics[index]?.view;
    if (view === undefined) return this.#wrong(`The topic is ${content['topic']}`);
    const { epoch, offset } = content;
    const position = typeof epoch === 'string' && typeof offset === 'number' ? { epoch, offset } : null;
    if (name === 'gap' || name === 'reset') view.report(name, position);
    else if (name === 'unsubscribed') view.end(`${content['code']}: ${content['detail']}`);
    else if (name === 'undecodable' || 'error' in content) view.damage(data);
    else {
      const inId = positions[index];
      if (inId?.epoch !== position?.epoch || inId?.offset !== position?.offset) {
        view.damage(`The id is ${id}, and the data is ${data.slice(0, 100)}`);
      }
      view.deliver(content['data'], position);
    }
    return false;
  }

  #wrong(sentence: string): false {
    this.options.topics[0]?.view.damage(sentence);
    return false;
  }
}

/** The positions of an id, in the order of the topics; null if it has others. A part with a credential may follow. */
function readId(id: string, topics: number): readonly (Position | null)[] | null {
  const parts = (id.split('~')[0] ?? '').split('.');
  if (parts.length !== topics) return null;
  const positions: (Position | null)[] = [];
  for (const part of parts) {
    const match = /^(.+)-(\d+)$/.exec(part);
    if (part !== '*' && match === null) return null;
    positions.push(match === null ? null : { epoch: match[1] as string, offset: Number(match[2]) });
  }
  return positions;
}

/** Parses an event stream (WHATWG HTML section 9.2.6), except `\r` alone as the end of a line. */
export class EventParser {
  #rest = '';
  #name = '';
  #data: string[] = [];
  #id: string | null = null;

  constructor(
    private readonly onEvent: (event: StreamEvent) => void,
    private readonly onRetry: (retryMs: number) => void,
  ) {}

  push(piece: string): void {
    const lines = (this.#rest + piece).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#take(line.endsWith('\r') ? line.slice(0, -1) : line);
  }

  #take(line: string): void {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    switch (name) {
      case 'event':
        this.#name = value;
        return;
      case 'data':
        this.#data.push(value);
        return;
      case 'id':
        this.#id = value;
        return;
      case 'retry':
        if (/^\d+$/.test(value)) this.onRetry(Number(value));
        return;
    }
  }

  #dispatch(): void {
    const [name, data, id] = [this.#name || 'message', this.#data, this.#id];
    [this.#name, this.#data, this.#id] = ['', [], null];
    if (data.length > 0) this.onEvent({ name, data: data.join('\n'), id });
  }
}
