/**
 * The connections to one master of a Redis Cluster: one to publish, one to listen, and one for `durable` topics if there
 * are any. All partitions of the master share them.
 */
import type { Log } from '../../observe/log.js';
import { EvictionWatch } from '../eviction-watch.js';
import type { RedisCounters } from '../redis-link.js';
import type { ChannelMessage } from '../reply-reader.js';
import type { Script } from '../script.js';
import { SubscriberLink } from '../subscriber-link.js';
import { type ClusterSettings, settingsFor } from './cluster-settings.js';
import { MasterLink } from './master-link.js';
import type { SlotMap } from './slot-map.js';

/** Is notified of what happens to the connections. */
export interface ServerOwner {
  /** The connection that publishes works, and the server is a master. */
  onMaster(server: ClusterServer): void;
  /** The server is a replica: nothing may be published there, or subscribed to. */
  onReplica(server: ClusterServer): void;
  onPublisherReady(server: ClusterServer): void;
  onPublisherLost(server: ClusterServer): void;
  onSubscriberReady(server: ClusterServer): void;
  onSubscriberLost(server: ClusterServer): void;
  /** The server has ended the subscription of a channel. */
  onUnsubscribed(server: ClusterServer, channel: Buffer): void;
  onMessage(server: ClusterServer, message: ChannelMessage): void;
}

/** Shortest time between two measurements of the output buffer, in milliseconds: all partitions ask for them. */
const measureMs = 500;

export class ClusterServer {
  readonly publisher: MasterLink;
  /** Null if no topic is `durable`. */
  readonly durable: MasterLink | null;
  readonly subscriber: SubscriberLink;
  readonly #evictions: EvictionWatch;
  /** Whether the server was a master when it was last asked, on the current connection. */
  #isMaster = false;
  #outputBufferBytes = 0;
  #measuredAt = Number.NEGATIVE_INFINITY;
  /** Scripts that are being loaded, by their SHAs. */
  readonly #loading = new Map<string, Promise<void>>();

  /** `name`: `host:port`. */
  constructor(
    readonly name: string,
    settings: ClusterSettings,
    private readonly owner: ServerOwner,
    log: Log,
    counters: RedisCounters,
  ) {
    const own = settingsFor(name, settings);
    const ownLog = log.child({ shard: name });
    this.publisher = new MasterLink(own, ownLog, counters, {
      onReady: () => {
        this.subscriber.reconnectNow();
        this.durable?.reconnectNow();
        owner.onPublisherReady(this);
        void this.check();
        void this.#evictions.look();
      },
      onLost: (wasSilent) => {
        this.#isMaster = false;
        owner.onPublisherLost(this);
        // If a hung master has been failed over and then resumes, it may deliver publications that the new master does
        // not have.
        if (wasSilent) this.subscriber.reset();
      },
    });
    this.#evictions = new EvictionWatch(this.publisher, ownLog, counters);
    // WAIT blocks its connection. Publications that need no replicas must not wait behind it.
    const redisTimeoutMs = settings.redisTimeoutMs + settings.durableTimeoutMs;
    this.durable = settings.usesDurable
      ? new MasterLink({ ...own, redisTimeoutMs }, ownLog, counters, {}, 'durable')
      : null;
    this.subscriber = new SubscriberLink(own, ownLog, counters, {
      onReady: () => {
        this.publisher.reconnectNow();
        owner.onSubscriberReady(this);
      },
      onLost: () => {
        this.#outputBufferBytes = 0;
        owner.onSubscriberLost(this);
      },
      onUnsubscribed: (channel) => owner.onUnsubscribed(this, channel),
      onMessage: (message) => owner.onMessage(this, message),
    });
  }

  /** Whether it may be used: the connection that publishes works, and the server has said that it is a master. */
  get isMaster(): boolean {
    return this.#isMaster;
  }

  get fault(): string | null {
    return this.publisher.fault ?? this.subscriber.fault;
  }

  get outputBufferBytes(): number {
    return this.#outputBufferBytes;
  }

  /**
   * Asks whether the server is a master. Resolves with false if it is a replica, or if the connection is lost. A replica
   * accepts subscriptions and publications too, and then delivers nothing.
   */
  async check(): Promise<boolean> {
    const isMaster = await this.publisher.isMaster().catch(() => null);
    if (isMaster === null) return false;
    const wasMaster = this.#isMaster;
    this.#isMaster = isMaster;
    if (!isMaster) this.owner.onReplica(this);
    else if (!wasMaster) this.owner.onMaster(this);
    return isMaster;
  }

  slots(): Promise<SlotMap> {
    return this.publisher.slots(this.name);
  }

  /** Resolves when everything that was sent so far has its outcome. */
  async settled(): Promise<void> {
    await Promise.allSettled([this.publisher.isMaster(), this.durable?.isMaster()]);
  }

  /** Loads scripts. Partitions that need the same scripts at the same time load them once. */
  load(link: MasterLink, scripts: readonly Script[]): Promise<void> {
    const names = (link === this.publisher ? 'publisher ' : 'durable ') + scripts.map(({ sha }) => sha).join();
    let loading = this.#loading.get(names);
    if (loading === undefined) {
      loading = link.load(scripts).finally(() => this.#loading.delete(names));
      this.#loading.set(names, loading);
    }
    return loading;
  }

  async measureOutputBuffer(): Promise<void> {
    const now = performance.now();
    if (now - this.#measuredAt < measureMs) return;
    this.#measuredAt = now;
    const { clientId } = this.subscriber;
    this.#outputBufferBytes = clientId === null ? 0 : await this.publisher.outputBufferBytes(clientId);
  }

  /** Closes all connections and opens new ones. */
  reset(): void {
    this.publisher.reset();
    this.durable?.reset();
    this.subscriber.reset();
  }

  async close(): Promise<void> {
    this.#isMaster = false;
    this.#evictions.close();
    await Promise.all([this.publisher.close(), this.durable?.close(), this.subscriber.close()]);
  }
}
