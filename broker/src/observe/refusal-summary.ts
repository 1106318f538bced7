/**
 * Logs how many requests the node has refused, and how many connections it has closed. At most one line a minute, even
 * during a flood. The line contains nothing that a client chooses. metrics.ts counts the same for graphs.
 */
import type { Log } from './log.js';

/** The kinds of refusals, in the words of the log line. */
const kinds = {
  authenticationsFailed: 'authentications failed',
  authenticationTimeouts: 'connections did not authenticate in time',
  subjectsRefused: 'connections beyond the limit of their subject',
  originsRefused: 'handshakes from origins that are not allowed',
  addressesRefused: 'handshakes from addresses with too many connections',
  handshakesLimited: 'handshakes or requests beyond the rate limit',
  connectionsOverCapacity: 'handshakes while the node was full',
  commandsNotPermitted: 'commands that the token does not permit',
  commandsLimited: 'commands beyond the rate limit',
  publicationsOverloaded: 'publications while the queue for Redis was full',
  slowSubscribers: 'connections closed for reading too slowly',
  connectionsShed: 'connections closed because of the total of unread bytes',
} as const;

type Kind = keyof typeof kinds;
const allKinds = Object.keys(kinds) as Kind[];

type RefusalCounters = Readonly<Record<Kind, number>>;

const intervalMs = 60_000;
/** The maximum number of reasons for failed authentications in one line. All other reasons share one count. */
const maxReasons = 8;
const other = 'other reasons';

export class RefusalSummary {
  readonly #timer: NodeJS.Timeout;
  readonly #reasons = new Map<string, number>();
  #before: RefusalCounters;
  #since = performance.now();

  constructor(
    private readonly counters: RefusalCounters,
    private readonly log: Log,
  ) {
    this.#before = copyOf(counters);
    this.#timer = setInterval(() => this.write(), intervalMs);
    this.#timer.unref();
  }

  /** Adds the reason of a failed authentication. It must contain no part of a token. */
  addReason(reason: string): void {
    const key = this.#reasons.has(reason) || this.#reasons.size < maxReasons ? reason : other;
    this.#reasons.set(key, (this.#reasons.get(key) ?? 0) + 1);
  }

  /** Logs the refusals since the last line, if any. */
  write(): void {
    const now = copyOf(this.counters);
    const seconds = Math.round((performance.now() - this.#since) / 1_000);
    const more = allKinds.flatMap((kind) => {
      const count = now[kind] - this.#before[kind];
      return count > 0 ? [{ kind, count }] : [];
    });
    const reasons = Object.fromEntries([...this.#reasons].toSorted(([, a], [, b]) => b - a));
    this.#before = now;
    this.#since = performance.now();
    this.#reasons.clear();
    if (more.length === 0) return;
    const counts = Object.fromEntries(more.map(({ kind, count }) => [kind, count]));
    const texts = more.map(({ kind, count }) => {
      const why = Object.entries(reasons).map(([reason, times]) => `${times} × ${reason}`);
      return `${count} ${kinds[kind]}${kind === 'authenticationsFailed' && why.length > 0 ? ` (${why.join(' ')})` : ''}`;
    });
    this.log.warn(
      { event: 'refusals', seconds, ...counts, ...(Object.keys(reasons).length > 0 ? { reasons } : {}) },
      `In ${seconds} s refused or closed: ${texts.join('; ')}.`,
    );
  }

  /** Logs the rest. */
  close(): void {
    clearInterval(this.#timer);
    this.write();
  }
}

function copyOf(counters: RefusalCounters): RefusalCounters {
  return Object.fromEntries(allKinds.map((kind) => [kind, counters[kind]])) as Record<Kind, number>;
}
