/**
 * What nodes know of each other. Once a second, a heartbeat records in Redis that this node is alive, and returns which
 * other nodes are (lua/heartbeat.lua). It also carries the probe. On the control channel, nodes announce what the
 * others must know before their next heartbeat.
 */
import { isOfAnotherLayout, type RedisMessage, type ScriptCall } from '../redis/redis.js';
import type { GenerationChange, GenerationSource } from './generation.js';
import type { Keys } from './keys.js';
import type { KnownNodes } from './known-nodes.js';
import type { MemoryTimes } from './memory-times.js';
import type { Probe } from './probe.js';
import type { Load, Spread } from './relay.js';
import { type CallingLink, callScript, scripts } from './scripts.js';
import type { SharedTimers } from './shared-timers.js';

export interface MembershipSettings {
  readonly nodeId: string;
  readonly nodeName: string;
  readonly probeIntervalMs: number;
  readonly memoryTimes: Pick<MemoryTimes, 'leaseMs' | 'maxHeartbeatMs'>;
}

/** The connection that publishes, as this file needs it. */
interface HeartbeatLink extends CallingLink {
  readonly isReady: boolean;
  publish(messages: readonly RedisMessage[]): Promise<unknown>;
}

/** The connection that listens, as this file needs it. */
interface ListeningLink {
  readonly isReady: boolean;
  subscribe(channels: readonly string[]): Promise<void>;
}

/** Without a generation there are no heartbeats. */
interface AskedGeneration extends GenerationSource {
  /** Asks Redis for its generation, because Redis may be in another one. */
  ask(): void;
}

/**
 * Prefixes of a node's id on the control channel: it has left, or it is about to publish for the first time. An id
 * alone calls to a recovery.
 */
const leaving = 'left:';
const publishing = 'publishing:';

/** There is a new map of partitions (lua/shard-map.lua). */
const mapChanged = 'map';

export class Membership {
  readonly #endBeats: () => void;
  readonly #beatsPerProbe: number;
  #beats = 0;
  #spread: Spread | null = null;
  /** The connections of this node, as it reported them last. */
  #reported: Load | null = null;
  #isListening = false;
  #hasPublished = false;
  #hasLeft = false;
  /** Whether Redis knows that this node has published. */
  #isKnownToPublish = false;

  /** `otherLinks`: connections that publish too. `load`: the connections of this node; null while it stops. */
  constructor(
    private readonly settings: MembershipSettings,
    private readonly keys: Keys,
    private readonly publisher: HeartbeatLink,
    private readonly otherLinks: readonly HeartbeatLink[],
    private readonly subscriber: ListeningLink,
    private readonly recovery: AskedGeneration,
    private readonly probe: Probe,
    private readonly nodes: KnownNodes,
    private readonly load: () => Load | null,
    private readonly lease: { renew(askedAt: number): void },
    private readonly onMapChanged: () => void,
    timers: SharedTimers,
  ) {
    const { probeIntervalMs, memoryTimes } = settings;
    const { maxHeartbeatMs } = memoryTimes;
    // Heartbeats are sent this often at least, however rare probes are.
    this.#beatsPerProbe = Math.ceil(probeIntervalMs / maxHeartbeatMs);
    this.#endBeats = timers.every(probeIntervalMs / this.#beatsPerProbe, () => {
      void this.#beat(++this.#beats % this.#beatsPerProbe === 0);
    });
  }

  get spread(): Spread | null {
    return this.#spread;
  }

  /** Whether this node receives the messages of the control channel. */
  get isListening(): boolean {
    return this.#isListening;
  }

  /** The listening connection works (again). */
  listen(): void {
    const { nodeId } = this.settings;
    const { control, questions } = this.keys;
    this.subscriber.subscribe([control, questions, this.keys.answers(nodeId), this.keys.probe(nodeId)]).then(
      () => {
        this.#isListening = true;
        // It may have changed while nothing was received.
        this.onMapChanged();
        void this.restart();
      },
      () => {
        // The connection was lost, or Redis refused and the link logged it. Probes will not come back, so both
        // connections are replaced.
      },
    );
  }

  /** The listening connection is lost. */
  onLost(): void {
    this.#isListening = false;
    this.probe.interrupt();
  }

  /** Publishing may begin or continue. */
  onServing(change: GenerationChange): void {
    void (change === 'first' ? this.#introduce() : this.restart());
  }

  /** Something has changed on the path: sends a heartbeat and a probe at once. */
  restart(): Promise<void> {
    this.probe.restart();
    return this.#beat(true);
  }

  /**
   * Announces the first publication before it is sent, on each connection that may carry it. If this node dies, the
   * others must know that it may have published data that Redis has lost.
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
    // A later heartbeat would undo it: the others would wait for this node.
    this.#hasLeft = true;
    if (this.recovery.generation === null) return;
    await callScript(this.publisher, this.#heartbeat({ isLast: true }));
    await this.#announce(this.publisher, leaving);
  }

  /** A message on the control channel. */
  onControl(message: Buffer): void {
    const text = message.toString('latin1');
    if (text === this.settings.nodeId) return;
    if (text === mapChanged) return this.onMapChanged();
    if (text.startsWith(leaving)) return this.nodes.forget(text.slice(leaving.length));
    if (text.startsWith(publishing)) return this.nodes.markPublishing(text.slice(publishing.length));
    this.recovery.ask();
    void this.#beat(false);
  }

  close(): void {
    this.#endBeats();
    this.probe.interrupt();
  }

  /** Lets the other nodes know how many nodes to wait for if Redis loses its state. */
  async #introduce(): Promise<void> {
    await this.restart();
    await this.#announce(this.publisher, '');
  }

  async #announce(link: HeartbeatLink, prefix: string): Promise<void> {
    await link.publish([{ channel: this.keys.control, message: Buffer.from(prefix + this.settings.nodeId) }]);
  }

  async #beat(isProbeDue: boolean): Promise<void> {
    if (this.#hasLeft) return;
    if (this.recovery.generation === null) {
      // A node that waits for a generation should have asked for it already. This call makes sure.
      if (isProbeDue && this.publisher.isReady) this.recovery.ask();
      return;
    }
    const probe = isProbeDue && this.subscriber.isReady ? this.probe.send() : null;
    const askedAt = performance.now();
    const answer = await callScript(this.publisher, this.#heartbeat({ probeNumber: probe?.number }));
    // Another release has written its layout to Redis: nothing more is published until recovery finds our layout again.
    if (answer instanceof Error && isOfAnotherLayout(answer)) this.recovery.onStale();
    if (isHeartbeatAnswer(answer)) this.#onAnswer(answer, askedAt, probe === null);
    if (probe === null) return;
    if (isHeartbeatAnswer(answer)) this.probe.onAnswer(probe, answer[6], false);
    else this.probe.onAnswer(probe, answer, true);
  }

  #heartbeat({ probeNumber = '' as number | '', isLast = false } = {}): ScriptCall {
    const { nodes, run, clock, connections, layout, layoutName, unpublished, generation } = this.keys;
    const { nodeId, nodeName, memoryTimes } = this.settings;
    const now = this.nodes.clock.nowMs;
    this.#reported = isLast ? null : this.load();
    const load = this.#reported === null ? '' : `${countOf(this.#reported)} ${nodeName}`;
    const state = isLast ? 'left' : this.#hasPublished ? '' : 'unpublished';
    const knownGeneration = this.recovery.generation?.name ?? '';
    return {
      script: scripts.heartbeat,
      keys: [nodes, run, clock, connections, layout, unpublished, generation, this.keys.probe(nodeId)],
      args: [nodeId, memoryTimes.leaseMs, load, layoutName, now, state, knownGeneration, probeNumber],
    };
  }

  #onAnswer(answer: HeartbeatAnswer, askedAt: number, isWithoutProbe: boolean): void {
    const [living, clock, nodes, open, connections, unpublished, outcome] = answer;
    const isStale = outcome instanceof Error && outcome.message.startsWith('STALE');
    if (!isStale) this.lease.renew(askedAt);
    else if (isWithoutProbe) this.recovery.ask();
    this.#spread = spreadOf({ nodes, open, connections }, this.#reported);
    this.nodes.clock.update(clock, askedAt);
    // Redis has restarted or was a replica in the meantime. If nothing was published then, nothing else shows it.
    if (clock === 0) this.recovery.ask();
    this.nodes.update(living, unpublished);
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

/** The name of the node that has sent this report of its connections; '' if the report has none. */
export function nodeNameIn(report: string): string {
  return /^\S+ (.*)$/s.exec(report)?.[1] ?? '';
}

/** The connections of this node in the form that lua/heartbeat.lua expects. */
function countOf({ connections, isFull }: Load): string {
  return isFull ? `+${connections}` : String(connections);
}

/** The reports of all nodes. For itself, a node counts its own connections even if it is full. */
function spreadOf({ nodes, open, connections }: Omit<Spread, 'own'>, own: Load | null): Spread | null {
  if (own === null) return null;
  if (!own.isFull) return { nodes, open, connections, own: own.connections };
  return { nodes, open: open + 1, connections: connections + own.connections, own: own.connections };
}
