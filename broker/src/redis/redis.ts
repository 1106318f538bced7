/**
 * The connections of a node to Redis: to publish, for `durable` topics, to receive, for authentication, and to test
 * changed passwords. Their common part is in redis-link.ts. Only the files of this folder know ioredis.
 */
export { CheckLink } from './check-link.js';
export { ClusterConnections } from './cluster/cluster-connections.js';
export type { ClusterSettings } from './cluster/cluster-settings.js';
export { ClusterStoreLink } from './cluster/cluster-store-link.js';
export type { PartitionLinks } from './cluster/partition-links.js';
export { type CommandStream, isLost, lostError } from './command-stream.js';
export type { CommandWriter } from './command-writer.js';
export { EvictionWatch } from './eviction-watch.js';
export type { LinksOwner } from './links-owner.js';
export { PendingCall } from './pending-call.js';
export { PublisherLink, type PublishingLink, type RedisMessage } from './publisher-link.js';
export { isOfAnotherLayout, isOutOfMemory } from './redis-fault.js';
export type { RedisCounters } from './redis-link.js';
export type { RedisSettings } from './redis-options.js';
export type { Wait } from './replica-wait.js';
export { type ChannelMessage, RedisError, type Reply } from './reply-reader.js';
export { readLua, type Script, type ScriptCall, scriptOf } from './script.js';
export { SentinelWatch } from './sentinel-watch.js';
export { StoreLink } from './store-link.js';
export { maxChannelsPerCommand, SubscriberLink } from './subscriber-link.js';
