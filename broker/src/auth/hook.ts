/**
 * The authorization hook: asks a backend whether a client may do what its token permits. It sends `POST <url>` with a
 * question in JSON; the answer is `{"allow":true}` or `{"allow":false,"reason":"…"}`. The hook can only deny, never
 * grant.
 */
import type { Topic } from '@fanfare/protocol';
import type { Log } from '../observe/log.js';
import { explainFailure, readBody } from './http.js';
import type { Action } from './permissions.js';

export const hookEvents = ['connect', 'subscribe', 'publish'] as const;
export type HookEvent = (typeof hookEvents)[number];

/**
 * The event that each action counts as. Every command that reads a topic counts as `subscribe`. A client that may not
 * subscribe must not get the history either.
 */
export const eventOf: Readonly<Record<Action, HookEvent>> = {
  publish: 'publish',
  subscribe: 'subscribe',
  history: 'subscribe',
};

export interface HookSettings {
  readonly url: string;
  readonly events: readonly HookEvent[];
  /** How long the answer may take, in milliseconds. */
  readonly timeoutMs: number;
  /** Maximum number of concurrent requests. More are refused, whatever `whenDown` is. */
  readonly maxConcurrent: number;
  /** The decision if the backend does not answer. */
  readonly whenDown: 'refuse' | 'allow';
  /** Sent as `Authorization: Bearer`, so that the backend can check who asks; null: no header. */
  readonly token: string | null;
}

interface HookCounters {
  hookRequests: number;
  hookFailures: number;
}

/** The body of the request. */
export interface Question {
  readonly event: HookEvent;
  /** Null for an API key. */
  readonly issuer: string | null;
  readonly subject: string;
  /** The name of the connection; null for an HTTP request, which has none. */
  readonly connection: string | null;
  readonly topic: Topic | null;
}

/** `reason`: a sentence for the client; null if the backend gave none. `isDown`: the backend did not answer. */
export type Decision =
  | { readonly isAllowed: true }
  | { readonly isAllowed: false; readonly reason: string | null; readonly isDown: boolean };

/** Longest answer in bytes, and longest reason in characters. */
const maxAnswerBytes = 16_384;
const maxReasonLength = 200;

/** How often a lasting fault is logged, in milliseconds. */
const logIntervalMs = 10_000;

/** Maximum number of concurrent requests about one user, so that one user cannot block all others. */
function shareOf(maxConcurrent: number): number {
  return Math.ceil(maxConcurrent / 4);
}

export class Hook {
  #open = 0;
  /** Number of open requests about each user, without users that have none. */
  readonly #openOf = new Map<string, number>();
  #loggedAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly settings: HookSettings,
    private readonly log: Log,
    private readonly counters: HookCounters,
  ) {}

  asksAbout(event: string): event is HookEvent {
    return this.settings.events.some((name) => name === event);
  }

  /** Never rejects. */
  async decide(question: Question): Promise<Decision> {
    const { maxConcurrent } = this.settings;
    // Services are trusted not to use up the requests of all.
    const user = question.issuer === null ? null : `${question.issuer} ${question.subject}`;
    const isGreedy = user !== null && (this.#openOf.get(user) ?? 0) >= shareOf(maxConcurrent);
    if (isGreedy || this.#open >= maxConcurrent) {
      if (!isGreedy) this.#down(`has reached the limit of ${maxConcurrent} concurrent requests`);
      // Whatever `whenDown` is: otherwise a client could bypass the hook with many requests.
      return { isAllowed: false, reason: null, isDown: true };
    }
    this.#count(user, 1);
    this.counters.hookRequests++;
    try {
      return await this.#ask(question);
    } catch (error) {
      return this.#down(explainFailure(error));
    } finally {
      this.#count(user, -1);
    }
  }

  #count(user: string | null, change: 1 | -1): void {
    this.#open += change;
    if (user === null) return;
    const open = (this.#openOf.get(user) ?? 0) + change;
    if (open === 0) this.#openOf.delete(user);
    else this.#openOf.set(user, open);
  }

  async #ask(question: Question): Promise<Decision> {
    const { url, token, timeoutMs } = this.settings;
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...(token === null ? {} : { Authorization: `Bearer ${token}` }) },
      body: JSON.stringify(question),
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = await readBody(response, maxAnswerBytes);
    if (response.status !== 200) return this.#down(`returned status ${response.status}`);
    const answer: unknown = JSON.parse(text);
    const { allow, reason } = (typeof answer === 'object' && answer !== null ? answer : {}) as Record<string, unknown>;
    if (allow === true) return { isAllowed: true };
    if (allow !== false) return this.#down('returned neither {"allow":true} nor {"allow":false}');
    const sentence = typeof reason === 'string' ? reason.slice(0, maxReasonLength) : null;
    return { isAllowed: false, reason: sentence, isDown: false };
  }

  #down(why: string): Decision {
    this.counters.hookFailures++;
    const now = performance.now();
    if (now - this.#loggedAt >= logIntervalMs) {
      this.#loggedAt = now;
      const { whenDown } = this.settings;
      const effect = whenDown === 'allow' ? 'its requests are allowed' : 'its requests are refused';
      this.log.error(
        { event: 'hookFailed' },
        `The hook of FANFARE_AUTH ${why}: ${effect} ("whenDown": "${whenDown}").`,
      );
    }
    return this.settings.whenDown === 'allow' ? { isAllowed: true } : { isAllowed: false, reason: null, isDown: true };
  }
}
