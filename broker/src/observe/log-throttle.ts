/**
 * Keeps an unstable Redis from filling the log. Three lines of each kind are written per minute. The others are
 * counted, and one line reports them at the end of the minute or when the node stops. The lines of outage.ts are always
 * written.
 */

/** Events that are logged for each lost connection. redis-link.ts itself limits `redisError`. */
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

/** The last line of a node. */
const last = 'stopped';

const intervalMs = 60_000;
const maxLines = 3;

/** Number of omitted lines by event and connection: `redisLost (publisher)`. */
type Omitted = Readonly<Record<string, number>>;

export class LogThrottle {
  readonly #lines = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly onOmitted: (omitted: Omitted) => void) {}

  /** Whether to write a line of this event. `link`: the name of its connection, if any. */
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
    if (over.length > 0) this.onOmitted(Object.fromEntries(over.map(([kind, lines]) => [kind, lines - maxLines])));
  }
}
