/**
 * Subscribes to a topic by long polls of its history, as a loop around curl does it: each answer has the position for
 * the next request, at any node.
 */
import { setTimeout as delay } from 'node:timers/promises';
import {
  type Answer,
  explainRefusal,
  HttpConnection,
  type HttpPlace,
  readProblem,
  retryAfterMs,
} from './http-exchange.js';
import type { TopicView } from './subscriber-logs.js';

interface PollOptions {
  readonly place: HttpPlace;
  readonly topic: string;
  readonly view: TopicView;
  /** How long a node holds a request. */
  readonly waitSeconds: number;
  readonly onSubscribed: () => void;
  /** A request had no answer, or the node refused it for now. */
  readonly onBroken: () => void;
}

interface Page {
  readonly epoch: string;
  readonly recovered: boolean;
  readonly publications: readonly { readonly offset: number; readonly data?: unknown; readonly error?: string }[];
}

/** In addition to the time for which a node holds a request, in milliseconds. */
const silenceMs = 5_000;
const pauseMs = 200;

export class HistoryPollClient {
  readonly #connection: HttpConnection;
  readonly #closing = new AbortController();
  /** The position of the last answer; null before the first one. */
  #since: string | null = null;

  constructor(private readonly options: PollOptions) {
    this.#connection = new HttpConnection(options.place);
  }

  /** Polls until {@link close}, or until a node refuses it for good: then it resolves with the reason. */
  async run(): Promise<string | null> {
    while (!this.#closing.signal.aborted) {
      const answer = await this.#ask().catch(() => null);
      if (this.#closing.signal.aborted) return null;
      if (answer?.status === 200 || answer?.status === 204) {
        this.#take(answer);
        continue;
      }
      const problem = answer === null ? null : readProblem(answer);
      if (answer !== null && problem?.retryable !== true) {
        const refusal = explainRefusal(answer);
        this.options.view.end(refusal);
        return refusal;
      }
      this.options.onBroken();
      const waitMs = answer === null ? pauseMs : (retryAfterMs(answer) ?? pauseMs);
      await delay(waitMs, null, { signal: this.#closing.signal }).catch(() => null);
    }
    return null;
  }

  close(): void {
    this.#closing.abort();
    this.#connection.leave();
  }

  #ask(): Promise<Answer> {
    const { topic, waitSeconds } = this.options;
    const query = this.#since === null ? 'since=now' : `since=${encodeURIComponent(this.#since)}&wait=${waitSeconds}`;
    return this.#connection.exchange({
      method: 'GET',
      path: `/v1/topics/${encodeURIComponent(topic)}/publications?${query}`,
      silenceMs: waitSeconds * 1_000 + silenceMs,
    });
  }

  #take({ status, headers, body }: Answer): void {
    const { view, onSubscribed } = this.options;
    const next = headers['fanfare-position'];
    const position = typeof next === 'string' ? /^(.+)-(\d+)$/.exec(next) : null;
    if (typeof next !== 'string' || position === null) return view.damage(`The Fanfare-Position is ${next}`);
    const before = this.#since;
    this.#since = next;
    const end = { epoch: position[1] as string, offset: Number(position[2]) };
    if (before === null) {
      view.confirm(end);
      onSubscribed();
      return;
    }
    if (status === 204) return;
    const { epoch, recovered, publications } = JSON.parse(body) as Page;
    if (!recovered) {
      const [first] = publications;
      const offset = first === undefined ? end.offset : first.offset - 1;
      view.report(before.startsWith(`${epoch}-`) ? 'gap' : 'reset', { epoch, offset });
    }
    for (const { offset, data, error } of publications) {
      if (error === undefined) view.deliver(data, { epoch, offset });
      else view.damage(`${error} at ${offset}`);
    }
  }
}
