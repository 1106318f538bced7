/** Puts a node together, in the order of a message's journey, and takes it apart again. Read this first. */
import { setTimeout } from 'node:timers/promises';
import { closeReasons, type Encoding, JsonNodeCodec, MsgpackNodeCodec, type NodeCodec } from '@fanfare/protocol';
import { Admin, type Readiness } from './admin.js';
import type { Config } from './config.js';
import { Connection, type ConnectionContext } from './connection/connection.js';
import { Outbox } from './connection/outbox.js';
import { Server } from './connection/server.js';
import type { Parts } from './handlers/parts.js';
import type { Log } from './log.js';
import { Metrics } from './metrics.js';
import { MemoryRelay } from './relay/memory-relay.js';
import { RedisRelay } from './relay/redis-relay.js';
import type { Relay } from './relay/relay.js';
import { Fanout } from './topics/fanout.js';
import { Registry } from './topics/registry.js';

export interface Broker {
  /** Where clients connect. */
  readonly port: number;
  /** Where /healthz, /readyz and /metrics are. */
  readonly adminPort: number;
  /**
   * Stops in good order: not ready any more, lets nobody in and hears nobody, delivers and answers what was taken in, closes
   * every connection with `draining`, and cuts off what is left after `drainTimeoutMs`. May be called once.
   */
  drain(): Promise<void>;
}

export async function startBroker(config: Config, log: Log): Promise<Broker> {
  const metrics = new Metrics();
  const { counters } = metrics;
  const codecs: Readonly<Record<Encoding, NodeCodec>> = { msgpack: new MsgpackNodeCodec(), json: new JsonNodeCodec() };

  const registry = new Registry((topic) => relay.unsubscribe(topic));
  // Frames leave through the server, which is above everything here: the one upward step of the journey.
  const fanout = new Fanout(
    registry,
    Object.values(codecs),
    (group, frame, isBinary) => server.broadcast(group, frame, isBinary),
    counters,
  );
  const relay: Relay =
    config.redisUrl === null
      ? new MemoryRelay(fanout)
      : new RedisRelay({ ...config, redisUrl: config.redisUrl }, fanout, log, counters);
  const parts: Parts = {
    relay,
    limits: config,
    greeting: { node: config.nodeName, pingIntervalMs: config.pingIntervalMs, maxFrameBytes: config.maxFrameBytes },
    counters,
    onBug: (error) =>
      log.error({ event: 'bug', err: error }, 'A command failed in a way that it must not: this is a bug.'),
  };
  const context: ConnectionContext = { ...config, parts, registry, outbox: new Outbox(), counters };
  const server = await Server.start(config, counters, (encoding) => new Connection(context, codecs[encoding])).catch(
    async (error: unknown) => {
      await relay.close();
      throw error;
    },
  );

  let isDraining = false;
  const readiness = (): Readiness => {
    if (isDraining) return { isReady: false, reason: 'draining' };
    if (relay.state === 'connected') return { isReady: true, reason: 'serving' };
    return { isReady: false, reason: 'Redis is not connected' };
  };
  metrics.read({
    connections: () => server.connections.length,
    subscriptions: () => registry.subscriptions,
    topics: () => registry.topics,
    relayConnected: () => relay.state === 'connected',
  });
  const stopParts = async (): Promise<void> => {
    await relay.close();
    server.close();
  };
  const admin = await Admin.start(config, {
    readiness,
    metricsType: metrics.contentType,
    metrics: () => metrics.text(),
  }).catch(async (error: unknown) => {
    await stopParts();
    throw error;
  });
  const { host, nodeName } = config;
  log.info(
    { event: 'listening', port: server.port, adminPort: admin.port },
    `Node ${nodeName} listens on ws://${host}:${server.port}/ws, ${config.redisUrl === null ? 'alone, in memory' : 'with others through Redis'}; health and metrics on port ${admin.port}.`,
  );

  return {
    port: server.port,
    adminPort: admin.port,
    async drain() {
      isDraining = true;
      log.info({ event: 'draining', connections: server.connections.length }, 'Draining: closing all connections.');
      server.stopListening();
      const hadConnections = server.connections.length > 0;
      // First what was taken in: publishers hear what became of it, subscribers get it.
      await relay.flush();
      for (const connection of [...server.connections]) connection.close(closeReasons.draining);
      await waitUntil(() => server.connections.length === 0, config.drainTimeoutMs);
      if (hadConnections) await setTimeout(closeHandshakeMs);
      await stopParts();
      await admin.close();
      log.info({ event: 'stopped' }, 'Stopped.');
    },
  };
}

/**
 * How long peers get to answer our close frames, in milliseconds. Closing a socket with unread bytes in it resets the connection, and
 * a close frame on its way is lost with it (RFC 6455 section 7.1.1).
 */
const closeHandshakeMs = 100;

/** Looks every 10 ms, for `timeoutMs` at most. */
async function waitUntil(condition: () => boolean, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!condition() && Date.now() < deadline) await setTimeout(10);
}
