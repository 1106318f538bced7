/**
 * The connections of a node to a Redis Cluster. Each master that has a partition gets its own connections, and
 * partitions move between them as their slots do. ioredis makes the connections but does not know of the Cluster: its
 * sharded subscribers do not recover after a slot has moved (docs/decisions.md).
 */
import type { Log } from '../../observe/log.js';
import type { LinksOwner } from '../links-owner.js';
import type { RedisCounters } from '../redis-link.js';
import type { ChannelMessage } from '../reply-reader.js';
import { ClusterServer, type ServerOwner } from './cluster-server.js';
import type { ClusterSettings } from './cluster-settings.js';
import { ClusterTopology } from './cluster-topology.js';
import { PartitionLinks } from './partition-links.js';

const openingBrace = 0x7b;
const closingBrace = 0x7d;

/** Longest tag, in bytes. */
const maxTagBytes = 6;

export class ClusterConnections {
  readonly topology: ClusterTopology;
  /** The masters that have a partition, by their names (`host:port`). */
  readonly #servers = new Map<string, ClusterServer>();
  /** By the tags of the partitions, as numbers: {@link numberOf}. */
  readonly #partitions = new Map<number, PartitionLinks>();
  readonly #owner: ServerOwner = {
    onMaster: (server) => {
      for (const links of this.#partitions.values()) links.onMaster(server);
      this.#settle();
    },
    onReplica: (server) => {
      for (const links of this.#partitions.values()) links.onLost(server);
      this.topology.refreshLater();
    },
    onPublisherReady: (server) => this.topology.addSource(server),
    onPublisherLost: (server) => {
      this.topology.removeSource(server);
      for (const links of this.#partitions.values()) links.onPublisherLost(server);
      this.topology.refresh();
    },
    onSubscriberReady: (server) => {
      for (const links of this.#partitions.values()) links.onMaster(server);
    },
    onSubscriberLost: (server) => {
      for (const links of this.#partitions.values()) links.onSubscriberLost(server);
      this.topology.refresh();
    },
    onUnsubscribed: (server, channel) => {
      const links = this.#partitionOf(channel, 0, channel.length);
      if (links?.server !== server) return;
      links.onLost(server);
      this.topology.refresh(server);
    },
    onMessage: (server, message) => this.#onMessage(server, message),
  };

  constructor(
    private readonly settings: ClusterSettings,
    private readonly log: Log,
    private readonly counters: RedisCounters,
  ) {
    const hasBeenLeft = (name: string): boolean => [...this.#partitions.values()].some((links) => links.hasLeft(name));
    this.topology = new ClusterTopology(settings, log, counters, hasBeenLeft);
    this.topology.add(() => this.#settle());
  }

  /**
   * The connections of the partition whose names contain `{tag}` and are in this slot. A tag has at most
   * {@link maxTagBytes} ASCII characters. The owner is notified from the next turn on.
   */
  open(tag: string, slot: number, owner: LinksOwner): PartitionLinks {
    if (tag.length > maxTagBytes) throw new RangeError(`The tag ${tag} is longer than ${maxTagBytes} bytes.`);
    const number = numberOf(Buffer.from(tag), 0, tag.length);
    const cluster = {
      topology: this.topology,
      isProven: (server: ClusterServer, since: number) =>
        [...this.#partitions.values()].some((other) => other.isProven(server, since)),
      onLeft: () => this.#settle(),
      onClosed: () => this.#partitions.delete(number),
    };
    const links = new PartitionLinks(tag, slot, this.settings.usesDurable, owner, cluster, this.log);
    this.#partitions.set(number, links);
    setImmediate(() => this.#settle());
    return links;
  }

  async close(): Promise<void> {
    this.topology.close();
    const servers = [...this.#servers.values()];
    this.#servers.clear();
    this.#partitions.clear();
    await Promise.all(servers.map((server) => server.close()));
  }

  /** Each partition goes to the server that has its slot. */
  #settle(): void {
    const used = new Set<ClusterServer>();
    for (const links of this.#partitions.values()) {
      const owner = this.topology.ownerOf(links.slot);
      if (owner === null) continue;
      const server = this.#serverOf(owner.server);
      used.add(server);
      links.follow(server, owner.at);
    }
    // It may have become a master since.
    for (const server of used) if (!server.isMaster) void server.check();
    const links = [...this.#partitions.values()];
    for (const [name, server] of this.#servers) {
      if (used.has(server) || links.some((one) => one.uses(server))) continue;
      this.#servers.delete(name);
      this.topology.removeSource(server);
      void server.close();
    }
    if (links.some(({ isUnsettled }) => isUnsettled)) this.topology.refreshLater();
  }

  #serverOf(name: string): ClusterServer {
    let server = this.#servers.get(name);
    if (server === undefined) {
      server = new ClusterServer(name, this.settings, this.#owner, this.log, this.counters);
      this.#servers.set(name, server);
    }
    return server;
  }

  #onMessage(server: ClusterServer, message: ChannelMessage): void {
    this.#partitionOf(message.bytes, message.channelStart, message.channelEnd)?.onMessage(server, message);
  }

  /** The partition of a channel, by the tag in its name. */
  #partitionOf(bytes: Buffer, start: number, end: number): PartitionLinks | undefined {
    let from = start;
    while (from < end && bytes[from] !== openingBrace) from++;
    let to = from + 1;
    while (to < end && bytes[to] !== closingBrace) to++;
    return this.#partitions.get(numberOf(bytes, from + 1, to));
  }
}

/** The bytes of a tag as a number, so that no message needs a string for it. Longer ones give a number of no tag. */
function numberOf(bytes: Uint8Array, start: number, end: number): number {
  if (end - start > maxTagBytes) return -1;
  let number = 0;
  for (let at = start; at < end; at++) number = number * 256 + (bytes[at] as number);
  return number;
}
