/**
 * Detects whether Redis deletes keys to make room for others (maxmemory-policy). Evicted histories and messageIds are
 * lost. No command fails then, so nothing else would show it.
 */
import type { Log } from '../observe/log.js';

/** The connection, as this file needs it. */
interface EvictionLink {
  readonly isReady: boolean;
  /** Sections of INFO. Rejects if Redis does not answer, or does not permit it. */
  info(...sections: ('memory' | 'server' | 'stats')[]): Promise<string>;
}

interface EvictionCounters {
  /** Keys that Redis has evicted since this node connected. */
  redisEvictions: number;
}

/** How often Redis is asked, in milliseconds. */
const intervalMs = 10_000;
/** How often evictions are logged again while they continue, in milliseconds. */
const logIntervalMs = 600_000;

export class EvictionWatch {
  readonly #timer: NodeJS.Timeout;
  /** The server that answered last, and how many keys it had evicted. Null before the first answer. */
  #last: { readonly runId: string; readonly evicted: number } | null = null;
  #warnedOfPolicy: string | null = null;
  #loggedAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly link: EvictionLink,
    private readonly log: Log,
    private readonly counters: EvictionCounters,
  ) {
    this.#timer = setInterval(() => void this.look(), intervalMs);
    this.#timer.unref();
  }

  /** Asks Redis now, and from then on at intervals. Call it when the connection works. */
  async look(): Promise<void> {
    if (!this.link.isReady) return;
    try {
      const info = await this.link.info('memory', 'server', 'stats');
      this.#checkPolicy(fieldOf(info, 'maxmemory_policy'), Number(fieldOf(info, 'maxmemory')));
      this.#count(fieldOf(info, 'run_id'), Number(fieldOf(info, 'evicted_keys')));
    } catch {
      // The connection is lost, or INFO is not permitted. Both are logged elsewhere, because the scripts need INFO too.
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #checkPolicy(policy: string, maxBytes: number): void {
    if (policy === 'noeviction' || maxBytes === 0) this.#warnedOfPolicy = null;
    else if (policy !== this.#warnedOfPolicy) {
      this.#warnedOfPolicy = policy;
      this.log.warn(
        { event: 'redisSettings', setting: 'maxmemory-policy' },
        `Redis has maxmemory-policy ${policy}. When it is full, it evicts histories, and their subscribers get a reset. Set maxmemory-policy noeviction (docs/operations.md, Redis).`,
      );
    }
  }

  #count(runId: string, evicted: number): void {
    const last = this.#last;
    this.#last = { runId, evicted };
    // Each server counts from its own start, so counts of two servers cannot be compared.
    if (last?.runId !== runId) return;
    const before = last.evicted;
    // The count is lower after CONFIG RESETSTAT.
    if (evicted <= before) return;
    this.counters.redisEvictions += evicted - before;
    const now = performance.now();
    if (now - this.#loggedAt < logIntervalMs) return;
    this.#loggedAt = now;
    this.log.error(
      { event: 'redisEvicts', keys: evicted - before },
      `Redis has evicted ${evicted - before} keys because it is full. Histories are lost, and their subscribers get a reset. Give Redis more memory, and set maxmemory-policy noeviction (docs/operations.md, Redis). Logged every 10 minutes; see the metric fanfare_redis_evictions_total.`,
    );
  }
}

function fieldOf(info: string, name: string): string {
  return new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1] ?? '';
}
