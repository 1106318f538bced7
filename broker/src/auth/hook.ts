/**
 * Asks a backend over HTTP whether a client may do what its token permits: `POST <url>` with what is asked as JSON, answered
 * `{"allow":true}` or `{"allow":false,"reason":"…"}`. It can take away, not give.
 */
import type { Topic } from '@fanfare/protocol';
import type { Log } from '../observe/log.js';
import { explainFailure, readBody } from './http.js';
import type { Action } from './permissions.js';

export const hookEvents = ['connect', 'subscribe', 'publish'] as const;
export type HookEvent = (typeof hookEvents)[number];

/**
 * The event under which the hook is asked about an action. Every way to read a topic is the same question: a client that the backend does
 * not let subscribe does not get the history either.
 */
export const eventOf: Readonly<Record<Action, HookEvent>> = {
  publish: 'publish',
  subscribe: 'subscribe',
  history: 'subscribe',
  presence: 'subscribe',
};

export interface HookSettings {
  readonly url: string;
  readonly events: readonly HookEvent[];
  /** How long an answer may take, in milliseconds. */
  readonly timeoutMs: number;
  /** Questions that may be open at once; more are refused, whatever `whenDown` says. */
  readonly maxConcurrent: number;
  /** What holds while the backend does not answer. */
  readonly whenDown: 'refuse' | 'allow';
  /** Sent as `Authorization: Bearer`, so that the backend knows who asks; null: nothing is. */
  readonly token: string | null;
}

export interface HookCounters {
  hookRequests: number;
  hookFailures: number;
}

/** What is asked. */
export interface Question {
  readonly event: HookEvent;
  /** Null of an API key. */
  readonly issuer: string | null;
  readonly subject: string;
  readonly connection: string;
  readonly topic: Topic | null;
}

/** `reason`: a sentence for the client; null where the backend gave none. `isDown`: it did not answer. */
export type Decision =
  | { readonly isAllowed: true }
  | { readonly isAllowed: false; readonly reason: string | null; readonly isDown: boolean };

/** Longest answer that is read, in bytes, and longest reason that is passed on, in characters. */
const maxAnswerBytes = 16_384;
const maxReasonLength = 200;

/** How often a fault that lasts is said again, in milliseconds. */
const complaintIntervalMs = 10_000;

/** How many of the questions that may be open can be about one user: one alone must not keep all others out. */
function shareOf(maxConcurrent: number): number {
  return Math.ceil(maxConcurrent / 4);
}

export class Hook {
  readonly #settings: HookSettings;
  readonly #counters: HookCounters;
  readonly #log: Log;
  #open = 0;
  /** Open questions about each user; nobody without any is in it. */
  readonly #openOf = new Map<string, number>();
  #complainedAt = Number.NEGATIVE_INFINITY;

  constructor(settings: HookSettings, log: Log, counters: HookCounters) {
    this.#settings = settings;
    this.#log = log;
    this.#counters = counters;
  }

  asksAbout(event: string): event is HookEvent {
    return this.#settings.events.some((name) => name === event);
  }

  /** Never rejects. */
  async decide(question: Question): Promise<Decision> {
    const { maxConcurrent } = this.#settings;
    // A service is trusted not to use up what is there for all.
    const user = question.issuer === null ? null : `${question.issuer} ${question.subject}`;
    const isGreedy = user !== null && (this.#openOf.get(user) ?? 0) >= shareOf(maxConcurrent);
    if (isGreedy || this.#open >= maxConcurrent) {
      if (!isGreedy) this.#down(`has reached the limit of ${maxConcurrent} concurrent requests`);
      // Whatever holds while it is down: a client that asks much is not to get past it.
      return { isAllowed: false, reason: null, isDown: true };
    }
    this.#count(user, 1);
    this.#counters.hookRequests++;
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
    const { url, token, timeoutMs } = this.#settings;
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
    const said = typeof reason === 'string' ? reason.slice(0, maxReasonLength) : null;
    return { isAllowed: false, reason: said, isDown: false };
  }

  #down(why: string): Decision {
    this.#counters.hookFailures++;
    const now = performance.now();
    if (now - this.#complainedAt >= complaintIntervalMs) {
      this.#complainedAt = now;
      const { whenDown } = this.#settings;
      const effect = whenDown === 'allow' ? 'its requests are allowed' : 'its requests are refused';
      this.#log.error(
        { event: 'hookFailed' },
        `The hook of FANFARE_AUTH ${why}: ${effect} ("whenDown": "${whenDown}").`,
      );
    }
    return this.#settings.whenDown === 'allow' ? { isAllowed: true } : { isAllowed: false, reason: null, isDown: true };
  }
}
