/**
 * The checker against a cluster that is already running: publishes with acknowledgement, subscribes, and judges what
 * arrived. It injects no fault: the user causes one during the load.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type ClientOptions, ConnectionError, ReplyError } from '@fanfare/client';
import { checkBroker } from '@fanfare/kit/broker-url';
import { closeReasons } from '@fanfare/protocol';
import { WebSocket } from 'ws';
import { Checker, type CheckerOptions, type CheckerReport, publishersFor } from '../checker/checker.js';
import { httpPlace } from '../checker/http-exchange.js';
import { Refused } from '../checker/http-subscribers.js';
import { reasonsAgainst } from '../checker/verdict.js';

export interface ExistingClusterOptions extends CheckerOptions {
  /** Clients are spread over them. A client that loses its connection tries the next one. */
  readonly urls: readonly [string, ...string[]];
  /** A token or API key for `verify.>`; null: the cluster requires none. */
  readonly token: string | null;
  readonly seconds: number;
}

export interface ExistingClusterResult extends CheckerReport {
  readonly isGood: boolean;
  /** Why it is bad; empty if it is good. */
  readonly reasons: readonly string[];
  /** How long the load lasted; shorter than requested if it was stopped. */
  readonly seconds: number;
  /** The longest time in which no publication was acknowledged, in milliseconds. */
  readonly longestPauseMs: number;
}

const lookIntervalMs = 100;
const progressIntervalMs = 5_000;

/** Three heartbeats of event streams, unless the cluster has its own setting. */
const streamSilenceMs = 45_000;

/** What a cluster keeps of a topic if nothing else is configured. */
const defaultHistorySize = 500;

/** Ends the load early when `stopped` resolves, and judges what there is. */
export async function checkExistingCluster(
  options: ExistingClusterOptions,
  stopped: Promise<unknown>,
  say: (line: string) => void,
): Promise<ExistingClusterResult> {
  const { urls, token, level, seconds } = options;
  for (const url of urls) await checkBroker(url, token);
  say(`${options.subscribers} subscribers`);
  // Two runs at the same time must not see each other's publications.
  const topicPrefix = `verify.${randomBytes(4).toString('hex')}` as const;
  const clientOptions = { ...inTurn(urls), ...(token === null ? {} : { getToken: () => token }) };
  await using checker = await Checker.open(urls[0], publishersFor(urls.length), options, {
    topicPrefix,
    clientOptions,
    http: httpPlace(urls, token),
    streamSilenceMs,
  }).catch(explain);
  checker.start();
  say(`load for ${seconds} s; cause the fault now`);
  const startedMs = performance.now();
  const pauses = new Pauses(checker, startedMs);
  const progress = setInterval(() => say(describe(checker)), progressIntervalMs);
  const looking = setInterval(() => pauses.look(performance.now()), lookIntervalMs);
  const over = new AbortController();
  void stopped.then(() => over.abort());
  await delay(seconds * 1_000, null, { signal: over.signal }).catch(() => null);
  clearInterval(progress);
  clearInterval(looking);
  const ranSeconds = (performance.now() - startedMs) / 1_000;
  say('waiting for answers and deliveries');
  await checker.settle();
  for (const note of notesOn(options)) checker.note(note);
  const report = await checker.judge();
  const problems = report.findings.withoutPosition > 0 && level !== 'fast' ? [noHistory] : [];
  const reasons = reasonsAgainst({ ...report, maxWaitMs: Number.POSITIVE_INFINITY, problems }, level, 'allowed');
  return { ...report, isGood: reasons.length === 0, reasons, seconds: ranSeconds, longestPauseMs: pauses.longestMs };
}

/** Adds what to do to the error of a cluster that requires tokens. */
function explain(error: unknown): never {
  if (error instanceof ConnectionError && error.closeCode === closeReasons.unauthenticated.code) {
    throw new Error(
      `The cluster rejects the token, or requires one: set it with --token. The cluster answered: ${error.message}`,
    );
  }
  if (error instanceof ReplyError && error.code === 'notPermitted') {
    throw new Error(
      `The token must permit publish, subscribe and history on verify.>. The cluster answered: ${error.message}`,
    );
  }
  if (error instanceof Refused && error.message.includes('noHistory'))
    throw new Error(`With --level recoverable or durable: ${noHistory}.`);
  throw error;
}

const noHistory =
  'the topics verify.> have level fast on this cluster: use --level fast, or give them another level in FANFARE_TOPICS';

function notesOn({ rate, topics, level }: ExistingClusterOptions): string[] {
  const perTopic = rate / topics;
  if (level === 'fast' || perTopic * 60 <= defaultHistorySize) return [];
  const seconds = Math.floor(defaultHistorySize / perTopic);
  return [
    `Each topic gets ${perTopic.toFixed(1)} publications/s. With the default historySize (${defaultHistorySize}), subscribers that are away for longer than ${seconds} s are notified of a gap.`,
  ];
}

/** Each attempt to connect goes to the next URL, whatever URL the client believes to dial. */
function inTurn(urls: readonly [string, ...string[]]): Pick<ClientOptions, 'webSocket'> {
  let turn = 0;
  const openSocket = (_: string | URL, protocols?: string | string[]): WebSocket =>
    new WebSocket(urls[turn++ % urls.length] ?? urls[0], protocols);
  // The client calls it with `new`, and takes the socket that it returns.
  function Socket(url: string | URL, protocols?: string | string[]): WebSocket {
    return openSocket(url, protocols);
  }
  return { webSocket: Socket as unknown as typeof globalThis.WebSocket };
}

/** Finds the longest time in which no publication was acknowledged. */
class Pauses {
  #acknowledged = 0;
  #sinceMs: number;
  longestMs = 0;

  constructor(
    private readonly checker: Checker,
    nowMs: number,
  ) {
    this.#sinceMs = nowMs;
  }

  look(nowMs: number): void {
    this.longestMs = Math.max(this.longestMs, nowMs - this.#sinceMs);
    const { acknowledged } = this.checker.published;
    if (acknowledged > this.#acknowledged) this.#sinceMs = nowMs;
    this.#acknowledged = acknowledged;
  }
}

function describe({ published, pending }: Checker): string {
  const { acknowledged, refused, unknown } = published;
  return `${acknowledged} acknowledged, ${pending} without an answer yet, ${refused} refused, ${unknown - pending} with an unknown outcome`;
}
