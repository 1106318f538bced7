/**
 * The connections of one partition of a Redis Cluster: those to the master that has its slot. If the slot moves or the
 * master is replaced, they are lost, and then ready again at the new master. Nothing is carried over: as after each
 * reconnect, the owner subscribes again and compares what it has missed.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../../observe/log.js';
import { lostError } from '../command-stream.js';
import type { LinksOwner } from '../links-owner.js';
import { isMoved } from '../redis-fault.js';
import type { ChannelMessage } from '../reply-reader.js';
import type { ClusterServer } from './cluster-server.js';
import type { ClusterTopology } from './cluster-topology.js';
import { PartitionPublisher } from './partition-publisher.js';
import { readMoved } from './slot-map.js';

/** All partitions and servers, as this file needs them. */
interface PartitionCluster {
  readonly topology: Pick<ClusterTopology, 'faultOf' | 'move' | 'ownerOf' | 'refresh' | 'refreshLater'>;
  /** Whether a probe of any partition that was sent since this time has come back through this server. */
  isProven(server: ClusterServer, since: number): boolean;
  /** The partition has left its server, and may go to another one. */
  onLeft(links: PartitionLinks): void;
  onClosed(links: PartitionLinks): void;
}

/**
 * After a shorter stay at a server, in milliseconds, a partition waits {@link pauseMs} before it goes to the next one.
 * For a moment after a failover, two servers may each report the other one.
 */
const shortStayMs = 1_000;
const pauseMs = 50;

export class PartitionLinks {
  readonly publisher: PartitionPublisher;
  /** Null if no topic is `durable`. */
  readonly durable: PartitionPublisher | null;
  /** The master that has the partition; null while it is unknown or cannot be used. */
  #server: ClusterServer | null = null;
  /** The server that has the slot, as far as is known, although it may be unusable. */
  #expected: ClusterServer | null = null;
  /** The server that the partition leaves, until everything that was sent there has its outcome. */
  #leaving: ClusterServer | null = null;
  #attachedAt = Number.NEGATIVE_INFINITY;
  /** The server that the partition left last, and when. */
  #left: ClusterServer | null = null;
  #leftAt = Number.NEGATIVE_INFINITY;
  #isPublishing = false;
  /** Counts the times that the connection that listens became ready; what an earlier one has confirmed is lost. */
  #listenings = 0;
  #isListening = false;
  /** Whether the server was still a master after it had confirmed a subscription. */
  #proof: Promise<boolean> | null = null;
  /** When it was last suspected that the server has lost the partition; null if it has it. */
  #suspectedAt: number | null = null;
  #isClosed = false;

  constructor(
    readonly tag: string,
    readonly slot: number,
    usesDurable: boolean,
    private readonly owner: LinksOwner,
    private readonly cluster: PartitionCluster,
    private readonly log: Log,
  ) {
    const onRefused = (error: Error): void => this.#onRefused(error);
    const links = this;
    const partition = {
      get publishingAt() {
        return links.#isPublishing ? links.#server : null;
      },
      onRefused,
    };
    this.publisher = new PartitionPublisher(partition, ({ publisher }) => publisher);
    this.durable = usesDurable ? new PartitionPublisher(partition, ({ durable }) => durable) : null;
  }

  /** The connection that listens. */
  get subscriber(): Pick<PartitionLinks, 'isReady' | 'subscribe' | 'unsubscribe'> {
    return this;
  }

  get isReady(): boolean {
    return this.#isListening;
  }

  /** The name of the server that has the partition, or had it last, so that a fault has a name; null if none is known. */
  get master(): string | null {
    return (this.#server ?? this.#expected)?.name ?? null;
  }

  /** The server that has the partition; null while there is none. */
  get server(): ClusterServer | null {
    return this.#server;
  }

  /** Whether the partition uses this server, or has not left it yet. */
  uses(server: ClusterServer): boolean {
    return this.#server === server || this.#leaving === server;
  }

  /** Whether the partition has just left this server, whose own answers about slots may be outdated. */
  hasLeft(name: string): boolean {
    return this.#server === null && this.#left?.name === name;
  }

  /** Whether a probe of this partition that was sent since this time has come back through this server. */
  isProven(server: ClusterServer, since: number): boolean {
    return this.#server === server && this.owner.provenAt >= Math.max(since, this.#attachedAt);
  }

  /** Whether the partition waits for another server, or may need one. */
  get isUnsettled(): boolean {
    return !this.#isClosed && (this.#suspectedAt !== null || !this.#isPublishing || !this.#isListening);
  }

  get isOutOfMemory(): boolean {
    return this.publisher.isOutOfMemory;
  }

  get fault(): string | null {
    const server = this.#server ?? this.#expected;
    return server?.fault ?? this.cluster.topology.faultOf(this.slot);
  }

  get outputBufferBytes(): number {
    return this.#server?.outputBufferBytes ?? 0;
  }

  async measureOutputBuffer(): Promise<void> {
    await this.#server?.measureOutputBuffer();
  }

  /** Takes channels of this partition, at most as many as a command may have. See {@link SubscriberLink}. */
  async subscribe(channels: readonly string[]): Promise<void> {
    const server = this.#server;
    if (!this.#isListening || server === null) throw lostError();
    const listening = this.#listenings;
    const isSame = (): boolean => this.#isListening && this.#listenings === listening;
    await server.subscriber.subscribe(channels).catch((error: Error) => this.#throw(error));
    if (!isSame()) throw lostError();
    // A server that has just become a replica confirms subscriptions, and delivers nothing. If it becomes one after the
    // first confirmation, it ends the subscription.
    this.#proof ??= server.check();
    const isProven = await this.#proof;
    if (!isSame()) throw lostError();
    if (isProven) return;
    // The server did not answer. Everything is subscribed again when it does.
    this.#setListening(false);
    throw lostError();
  }

  async unsubscribe(channels: readonly string[]): Promise<void> {
    const server = this.#server;
    if (!this.#isListening || server === null) throw lostError();
    await server.subscriber.unsubscribe(channels).catch((error: Error) => this.#throw(error));
  }

  /**
   * Probes did not come back: finds the master again. `reason` is for the log. `since`: when the first of these probes
   * was sent, by performance.now(). If another partition has proven the connections since then, they stay.
   */
  replace(reason: string, since: number): void {
    const server = this.#server;
    const refusal = this.publisher.refusal?.message ?? '';
    // Another connection would get the same answer, and this one still serves topics of level `fast`.
    if (server === null || this.isOutOfMemory || /^(ASK|TRYAGAIN|CLUSTERDOWN)\b/.test(refusal)) return;
    const isProven = this.cluster.isProven(server, since);
    this.log.error(
      { event: 'busDead', shard: server.name, slot: this.slot },
      isProven
        ? `Probes of slot ${this.slot} do not return through ${server.name}: ${reason}. Other slots there work. Asking the Redis Cluster for the server of this slot.`
        : `The path through Redis is broken: ${reason}. Reconnecting to ${server.name}.`,
    );
    this.#suspectedAt = performance.now();
    if (isProven) this.#leave();
    else server.reset();
    this.cluster.topology.refresh();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#server = null;
    this.#isPublishing = false;
    this.#isListening = false;
    this.cluster.onClosed(this);
  }

  /** `server`: the one that had the slot when somebody was asked last. That was at the time `at`, or later. */
  follow(server: ClusterServer, at: number): void {
    this.#expected = server;
    if (this.#isClosed || this.#leaving !== null) return;
    if (this.#server === null) {
      // What is older than the loss may be outdated.
      const isOutdated = server === this.#left && at < this.#leftAt;
      if (server.isMaster && !isOutdated) this.#attach(server);
    } else if (this.#server === server) {
      // What is older than the suspicion may be outdated.
      if (at >= (this.#suspectedAt ?? at)) this.#suspectedAt = null;
      this.onMaster(server);
    } else if (this.isUnsettled) this.#leave();
  }

  /** The connections to the server work, as far as they are ready. */
  onMaster(server: ClusterServer): void {
    if (this.#server !== server || !server.isMaster) return;
    if (!this.#isPublishing) {
      this.#isPublishing = true;
      this.owner.onPublisherReady();
    }
    if (server.subscriber.isReady && this.#server === server) this.#setListening(true);
  }

  onPublisherLost(server: ClusterServer): void {
    if (this.#server === server) this.#endPublishing();
  }

  onSubscriberLost(server: ClusterServer): void {
    if (this.#server === server) this.#setListening(false);
  }

  /** The server does not have the partition any more. */
  onLost(server: ClusterServer): void {
    if (this.#server === server) this.#leave();
  }

  onMessage(server: ClusterServer, message: ChannelMessage): void {
    // Subscriptions at a server that the partition has left may not have ended yet.
    if (this.#server === server) this.owner.onMessage(message);
  }

  #attach(server: ClusterServer): void {
    this.#server = server;
    this.#attachedAt = performance.now();
    this.#suspectedAt = null;
    this.onMaster(server);
  }

  #leave(): void {
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    this.#leaving = server;
    this.#setListening(false);
    this.#endPublishing();
    this.#left = server;
    this.#leftAt = performance.now();
    const isShort = this.#leftAt - this.#attachedAt < shortStayMs;
    // Calls of two servers must not be on the way at the same time: their outcomes could arrive in another order than
    // their effects.
    void Promise.all([server.settled(), isShort ? delay(pauseMs) : null]).then(() => {
      this.#leaving = null;
      this.cluster.onLeft(this);
    });
  }

  #endPublishing(): void {
    if (!this.#isPublishing) return;
    this.#isPublishing = false;
    this.owner.onPublisherLost();
  }

  #setListening(isListening: boolean): void {
    if (this.#isListening === isListening) return;
    this.#isListening = isListening;
    this.#proof = null;
    if (isListening) {
      this.#listenings++;
      this.owner.onSubscriberReady();
    } else this.owner.onSubscriberLost();
  }

  #throw(error: Error): never {
    this.#onRefused(error);
    // The owner subscribes again as soon as the Cluster serves the slot.
    if (/^(CLUSTERDOWN|MASTERDOWN)\b/.test(error.message)) this.#setListening(false);
    throw error;
  }

  /** A server has returned an error for this partition. */
  #onRefused(error: Error): void {
    const { message } = error;
    const { topology } = this.cluster;
    if (isMoved(error)) this.#onMoved(error);
    else if (/^READONLY\b/.test(message)) void this.#server?.check();
    else if (/^(CLUSTERDOWN|MASTERDOWN)\b/.test(message)) {
      this.#suspectedAt = performance.now();
      topology.refreshLater();
    }
  }

  #onMoved(error: Error): void {
    const name = this.#server?.name ?? this.#leaving?.name;
    const moved = name === undefined ? null : readMoved(error, name);
    // An answer of a server that the partition has left names its new server.
    if (moved === null || moved.slot !== this.slot || moved.server === this.#server?.name) return;
    const { topology } = this.cluster;
    // Others of the answers on the way say the same.
    if (this.#server === null && topology.ownerOf(moved.slot)?.server === moved.server) return;
    this.#leave();
    topology.move(moved.slot, moved.server);
  }
}
