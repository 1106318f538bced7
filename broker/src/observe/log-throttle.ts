/**
 * Keeps a Redis that comes and goes from filling the log: of what it makes a node say, three lines of each kind are written in a minute, and the
 * others are counted and told together when it is over, or the node has stopped. What outages mean and do (outage.ts) is always written.
 */

/** Events whose lines come with each loss of a connection. `redisError` is bounded where it is said (redis-link.ts). */
const bounded: ReadonlySet<unknown> = new Set([
  'redisConnected',
  'redisLost',
  'redisReset',
  'redisRecovered',
  'probeMissed',
  'probeBack',
  'busDead',
  'topicsCompared',
]);

/** Nothing comes behind it. */
const last = 'stopped';

const intervalMs = 60_000;
const maxLines = 3;

/** Lines that were not written, by their event and connection: `redisLost (publisher)`. */
export type Omitted = Readonly<Record<string, number>>;

export class Repeats {
  readonly #tell: (omitted: Omitted) => void;
  readonly #lines = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(tell: (omitted: Omitted) => void) {
    this.#tell = tell;
  }

  /** Whether a line of this event is to be written. `link`: of which connection, where it is of one. */
  admits(event: unknown, link: () => unknown): boolean {
    if (event === last) this.#end();
    if (!bounded.has(event)) return true;
    const name = link();
    const kind = typeof name === 'string' ? `${event} (${name})` : String(event);
    if (this.#lines.size === 0) this.#timer = setTimeout(() => this.#end(), intervalMs).unref();
    const lines = (this.#lines.get(kind) ?? 0) + 1;
    this.#lines.set(kind, lines);
    return lines <= maxLines;
  }

  #end(): void {
    clearTimeout(this.#timer);
    const over = [...this.#lines].filter(([, lines]) => lines > maxLines);
    this.#lines.clear();
    if (over.length > 0) this.#tell(Object.fromEntries(over.map(([kind, lines]) => [kind, lines - maxLines])));
  }
}
