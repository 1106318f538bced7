/** Puts a node together, in the order of a message's journey, and takes it apart again. Read this first. */
import { type CloseReason, type Encoding, JsonNodeCodec, MsgpackNodeCodec, type NodeCodec } from '@fanfare/protocol';
import { certificateFiles } from '../connection/certificate.js';
import { CertificateRenewal } from '../connection/certificate-renewal.js';
import { Connection, type ConnectionContext } from '../connection/connection.js';
import { ConnectionSweep } from '../connection/connection-sweep.js';
import { HandshakePolicy } from '../connection/handshake-policy.js';
import { ReplyBuffer } from '../connection/reply-buffer.js';
import { Server, type ServerParts } from '../connection/server.js';
import type { Caller } from '../handlers/caller.js';
import type { Parts } from '../handlers/parts.js';
import type { Log } from '../observe/log.js';
import { Metrics } from '../observe/metrics.js';
import { Refusals } from '../observe/refusals.js';
import { SentinelWatch } from '../redis/redis.js';
import { RedisCredentialWatch } from '../redis/redis-credential-watch.js';
import { filesOf } from '../redis/redis-credentials.js';
import { readRedisUrl } from '../redis/redis-url.js';
import { MemoryRelay } from '../relay/memory-relay.js';
import { newNodeId } from '../relay/redis-message.js';
import { RedisRelay } from '../relay/redis-relay.js';
import type { Load, Relay } from '../relay/relay.js';
import type { Config } from '../settings/config.js';
import { maxClientSockets } from '../settings/file-descriptors.js';
import { memoryLimitBytes } from '../settings/system-limits.js';
import { Fanout } from '../topics/fanout.js';
import { Registry } from '../topics/registry.js';
import { Admin, aboutOf, type Readiness } from './admin.js';
import { openDoors } from './auth-setup.js';
import { drain } from './drain.js';
import { type NotReadyReason, notReadyReasons, OutageWatch } from './outage.js';
import { loadOf, Rebalance } from './rebalance.js';
import { RefusalLog } from './refusal-log.js';
import type { Tracing } from './tracing.js';

export interface Broker {
  /** Where clients connect. */
  readonly port: number;
  /** Where the console, /healthz, /readyz and /metrics are; null for a worker, whose supervisor answers them. */
  readonly adminPort: number | null;
  readiness(): Readiness;
  /** All metrics, in Prometheus' text format. */
  metrics(): Promise<string>;
  /**
   * Stops in good order: not ready any more, lets nobody in, invites clients to move within `drainWindowMs` and serves them
   * until then, closes what is left in waves, and cuts off what is left after `drainTimeoutMs`. `atOnce`: without the window. May be
   * called once.
   */
  drain(options?: { readonly atOnce?: boolean }): Promise<void>;
}

/**
 * Starts one node in this process, whatever `config.workers` says. `worker`: its number among those that share the port; such a
 * node has no admin port.
 */
export async function startBroker(config: Config, log: Log, worker: number | null = null): Promise<Broker> {
  const metrics = new Metrics(worker, config.redisUrl === null ? 0 : readRedisUrl(config.redisUrl).database);
  const { counters } = metrics;
  let isDraining = false;
  /** Null before the node takes connections, and when it does not any more. */
  let loadForSpread = (): Load | null => null;
  /** Nobody is connected before the server runs. */
  let checkWithdrawn = (): void => undefined;
  const tracing = await startTracing(config, log, metrics.counters);
  const codecs: Readonly<Record<Encoding, NodeCodec>> = { msgpack: new MsgpackNodeCodec(), json: new JsonNodeCodec() };

  const onBug = (error: unknown): void =>
    log.error({ event: 'bug', err: error }, 'A command failed unexpectedly. This is a bug: please report it.');
  const replyBuffer = new ReplyBuffer();
  const registry = new Registry();
  // Frames leave through the server, which is above everything here: the one upward step of the journey.
  const fanout = new Fanout(
    registry,
    Object.values(codecs),
    {
      // A reply says where its subscriber stands: what is delivered from there on must not overtake it.
      sendEarlier: () => replyBuffer.flush(),
      broadcast: (group, frame, isBinary) => server.broadcast(group, frame, isBinary),
    },
    counters,
    tracing,
  );
  const sentinels =
    config.redisUrl === null ? null : SentinelWatch.start({ ...config, redisUrl: config.redisUrl }, log);
  const redis =
    config.redisUrl === null ? null : { ...config, redisUrl: config.redisUrl, nodeId: newNodeId(), sentinels };
  const relay: Relay =
    redis === null
      ? new MemoryRelay(config, fanout, tracing)
      : new RedisRelay(redis, fanout, log, counters, () => loadForSpread(), tracing);
  const credentialWatch =
    redis === null || filesOf(redis).length === 0 ? null : new RedisCredentialWatch(redis, log, counters);
  const refusalLog = log.isLevelEnabled('debug') ? new RefusalLog(log) : null;
  const parts: Parts = {
    relay,
    limits: config,
    greeting: { node: config.nodeName, pingIntervalMs: config.pingIntervalMs, maxFrameBytes: config.maxFrameBytes },
    counters,
    onBug,
    onRefused: refusalLog && ((caller, command, error) => refusalLog.refused(caller, command, error)),
  };
  const refusals = new Refusals(counters, log);
  const doors = openDoors(
    config,
    redis,
    relay,
    log,
    counters,
    onBug,
    () => checkWithdrawn(),
    (reason) => refusals.addReason(reason),
  );
  const sessions = doors?.sessions ?? null;
  const onClosing = refusalLog && ((caller: Caller, reason: CloseReason) => refusalLog.closed(caller, reason));
  // Two pings before the idle timeout, which uWebSockets counts in steps of 4 s and may find over that much too early.
  const pingEveryMs = Math.min(config.pingIntervalMs, ((config.idleTimeoutSeconds - 4) * 1_000) / 2);
  const context: ConnectionContext = {
    ...config,
    pingEveryMs,
    parts,
    registry,
    replyBuffer,
    counters,
    onClosing,
    sessions,
  };
  const isAuthenticated = doors !== null;
  const serverParts: ServerParts = {
    counters,
    policy: new HandshakePolicy({ ...config, isAuthenticated }, counters, log),
    api: doors?.api ?? null,
    unauthenticated: () => sessions?.unauthenticated ?? 0,
    accept: (encoding: Encoding) => new Connection(context, codecs[encoding]),
    onRefused: refusalLog && ((requester, refused) => refusalLog.handshakeRefused(requester, refused)),
  };
  const sharing = worker === null ? 'exclusive' : 'shared';
  const certificate = certificateFiles(config.tlsCertFile, config.tlsKeyFile);
  const maxSockets = maxClientSockets();
  const server = await Server.start({ ...config, maxSockets }, certificate, sharing, serverParts).catch(
    async (error: unknown) => {
      credentialWatch?.close();
      await doors?.close();
      await relay.close();
      await tracing?.close();
      throw error;
    },
  );
  const renewal = certificate === null ? null : new CertificateRenewal(certificate, server, log);
  const sweep = new ConnectionSweep(server.connections, config, counters, (nowMs) => {
    server.expireRequests(nowMs);
    serverParts.policy.forgetIdle(nowMs);
    sessions?.subjects.forgetIdle(nowMs);
  });

  const maxConnections = Math.min(config.maxConnections, maxSockets);
  let wasFull = false;
  checkWithdrawn = () => {
    // A copy: closed connections leave the list.
    for (const { authentication } of [...server.connections]) authentication?.checkWithdrawn();
  };
  loadForSpread = () => {
    if (isDraining) return null;
    const load = loadOf(server.connections.length, maxConnections, wasFull);
    wasFull = load.isFull;
    return load;
  };
  const rebalance = new Rebalance(config, {
    connections: server.connections,
    spread: () => relay.spread,
    counters,
    log,
  });

  const outages = new OutageWatch(
    {
      state: () => relay.state,
      connections: () => server.connections.length,
      hasFastTopics: config.topics.uses('fast'),
    },
    counters,
    log,
  );
  const notReadyReason = (): NotReadyReason | null => {
    if (isDraining) return 'draining';
    const { state } = relay;
    if (state !== 'connected') return state;
    return sessions?.store.isCurrent === false ? 'revocations' : null;
  };
  const readiness = (): Readiness => {
    const reason = notReadyReason();
    if (reason === null) return { isReady: true, reason: 'serving' };
    // The other reasons are their own explanation.
    const fault = reason === 'connecting' || reason === 'unproven' ? relay.fault : null;
    return { isReady: false, reason: `${notReadyReasons[reason]}${fault === null ? '' : `. ${fault}`}` };
  };
  metrics.readReasons(Object.keys(notReadyReasons), notReadyReason);
  metrics.read({
    connections: () => server.connections.length,
    maxConnections: () => maxConnections,
    ready: () => notReadyReason() === null,
    draining: () => isDraining,
    memoryLimitBytes,
    redisOutputBufferBytes: () => relay.redisOutputBufferBytes,
    subscriptions: () => registry.subscriptions,
    topics: () => registry.topics,
    relayConnected: () => relay.state === 'connected',
    nodes: () => relay.nodes,
    flushWindowSeconds: () => relay.flushWindowMs / 1_000,
    unauthenticated: () => sessions?.unauthenticated ?? 0,
    bufferedBytes: () => sweep.bufferedBytes,
    revocations: () => doors?.revocations.size ?? 0,
    authRefused: () => doors?.isAuthRefused === true,
    revocationLagSeconds: () => (sessions?.store.revocationLagMs ?? 0) / 1_000,
    certificateExpirySeconds: () => renewal?.expirySeconds ?? 0,
  });
  const stopParts = async (): Promise<void> => {
    credentialWatch?.close();
    renewal?.close();
    rebalance.close();
    sweep.close();
    outages.close();
    refusals.close();
    await doors?.close();
    await relay.close();
    sentinels?.close();
    server.close();
    await tracing?.close();
  };
  const startAdmin = (): Promise<Admin> =>
    Admin.start(config, {
      about: () => aboutOf(config, server.port),
      // Who can ask is answered: what is alive is the event loop.
      stuck: async () => null,
      readiness: async () => readiness(),
      metrics: () => metrics.text(),
    }).catch(async (error: unknown) => {
      await stopParts();
      throw error;
    });
  const admin = worker === null ? await startAdmin() : null;
  const { host, nodeName } = config;
  const relayed = config.redisUrl === null ? 'standalone, in memory' : 'clustered through Redis';
  const told = admin === null ? '' : `; health and metrics on port ${admin.port}`;
  log.info(
    { event: 'listening', port: server.port, adminPort: admin?.port },
    `Node ${nodeName} listens on ${certificate === null ? 'ws' : 'wss'}://${host}:${server.port}/ws, ${relayed}${told}.`,
  );
  if (config.redisUrl === null && config.topics.uses('durable')) {
    log.warn(
      { event: 'durableWithoutRedis' },
      'FANFARE_TOPICS has topics of level durable, but no Redis is configured. Acknowledged publications are lost when this node stops. Set FANFARE_REDIS_URL.',
    );
  }

  return {
    port: server.port,
    adminPort: admin?.port ?? null,
    readiness,
    metrics: () => metrics.text(),
    async drain({ atOnce = false } = {}) {
      isDraining = true;
      rebalance.close();
      renewal?.close();
      // Nobody could go anywhere else from a node that has no others.
      const drainWindowMs = atOnce || config.redisUrl === null ? 0 : config.drainWindowMs;
      const { connections } = server;
      log.info(
        { event: 'draining', connections: connections.length, windowMs: drainWindowMs },
        drainWindowMs === 0
          ? `Draining: closing ${connections.length} connections.`
          : `Draining: asking ${connections.length} connections to move within ${drainWindowMs} ms.`,
      );
      server.stopListening();
      const [startedAt, before] = [performance.now(), connections.length];
      const closed = await drain(
        { ...config, drainWindowMs },
        { connections, flush: () => relay.flush(), counters, log },
      );
      const cutOff = connections.length;
      if (drainWindowMs > 0) await relay.retire();
      await stopParts();
      await admin?.close();
      const left = Math.max(0, before - closed);
      const ms = Math.round(performance.now() - startedAt);
      log.info(
        { event: 'stopped', left, closed, cutOff, ms },
        `Stopped after ${(ms / 1_000).toFixed(1)} s. ${before} connections: ${left} moved by themselves, ${closed} were closed, ${cutOff} of those were dropped.`,
      );
    },
  };
}

/** The libraries for it are loaded only where something is to be traced. */
async function startTracing(config: Config, log: Log, counters: Metrics['counters']): Promise<Tracing | null> {
  const { tracingUrl, tracingRatio, nodeName } = config;
  if (tracingUrl === null || tracingRatio === 0) return null;
  const { Tracing } = await import('./tracing.js');
  return new Tracing({ tracingUrl, tracingRatio, nodeName }, log, counters);
}
