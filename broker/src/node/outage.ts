/**
 * Logs outages of Redis. The first line describes the effect on clients. While the outage lasts, one line per minute
 * follows. The last line has its duration and effects. The log lines of redis-link.ts name the connection and its
 * fault.
 */
import type { Log } from '../observe/log.js';
import type { RelayState } from '../relay/relay.js';

/** Counters that show the effects of an outage; metrics.ts describes each. */
interface OutageCounters {
  commandsUnavailable: number;
  publicationsUnconfirmed: number;
  publicationsUnrelayed: number;
  publicationsRepaired: number;
  gapsNotified: number;
  resetsNotified: number;
}

/** The node, as this file needs it. */
interface OutageSubject {
  state(): RelayState;
  connections(): number;
  /** Whether topics of level `fast` are in use. */
  readonly hasFastTopics: boolean;
}

/** How often the state is checked, in milliseconds. */
const checkMs = 100;
/** How long a starting node may take to reach Redis before that counts as an outage, in milliseconds. */
const startMs = 3_000;
/**
 * An outage is over when Redis has been back for this long, in milliseconds. Repeated failures are one outage, and the
 * nodes need the time to compare topics.
 */
const steadyMs = 1_000;
/** How often a lasting outage is logged, in milliseconds. */
const remindMs = 60_000;

/** Why the relay does not reach the other nodes. */
const outageReasons = {
  connecting: 'Redis is not connected',
  unproven: 'Redis is connected but does not deliver publications',
  outOfMemory: 'Redis is out of memory (maxmemory) and rejects publications',
  mapFault: 'the node has no valid map of partitions',
  closed: 'the node has stopped',
} as const satisfies Record<Exclude<RelayState, 'connected'>, string>;

/** Why a node is not ready: a name for metrics and alerts, and the sentence of /readyz. */
export const notReadyReasons = {
  ...outageReasons,
  draining: 'draining',
  revocations: 'the revocation list from Redis is missing or outdated',
} as const;

export type NotReadyReason = keyof typeof notReadyReasons;

interface Outage {
  /** All times are of performance.now(). */
  readonly since: number;
  readonly before: OutageCounters;
  remindAt: number;
  /** When Redis was back; null while it is not. */
  backAt: number | null;
  /** How often Redis was lost. */
  times: number;
}

export class OutageWatch {
  readonly #timer: NodeJS.Timeout;
  readonly #startedAt = performance.now();
  #wasConnected = false;
  /** The counters at the last check before the outage, so that commands that failed with the connection also count. */
  #before: OutageCounters;
  #outage: Outage | null = null;

  constructor(
    private readonly subject: OutageSubject,
    private readonly counters: OutageCounters,
    private readonly log: Log,
  ) {
    this.#before = pick(counters);
    this.#timer = setInterval(() => this.#check(performance.now()), checkMs);
    this.#timer.unref();
  }

  /** The node stops: logs the end of an outage that lasts. */
  close(): void {
    clearInterval(this.#timer);
    const outage = this.#outage;
    if (outage !== null) this.#end(outage, outage.backAt ?? performance.now(), outage.backAt !== null);
  }

  #check(now: number): void {
    const state = this.subject.state();
    const outage = this.#outage;
    if (state === 'connected') {
      this.#wasConnected = true;
      if (outage === null) {
        this.#before = pick(this.counters);
        return;
      }
      outage.backAt ??= now;
      if (now - outage.backAt >= steadyMs) this.#end(outage, outage.backAt, true);
    } else if (state !== 'closed') {
      if (outage === null) {
        if (this.#wasConnected || now - this.#startedAt > startMs) this.#begin(state, now);
        return;
      }
      if (outage.backAt !== null) outage.times++;
      outage.backAt = null;
      if (now >= outage.remindAt) this.#remind(outage, state, now);
    }
  }

  #begin(state: keyof typeof outageReasons, now: number): void {
    const since = this.#wasConnected ? now : this.#startedAt;
    this.#outage = { since, before: this.#before, remindAt: now + remindMs, backAt: null, times: 1 };
    const { hasFastTopics } = this.subject;
    const connections = this.subject.connections();
    const reach = state === 'outOfMemory' ? '' : ', but only for subscribers of this node';
    const fast = hasFastTopics ? ` Topics of level fast still work${reach}.` : '';
    const when = this.#wasConnected ? 'OUTAGE' : 'OUTAGE since startup';
    this.log.error(
      { event: 'outageBegan', reason: outageReasons[state], connections },
      `${when}: ${outageReasons[state]}. ${connections} clients stay connected. The node rejects acknowledged publishes and new subscriptions, and delivers nothing new on topics with history.${fast} /readyz returns 503.`,
    );
  }

  #remind(outage: Outage, state: keyof typeof outageReasons, now: number): void {
    outage.remindAt = now + remindMs;
    const lastsMs = Math.round(now - outage.since);
    this.log.error(
      { event: 'outageLasts', reason: outageReasons[state], lastsMs, times: outage.times, ...this.#effectsOf(outage) },
      `OUTAGE for ${seconds(lastsMs)}: ${outageReasons[state]}. ${this.#sentenceOf(outage)}`,
    );
  }

  #end(outage: Outage, at: number, isOver: boolean): void {
    this.#outage = null;
    const lastedMs = Math.round(at - outage.since);
    const effects = this.#effectsOf(outage);
    const lost =
      effects.gaps + effects.resets === 0
        ? 'No known loss of acknowledged publications.'
        : `Subscribers received ${effects.gaps} gaps (publications may be missing) and ${effects.resets} resets (the history restarted).`;
    this.log.warn(
      { event: 'outageOver', isOver, lastedMs, times: outage.times, ...effects },
      `${isOver ? 'OUTAGE over: Redis is back' : 'The node stops during the outage,'} after ${seconds(lastedMs)}. ${this.#sentenceOf(outage)} ${lost}`,
    );
  }

  #sentenceOf(outage: Outage): string {
    const { refused, unconfirmed, unrelayed, late } = this.#effectsOf(outage);
    return `Since its start: ${refused} commands refused, ${unconfirmed} publishes unconfirmed, ${unrelayed} unacknowledged publications not sent to other nodes, ${late} publications delivered late.`;
  }

  #effectsOf({ before }: Outage) {
    const now = this.counters;
    return {
      refused: now.commandsUnavailable - before.commandsUnavailable,
      unconfirmed: now.publicationsUnconfirmed - before.publicationsUnconfirmed,
      unrelayed: now.publicationsUnrelayed - before.publicationsUnrelayed,
      late: now.publicationsRepaired - before.publicationsRepaired,
      gaps: now.gapsNotified - before.gapsNotified,
      resets: now.resetsNotified - before.resetsNotified,
    };
  }
}

/** A copy of the numbers. */
function pick(counters: OutageCounters): OutageCounters {
  const { commandsUnavailable, publicationsUnconfirmed, publicationsUnrelayed } = counters;
  const { publicationsRepaired, gapsNotified, resetsNotified } = counters;
  return {
    ...{ commandsUnavailable, publicationsUnconfirmed, publicationsUnrelayed },
    ...{ publicationsRepaired, gapsNotified, resetsNotified },
  };
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
