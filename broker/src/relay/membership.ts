/**
 * What nodes know of each other, and whether this one is still reached: one message to Redis, once a second (lua/heartbeat.lua).
 *
 * The heartbeat records that this node is alive and returns which other nodes are. It also publishes a probe to this node itself. A probe
 * that comes back proves that Redis accepts writes on one connection and delivers on the other. Nothing else finds connections that look
 * healthy and lead nowhere: a half-open one, a demoted master, a paused server.
 */
import type { Log } from '../observe/log.js';
import { isOfAnotherLayout, type RedisMessage, type ScriptCall } from '../redis/redis.js';
import type { GenerationSource } from './generation.js';
import type { Keys } from './keys.js';
import { KnownNodes } from './known-nodes.js';
import { leaseMs, maxHeartbeatMs } from './memory-times.js';
import type { Load, Spread } from './relay.js';
import { type CallingLink, callScript, scripts } from './scripts.js';

export interface MembershipSettings {
  readonly nodeId: string;
  readonly probeIntervalMs: number;
}

/** The connection that publishes, as this file needs it. */
export interface HeartbeatLink extends CallingLink {
  readonly isReady: boolean;
  publish(messages: readonly RedisMessage[]): Promise<unknown>;
  /** Takes the answer of Redis to a write. */
  noteWrite(answer: unknown): void;
  /** Reports an error that Redis returned for one part of a call. */
  report(error: Error): void;
  outputBufferBytes(clientId: number): Promise<number>;
}

/** The connection that listens, as this file needs it. */
export interface ListeningLink {
  readonly isReady: boolean;
  /** The id of this connection in Redis; null if it is unknown. */
  readonly clientId: number | null;
  subscribe(channels: readonly string[]): Promise<void>;
}

export interface MembershipOwner {
  /** The connections of this node; null while it stops. */
  load(): Load | null;
  /** Two probes in a row did not come back; called again after two more. */
  onDead(reason: string): void;
}

/** Without a generation there are no heartbeats. */
export interface AskedGeneration extends GenerationSource {
  /** Redis may be in another generation: asks it. */
  ask(): void;
}

export interface MembershipCounters {
  probesSent: number;
  probesMissed: number;
  observeProbeSeconds(seconds: number): void;
}

/** Prefixes of a node's id on the control channel: it has left, or it is about to publish for the first time. An id alone calls to a recovery. */
const leaving = 'left:';
const publishing = 'publishing:';

/** Share of the probe interval in which a probe must be back, so that two misses are known within three intervals. */
const deadlineShare = 0.8;

/** Misses in a row after which the connections are given up. */
const maxMisses = 2;

interface Probe {
  readonly number: number;
  readonly sentAt: number;
  wasAccepted: boolean;
}

export class Membership {
  readonly #nodes = new KnownNodes();
  readonly #timer: NodeJS.Timeout;
  readonly #beatsPerProbe: number;
  #beats = 0;
  #clock = { ms: 0, askedAt: 0 };
  #spread: Spread | null = null;
  /** The connections of this node, as it reported them last. */
  #reported: Load | null = null;
  #outputBufferBytes = 0;
  #isListening = false;
  #hasPublished = false;
  /** Whether Redis knows that it has. */
  #isKnownToPublish = false;
  #probes = 0;
  /** The probe that is not back yet. */
  #probe: Probe | null = null;
  #misses = 0;
  #isLive = false;

  /** `otherLinks`: connections that publish too. */
  constructor(
    private readonly settings: MembershipSettings,
    private readonly keys: Keys,
    private readonly publisher: HeartbeatLink,
    private readonly otherLinks: readonly HeartbeatLink[],
    private readonly subscriber: ListeningLink,
    private readonly recovery: AskedGeneration,
    private readonly owner: MembershipOwner,
    private readonly log: Log,
    private readonly counters: MembershipCounters,
  ) {
    const { probeIntervalMs } = settings;
    // Heartbeats are sent every second at least, however rare probes are.
    this.#beatsPerProbe = Math.ceil(probeIntervalMs / maxHeartbeatMs);
    this.#timer = setInterval(() => {
      void this.#beat(++this.#beats % this.#beatsPerProbe === 0);
    }, probeIntervalMs / this.#beatsPerProbe);
    this.#timer.unref();
  }

  /** Nodes that are known to be alive, this one included. */
  get count(): number {
    return this.#nodes.count;
  }

  /** The nodes, as lua/recover.lua takes them. */
  get nodeArgs(): readonly (string | number)[] {
    return this.#nodes.toArgs();
  }

  /** The newest time that Redis has returned (lua/heartbeat.lua), in ms, 0 before the first; and the performance.now() of that request. */
  get clock(): { readonly ms: number; readonly askedAt: number } {
    return this.#clock;
  }

  get spread(): Spread | null {
    return this.#spread;
  }

  get outputBufferBytes(): number {
    return this.#outputBufferBytes;
  }

  /** Whether this node receives the messages of the control channel. */
  get isListening(): boolean {
    return this.#isListening;
  }

  /** Whether the last probe came back: publications reach this node. */
  get isLive(): boolean {
    return this.#isLive;
  }

  /** The listening connection works (again). */
  listen(): void {
    this.subscriber.subscribe([this.keys.control, this.keys.probe(this.settings.nodeId)]).then(
      () => {
        this.#isListening = true;
        this.restart();
      },
      () => {
        // Lost, or refused and logged: probes will not come back, and both connections are replaced.
      },
    );
  }

  /** The listening connection is lost. */
  onLost(): void {
    this.#isListening = false;
    this.#outputBufferBytes = 0;
    this.interrupt();
  }

  /** Something has changed on the path: sends a heartbeat and a probe at once. */
  restart(): Promise<void> {
    this.#probe = null;
    this.#misses = 0;
    return this.#beat(true);
  }

  /** The path is known to be broken. */
  interrupt(): void {
    this.#probe = null;
    this.#misses = 0;
    this.#isLive = false;
  }

  /** Lets the other nodes know how many nodes to wait for if Redis loses its state. */
  async introduce(): Promise<void> {
    await this.restart();
    await this.#announce(this.publisher, '');
  }

  /**
   * Announces the first publication beforehand, on each connection that it may take. If this node dies, the others must know that it may
   * have published data that Redis has lost.
   */
  announcePublishing(): void {
    if (this.#isKnownToPublish) return;
    this.#hasPublished = true;
    for (const link of [this.publisher, ...this.otherLinks]) {
      void this.#announce(link, publishing);
      void callScript(link, this.#heartbeat()).then((answer) => {
        if (!(answer instanceof Error)) this.#isKnownToPublish = true;
      });
    }
  }

  /** From now on no other node waits for this one, whatever happens to Redis. */
  async leave(): Promise<void> {
    if (this.recovery.generation === null) return;
    await callScript(this.publisher, this.#heartbeat({ isLast: true }));
    await this.#announce(this.publisher, leaving);
  }

  /** A message on the control channel. */
  onControl(message: Buffer): void {
    const text = message.toString('latin1');
    if (text === this.settings.nodeId) return;
    if (text.startsWith(leaving)) return this.#nodes.forget(text.slice(leaving.length));
    if (text.startsWith(publishing)) return this.#nodes.markPublishing(text.slice(publishing.length));
    this.recovery.ask();
    void this.#beat(false);
  }

  /** A probe has come back. */
  onProbe(message: Buffer): void {
    if (this.#probe?.number !== Number(message.toString('latin1'))) return;
    this.counters.observeProbeSeconds((performance.now() - this.#probe.sentAt) / 1_000);
    this.#probe = null;
    if (this.#misses > 0) this.log.info({ event: 'probeBack' }, 'Probes return again.');
    this.#misses = 0;
    this.#isLive = true;
  }

  close(): void {
    clearInterval(this.#timer);
    this.interrupt();
  }

  async #announce(link: HeartbeatLink, prefix: string): Promise<void> {
    await link.publish([{ channel: this.keys.control, message: Buffer.from(prefix + this.settings.nodeId) }]);
  }

  async #beat(isProbeDue: boolean): Promise<void> {
    if (this.recovery.generation === null) {
      // A node that waits for a generation has asked for it already; this makes sure of it.
      if (isProbeDue && this.publisher.isReady) this.recovery.ask();
      return;
    }
    const probe = isProbeDue && this.#probe === null && this.subscriber.isReady ? this.#startProbe() : null;
    const askedAt = performance.now();
    const answer = await callScript(this.publisher, this.#heartbeat({ probe }));
    // Another release has written its layout to Redis: nothing more is published until recovery finds our layout again.
    if (answer instanceof Error && isOfAnotherLayout(answer)) this.recovery.onStale();
    if (isHeartbeatAnswer(answer)) this.#onAnswer(answer, askedAt);
    if (probe !== null) this.#onProbeAnswer(probe, answer);
  }

  #heartbeat({ probe = null as Probe | null, isLast = false } = {}): ScriptCall {
    const { nodes, run, clock, connections, layout, layoutVersion, unpublished, generation } = this.keys;
    const { nodeId } = this.settings;
    const { ms, askedAt } = this.#clock;
    const now = ms === 0 ? 0 : Math.round(ms + performance.now() - askedAt);
    this.#reported = isLast ? null : this.owner.load();
    const load = this.#reported === null ? '' : countOf(this.#reported);
    const state = isLast ? 'left' : this.#hasPublished ? '' : 'unpublished';
    return {
      script: scripts.heartbeat,
      keys: [nodes, run, clock, connections, layout, unpublished, generation, this.keys.probe(nodeId)],
      args: [
        nodeId,
        leaseMs,
        load,
        layoutVersion,
        now,
        state,
        this.recovery.generation?.name ?? '',
        probe?.number ?? '',
      ],
    };
  }

  #onAnswer([living, clock, nodes, open, connections, unpublished]: HeartbeatAnswer, askedAt: number): void {
    this.#spread = spreadOf({ nodes, open, connections }, this.#reported);
    if (clock > this.#clock.ms) this.#clock = { ms: clock, askedAt };
    this.#nodes.update(living, unpublished);
  }

  // The probe.

  #startProbe(): Probe {
    const probe: Probe = { number: ++this.#probes, sentAt: performance.now(), wasAccepted: false };
    this.#probe = probe;
    this.counters.probesSent++;
    void this.#readOutputBuffer();
    // Decide after the poll phase: if the event loop was blocked, the probe may have arrived without being read.
    const judge = (): void => void setImmediate(() => this.#judge(probe));
    setTimeout(judge, this.settings.probeIntervalMs * deadlineShare).unref();
    return probe;
  }

  #onProbeAnswer(probe: Probe, answer: unknown): void {
    const outcome = isHeartbeatAnswer(answer) ? answer[6] : answer;
    // Every answer is noted: Redis may refuse for a different reason than last time.
    this.publisher.noteWrite(outcome);
    if (!(outcome instanceof Error)) probe.wasAccepted = true;
    // Only then: a demoted master refuses writes and still serves the same generation, which would restart the probe without end.
    else if (outcome.message.startsWith('STALE')) this.recovery.ask();
    // The link has logged an error of the whole call.
    else if (outcome !== answer) this.publisher.report(outcome);
  }

  #judge(probe: Probe): void {
    if (this.#probe !== probe) return;
    this.#probe = null;
    this.#misses++;
    this.counters.probesMissed++;
    // What follows is an outage, and logged as one.
    if (this.#misses <= maxMisses) this.#warnOfMiss(probe);
    if (this.#misses % maxMisses !== 0) return;
    this.#isLive = false;
    this.owner.onDead(
      probe.wasAccepted ? 'it accepts publications and does not deliver them' : 'it accepts no publications',
    );
  }

  #warnOfMiss({ wasAccepted }: Probe): void {
    this.log.warn(
      { event: 'probeMissed', misses: this.#misses, accepted: wasAccepted },
      wasAccepted
        ? 'Redis accepted the probe, but it did not return. The subscription is dead or on a different server.'
        : 'Redis has not accepted the probe. Publishing to topics with history is not possible.',
    );
  }

  async #readOutputBuffer(): Promise<void> {
    const { clientId } = this.subscriber;
    this.#outputBufferBytes = clientId === null ? 0 : await this.publisher.outputBufferBytes(clientId);
  }
}

/** What lua/heartbeat.lua returns. */
type HeartbeatAnswer = readonly [
  living: readonly unknown[],
  clock: number,
  nodes: number,
  open: number,
  connections: number,
  unpublished: readonly unknown[],
  probe: unknown,
];

function isHeartbeatAnswer(answer: unknown): answer is HeartbeatAnswer {
  return Array.isArray(answer);
}

/** As lua/heartbeat.lua takes it. */
function countOf({ connections, isFull }: Load): string {
  return isFull ? `+${connections}` : String(connections);
}

/** What all nodes report, as this node sees it: it counts itself as a place for connections even if it is full. */
function spreadOf({ nodes, open, connections }: Omit<Spread, 'own'>, own: Load | null): Spread | null {
  if (own === null) return null;
  if (!own.isFull) return { nodes, open, connections, own: own.connections };
  return { nodes, open: open + 1, connections: connections + own.connections, own: own.connections };
}
