/**
 * Publishes over HTTP: one request at a time, so that the topic keeps the order of the stream. A request whose outcome
 * is unknown is repeated with the same Idempotency-Key, at any node.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Acknowledgement } from '@fanfare/client';
import type { Level } from '@fanfare/kit/level';
import { publishTimeoutMs } from './client-options.js';
import { type Answer, HttpConnection, type HttpPlace, NoAnswer, readProblem, retryAfterMs } from './http-exchange.js';
import type { Numbered, VerifyTopic } from './numbered.js';
import { PublishRejection, type StreamPublisher } from './publisher-stream.js';

/** How long a node may take for an answer. Then the request is repeated, at another node if there is one. */
const silenceMs = 5_000;
const shortestPauseMs = 50;
const longestPauseMs = 1_000;

interface Waiting {
  readonly topic: VerifyTopic;
  readonly data: Numbered;
  readonly deadlineMs: number;
  readonly resolve: (acknowledgement: Acknowledgement) => void;
  readonly reject: (error: PublishRejection) => void;
}

export class HttpPublisher implements StreamPublisher, AsyncDisposable {
  readonly #connection: HttpConnection;
  readonly #waiting: Waiting[] = [];
  readonly #closing = new AbortController();
  #isBusy = false;

  constructor(
    place: HttpPlace,
    private readonly level: Level,
  ) {
    this.#connection = new HttpConnection(place);
  }

  publish(topic: VerifyTopic, data: Numbered): Promise<Acknowledgement> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ topic, data, deadlineMs: performance.now() + publishTimeoutMs, resolve, reject });
      if (!this.#isBusy) void this.#work();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    this.#connection.leave();
  }

  async #work(): Promise<void> {
    this.#isBusy = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      try {
        next.resolve(await this.#send(next));
      } catch (error) {
        next.reject(error as PublishRejection);
      }
    }
    this.#isBusy = false;
  }

  async #send({ topic, data, deadlineMs }: Waiting): Promise<Acknowledgement> {
    const key = randomUUID();
    const body = JSON.stringify(data);
    let maybeDelivered = false;
    for (let attempt = 0; ; attempt++) {
      // It may have waited behind others for most of its time. An attempt has its whole time, because one that is cut
      // short has an unknown outcome.
      if (performance.now() + silenceMs > deadlineMs) throw new PublishRejection('timeout', maybeDelivered);
      const outcome = await this.#attempt(topic, body, key);
      if ('position' in outcome) return outcome;
      maybeDelivered ||= outcome.maybeDelivered;
      // Topics of level `fast` remember no keys: a repeat could be a duplicate.
      const isSafe = this.level !== 'fast' || !maybeDelivered;
      const pauseMs = outcome.pauseMs ?? Math.min(longestPauseMs, shortestPauseMs * 2 ** attempt);
      if (!outcome.isRetryable || !isSafe || this.#closing.signal.aborted) {
        throw new PublishRejection(outcome.code, maybeDelivered);
      }
      await delay(pauseMs, null, { signal: this.#closing.signal }).catch(() => null);
    }
  }

  async #attempt(topic: VerifyTopic, body: string, key: string): Promise<Acknowledgement | Failure> {
    try {
      const answer = await this.#connection.exchange({
        method: 'POST',
        path: `/v1/topics/${encodeURIComponent(topic)}/publications`,
        headers: { 'Content-Type': 'application/json', 'Idempotency-Key': key },
        body,
        silenceMs,
      });
      return judge(answer, key);
    } catch (error) {
      const maybeDelivered = !(error instanceof NoAnswer) || error.maybeReceived;
      return { code: 'no answer', isRetryable: true, maybeDelivered, pauseMs: null };
    }
  }
}

interface Failure {
  readonly code: string;
  readonly isRetryable: boolean;
  readonly maybeDelivered: boolean;
  /** How long the node asks to wait; null if it does not. */
  readonly pauseMs: number | null;
}

function judge(answer: Answer, key: string): Acknowledgement | Failure {
  const wrong = (what: string): Failure => {
    return { code: `wrong answer: ${what}`, isRetryable: false, maybeDelivered: true, pauseMs: null };
  };
  if (answer.status === 200) {
    const { epoch, offset, messageId } = JSON.parse(answer.body) as Record<string, unknown>;
    if (messageId !== key) return wrong('another messageId');
    if (epoch === undefined && offset === undefined) return { position: null };
    if (typeof epoch !== 'string' || typeof offset !== 'number') return wrong('no position');
    return { position: { epoch, offset } };
  }
  const problem = readProblem(answer);
  if (problem === null) return wrong(`${answer.status} without a problem`);
  const { code, retryable, maybeDelivered } = problem;
  return { code, isRetryable: retryable, maybeDelivered, pauseMs: retryAfterMs(answer) };
}
