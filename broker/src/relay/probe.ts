/**
 * Proves that publications pass through Redis: sends a message to this node itself, with a heartbeat (membership.ts),
 * and expects it back. It shows that Redis accepts writes on one connection and delivers on the other. Nothing else
 * finds connections that look healthy and lead nowhere: a half-open one, a demoted master, a paused server.
 */
import type { Log } from '../observe/log.js';

interface ProbeSettings {
  readonly probeIntervalMs: number;
}

/** The connection that publishes, as this file needs it. */
interface ProbedLink {
  /** Takes the answer of Redis to a write. */
  noteWrite(answer: unknown): void;
  /** Reports an error that Redis returned for one part of a call. */
  report(error: Error): void;
}

interface ProbeOwner {
  onSent(): void;
  /** Redis has another generation than this node knows. */
  onStale(): void;
  /**
   * Two probes in a row did not come back; called again after two more. `since`: when the first of them was sent, by
   * performance.now().
   */
  onDead(reason: string, since: number): void;
}

export interface ProbeCounters {
  probesSent: number;
  probesMissed: number;
  observeProbeSeconds(seconds: number): void;
}

/** Share of the probe interval in which a probe must be back, so that two misses are known within three intervals. */
const deadlineShare = 0.8;

/** After this many misses in a row, the node closes the connections. */
const maxMisses = 2;

/** A probe that was sent. */
interface SentProbe {
  readonly number: number;
  readonly sentAt: number;
  wasAccepted: boolean;
}

export class Probe {
  #sent = 0;
  /** The probe that is not back yet. */
  #pending: SentProbe | null = null;
  #misses = 0;
  /** When the first of two probes in a row was sent that did not come back. */
  #missedSince = 0;
  #isLive = false;
  #provenAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly settings: ProbeSettings,
    private readonly publisher: ProbedLink,
    private readonly owner: ProbeOwner,
    private readonly log: Log,
    private readonly counters: ProbeCounters,
  ) {}

  /** Whether the last probe came back: publications reach this node. */
  get isLive(): boolean {
    return this.#isLive;
  }

  /** When the last probe was sent that came back, by performance.now(). */
  get provenAt(): number {
    return this.#provenAt;
  }

  /** Returns the probe to send; null if the last one is not back yet. */
  send(): SentProbe | null {
    if (this.#pending !== null) return null;
    const probe: SentProbe = { number: ++this.#sent, sentAt: performance.now(), wasAccepted: false };
    this.#pending = probe;
    this.counters.probesSent++;
    this.owner.onSent();
    // Decide after the poll phase: if the event loop was blocked, the probe may have arrived without being read.
    const judge = (): void => void setImmediate(() => this.#judge(probe));
    setTimeout(judge, this.settings.probeIntervalMs * deadlineShare).unref();
    return probe;
  }

  /**
   * Redis has accepted or refused the probe. `isReported`: the whole call failed with this error, and the link has
   * logged it.
   */
  onAnswer(probe: SentProbe, outcome: unknown, isReported: boolean): void {
    // Every answer is noted: Redis may refuse for a different reason than last time.
    this.publisher.noteWrite(outcome);
    if (!(outcome instanceof Error)) probe.wasAccepted = true;
    // Only for STALE. A demoted master refuses writes, but still has the same generation: asking it would restart the
    // probe again and again.
    else if (outcome.message.startsWith('STALE')) this.owner.onStale();
    else if (!isReported) this.publisher.report(outcome);
  }

  /** A probe has come back. */
  onReturn(message: Buffer): void {
    if (this.#pending?.number !== Number(message.toString('latin1'))) return;
    this.#provenAt = this.#pending.sentAt;
    this.counters.observeProbeSeconds((performance.now() - this.#provenAt) / 1_000);
    this.#pending = null;
    if (this.#misses > 0) this.log.info({ event: 'probeBack' }, 'Probes return again.');
    this.#misses = 0;
    this.#isLive = true;
  }

  /** The path has changed: the pending probe and the misses do not count any more. */
  restart(): void {
    this.#pending = null;
    this.#misses = 0;
  }

  /** The path is known to be broken. */
  interrupt(): void {
    this.restart();
    this.#isLive = false;
  }

  #judge(probe: SentProbe): void {
    if (this.#pending !== probe) return;
    this.#pending = null;
    if (this.#misses % maxMisses === 0) this.#missedSince = probe.sentAt;
    this.#misses++;
    this.counters.probesMissed++;
    // The following outage is logged as an outage.
    if (this.#misses <= maxMisses) this.#warnOfMiss(probe);
    if (this.#misses % maxMisses !== 0) return;
    this.#isLive = false;
    this.owner.onDead(
      probe.wasAccepted ? 'it accepts publications and does not deliver them' : 'it accepts no publications',
      this.#missedSince,
    );
  }

  #warnOfMiss({ wasAccepted }: SentProbe): void {
    this.log.warn(
      { event: 'probeMissed', misses: this.#misses, accepted: wasAccepted },
      wasAccepted
        ? 'Redis accepted the probe, but it did not return. The subscription is dead or on a different server.'
        : 'Redis has not accepted the probe. Publishing to topics with history is not possible.',
    );
  }
}
