/**
 * The node's own message to itself: every second one goes the way that publications go, through the real script on the real
 * connection, and must come back on the real subscription. Connections that look well and lead nowhere (a half-open one, a demoted master,
 * a paused server) are found by nothing else.
 */
import type { Log } from '../observe/log.js';

export interface ProbeSettings {
  readonly probeIntervalMs: number;
}

export interface ProbeOwner {
  /** Sends a probe. Resolves whether Redis has accepted it; null where it could not be sent at all. */
  send(number: number): Promise<boolean | null>;
  /** Two probes in a row have not come back; again after two more. */
  onDead(reason: string): void;
}

export interface ProbeCounters {
  probesSent: number;
  probesMissed: number;
  observeProbeSeconds(seconds: number): void;
}

/** Part of the interval in which a probe must be back, so that two misses are known within three intervals. */
const deadlineShare = 0.8;

/** Misses in a row after which the connections are given up. */
const maxMisses = 2;

interface Sent {
  readonly number: number;
  readonly at: number;
  wasAccepted: boolean;
}

export class Probe {
  readonly #owner: ProbeOwner;
  readonly #counters: ProbeCounters;
  readonly #log: Log;
  readonly #intervalMs: number;
  readonly #timer: NodeJS.Timeout;
  #number = 0;
  /** The one on its way; null: none is. */
  #sent: Sent | null = null;
  #misses = 0;
  #isLive = false;

  constructor({ probeIntervalMs }: ProbeSettings, owner: ProbeOwner, log: Log, counters: ProbeCounters) {
    this.#owner = owner;
    this.#counters = counters;
    this.#log = log;
    this.#intervalMs = probeIntervalMs;
    this.#timer = setInterval(() => this.#send(), probeIntervalMs);
    this.#timer.unref();
  }

  /** Whether the last probe came back: what is published reaches this node. */
  get isLive(): boolean {
    return this.#isLive;
  }

  /** The way is new: tries it at once. */
  restart(): void {
    this.#sent = null;
    this.#misses = 0;
    this.#send();
  }

  /** The way is known to be broken. */
  interrupt(): void {
    this.#sent = null;
    this.#misses = 0;
    this.#isLive = false;
  }

  /** A probe has come back. */
  receive(number: number): void {
    if (this.#sent?.number !== number) return;
    this.#counters.observeProbeSeconds((performance.now() - this.#sent.at) / 1_000);
    this.#sent = null;
    if (this.#misses > 0) this.#log.info({ event: 'probeBack' }, 'Probes return again.');
    this.#misses = 0;
    this.#isLive = true;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#isLive = false;
    this.#sent = null;
  }

  #send(): void {
    if (this.#sent !== null) return;
    const sent: Sent = { number: ++this.#number, at: performance.now(), wasAccepted: false };
    this.#sent = sent;
    void this.#owner.send(sent.number).then((accepted) => {
      if (accepted === null) {
        if (this.#sent === sent) this.#sent = null;
        return;
      }
      this.#counters.probesSent++;
      sent.wasAccepted = accepted;
    });
    // Judged after the poll phase: where the event loop was held up, the probe may have come and only wait to be read.
    setTimeout(() => setImmediate(() => this.#judge(sent)), this.#intervalMs * deadlineShare).unref();
  }

  #judge(sent: Sent): void {
    if (this.#sent !== sent) return;
    this.#sent = null;
    this.#misses++;
    this.#counters.probesMissed++;
    // What goes on after that is an outage, and told as one.
    if (this.#misses <= maxMisses) this.#complain(sent);
    if (this.#misses % maxMisses !== 0) return;
    this.#isLive = false;
    this.#owner.onDead(
      sent.wasAccepted ? 'it accepts publications and does not deliver them' : 'it accepts no publications',
    );
  }

  #complain(sent: Sent): void {
    this.#log.warn(
      { event: 'probeMissed', misses: this.#misses, accepted: sent.wasAccepted },
      sent.wasAccepted
        ? 'Redis accepted the probe, but it did not return. The subscription is dead or on a different server.'
        : 'Redis has not accepted the probe. Publishing to topics with history is not possible.',
    );
  }
}
