/**
 * Creates the parts of a node and connects them, in the order in which a message passes them, and stops them again.
 * Read this first.
 */
import { type CloseReason, type Encoding, JsonNodeCodec, MsgpackNodeCodec, type NodeCodec } from '@fanfare/protocol';
import { certificateFiles } from '../connection/certificate.js';
import { CertificateRenewal } from '../connection/certificate-renewal.js';
import { Connection, type ConnectionContext } from '../connection/connection.js';
import { ConnectionSweep } from '../connection/connection-sweep.js';
import { HandshakePolicy } from '../connection/handshake-policy.js';
import { loadUWebSockets } from '../connection/listeners.js';
import { ReplyBuffer } from '../connection/reply-buffer.js';
import { Server, type ServerParts } from '../connection/server.js';
import { version } from '../files/package-file.js';
import type { Caller } from '../handlers/caller.js';
import type { Parts } from '../handlers/parts.js';
import { onHistory } from '../http/history-request.js';
import type { HttpContext } from '../http/http-context.js';
import { OpenRequests } from '../http/open-requests.js';
import { openApiRoute } from '../http/openapi.js';
import { addRoutes } from '../http/route.js';
import { publishRoutes } from '../http/routes.js';
import type { Log } from '../observe/log.js';
import { type Counters, Metrics } from '../observe/metrics.js';
import { RefusalSummary } from '../observe/refusal-summary.js';
import { MemoryRelay } from '../relay/memory-relay.js';
import { type MemoryTimes, memoryTimes } from '../relay/memory-times.js';
import type { Load, Relay } from '../relay/relay.js';
import { RequestSessions } from '../session/request-sessions.js';
import type { Config } from '../settings/config.js';
import { maxClientSockets } from '../settings/file-descriptors.js';
import { memoryLimitBytes } from '../settings/system-limits.js';
import { CorkedWriter } from '../streams/corked-writer.js';
import { PagePieces } from '../streams/page-pieces.js';
import { onPoll } from '../streams/poll-request.js';
import type { StreamContext } from '../streams/stream-context.js';
import { streamRoutes } from '../streams/stream-routes.js';
import { Fanout } from '../topics/fanout.js';
import { Registry } from '../topics/registry.js';
import { Admin, aboutOf, type Readiness } from './admin.js';
import type { Auth, AuthParts } from './auth-setup.js';
import { drain, waitUntil } from './drain.js';
import { type NotReadyReason, notReadyReasons, OutageWatch } from './outage.js';
import { loadOf, Rebalance } from './rebalance.js';
import type { RedisParts } from './redis-setup.js';
import { RefusalLog } from './refusal-log.js';
import { ShardWatch, servingText } from './shard-watch.js';
import type { Tracing } from './tracing.js';

export interface Broker {
  /** Where clients connect. */
  readonly port: number;
  /**
   * The port of the console, /healthz, /readyz and /metrics; null for a worker, because its supervisor has that port.
   */
  readonly adminPort: number | null;
  readiness(): Readiness;
  /** All metrics, in Prometheus' text format, or only the one of this name. */
  metrics(name?: string): Promise<string>;
  /**
   * Stops without losing anything. Accepts no more connections, and asks clients to move within `drainWindowMs`. Then
   * closes the remaining connections in waves, and drops those that are still open after `drainTimeoutMs`. `atOnce`
   * skips the window. May be called once.
   */
  drain(options?: { readonly atOnce?: boolean }): Promise<void>;
}

/**
 * Starts one node in this process, whatever `config.workers` is. `worker`: its number among the workers that share the
 * port. A worker has no admin port. `times`: only tests pass other ones.
 */
export async function startBroker(
  config: Config,
  log: Log,
  worker: number | null = null,
  times: MemoryTimes = memoryTimes,
): Promise<Broker> {
  // First: if this system cannot run the library, nothing else matters, such as a Redis that does not answer.
  await loadUWebSockets();
  const metrics = new Metrics(worker);
  const { counters } = metrics;
  let isDraining = false;
  let isStopping = false;
  // Both are set when the server runs.
  let load = (): Load | null => null;
  let recheckAccess = (): void => undefined;
  const tracing = await startTracing(config, log, counters);
  const codecs: Readonly<Record<Encoding, NodeCodec>> = { msgpack: new MsgpackNodeCodec(), json: new JsonNodeCodec() };

  const onBug = (error: unknown): void =>
    log.error({ event: 'bug', err: error }, 'A command failed unexpectedly. This is a bug: please report it.');
  const replyBuffer = new ReplyBuffer();
  const registry = new Registry();
  // Frames leave through the server, which is created below.
  const fanout = new Fanout(
    registry,
    Object.values(codecs),
    {
      // A reply contains the position of its subscriber, so later deliveries must not overtake it.
      sendEarlier: () => replyBuffer.flush(),
      broadcast: (group, frame, isBinary) => server.broadcast(group, frame, isBinary),
    },
    counters,
    tracing,
  );
  const redis = await startRedis({ ...config, memoryTimes: times }, fanout, log, counters, () => load(), tracing);
  const relay: Relay = redis?.relay ?? new MemoryRelay(config, fanout, tracing);
  const refusalLog = log.isLevelEnabled('debug') ? new RefusalLog(log) : null;
  const parts: Parts = {
    relay,
    limits: config,
    greeting: { node: config.nodeName, pingIntervalMs: config.pingIntervalMs, maxFrameBytes: config.maxFrameBytes },
    counters,
    onBug,
    onRefused: refusalLog && ((caller, command, error) => refusalLog.refused(caller, command, error)),
  };
  const refusals = new RefusalSummary(counters, log);
  const auth = await startAuth(config, {
    relay,
    log,
    counters,
    openStore: redis?.openAuthStore ?? null,
    onBug,
    onAccessChange: () => recheckAccess(),
    onFailed: (reason) => refusals.addReason(reason),
  });
  const sessions = auth?.sessions ?? null;
  const onClosing = refusalLog && ((caller: Caller, reason: CloseReason) => refusalLog.closed(caller, reason));
  // Sends two pings within the idle timeout. uWebSockets counts this timeout in steps of 4 s, and may end it one step
  // early.
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
  const isAuthenticated = auth !== null;
  const policy = new HandshakePolicy({ ...config, isAuthenticated }, counters, log);
  const openRequests = new OpenRequests();
  const unanswered = { count: 0 };
  const http: HttpContext = {
    parts,
    policy,
    sessions,
    requestSessions: sessions && new RequestSessions(sessions),
    json: codecs.json,
    maxFrameBytes: config.maxFrameBytes,
    openRequests,
    unanswered,
    // The server is created below.
    mustClose: () => isDraining || server.isCrowded,
    isStopping: () => isStopping,
    onRefused: refusalLog && ((requester, problem) => refusalLog.requestRefused(requester, problem)),
    onAnswered: (route, status, beganAtMs) => counters.countHttpAnswer(route, status, beganAtMs),
    onBug,
  };
  const streams: StreamContext = {
    relay,
    registry,
    sessions,
    requestSessions: http.requestSessions,
    // The server is created below.
    host: {
      admit: (requester, toll) => server.admit(requester, toll),
      opened: (connection) => server.opened(connection),
      closed: (connection, address) => server.closed(connection, address),
    },
    http,
    counters,
    open: { eventStreams: 0, heldPolls: 0 },
    writer: new CorkedWriter(),
    pages: new PagePieces(),
    // Well before a client that has heard nothing pings: to do so, it opens its stream again.
    sseHeartbeatMs: Math.min(config.sseHeartbeatMs, Math.round(0.6 * config.pingIntervalMs)),
    idleTimeoutSeconds: config.idleTimeoutSeconds,
    maxSubscriptions: config.maxSubscriptions,
    cookieName: config.cookieName,
    origins: config.origins,
  };
  const routes = [
    ...publishRoutes(http, (exchange, query) => {
      // HEAD has no answer to wait for.
      if (exchange.isHead) onHistory(exchange, http, query);
      else onPoll(exchange, streams, query);
    }),
    ...streamRoutes(streams),
    ...(auth?.api.routes(http) ?? []),
  ];
  routes.push(openApiRoute(routes, version, isAuthenticated));
  const serverParts: ServerParts = {
    counters,
    policy,
    addRoutes: (app) => addRoutes(app, routes, http, policy),
    unauthenticated: () => sessions?.unauthenticated ?? 0,
    accept: (encoding: Encoding) => new Connection(context, codecs[encoding]),
    onRefused: refusalLog && ((requester, refusal) => refusalLog.handshakeRefused(requester, refusal)),
  };
  const sharing = worker === null ? 'exclusive' : 'shared';
  const certificate = certificateFiles(config.tlsCertFile, config.tlsKeyFile);
  const maxSockets = maxClientSockets();
  const server = await Server.start({ ...config, maxSockets }, certificate, sharing, serverParts).catch(
    async (error: unknown) => {
      await auth?.close();
      await relay.close();
      redis?.close();
      await tracing?.close();
      throw error;
    },
  );
  const renewal = certificate === null ? null : new CertificateRenewal(certificate, server, log);
  const sweep = new ConnectionSweep(server.connections, config, counters, (nowMs) => {
    openRequests.expire(nowMs);
    policy.forgetIdle(nowMs);
    sessions?.subjects.forgetIdle(nowMs);
  });

  const maxConnections = Math.min(config.maxConnections, maxSockets);
  let wasFull = false;
  recheckAccess = () => {
    // A copy: closed connections leave the list.
    for (const { authentication } of [...server.connections]) authentication?.checkAccess();
    http.requestSessions?.forget();
  };
  load = () => {
    if (isDraining) return null;
    const loadNow = loadOf(server.connections.length, maxConnections, wasFull);
    wasFull = loadNow.isFull;
    return loadNow;
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
  const shardWatch = new ShardWatch(relay, log);
  const notReadyReason = (): NotReadyReason | null => {
    if (isDraining) return 'draining';
    const { state } = relay;
    if (state !== 'connected') return state;
    return sessions?.store.isCurrent === false ? 'revocations' : null;
  };
  const readiness = (): Readiness => {
    const reason = notReadyReason();
    if (reason === null) return { isReady: true, reason: servingText(relay) };
    // The other reasons need no further explanation.
    const fault = reason === 'connecting' || reason === 'unproven' || reason === 'mapFault' ? relay.fault : null;
    return { isReady: false, reason: `${notReadyReasons[reason]}${fault === null ? '' : `. ${fault}`}` };
  };
  metrics.readReasons(Object.keys(notReadyReasons), notReadyReason);
  metrics.readShards(() => relay.shards);
  metrics.read({
    connections: () => server.connections.length,
    eventStreams: () => streams.open.eventStreams,
    heldPolls: () => streams.open.heldPolls,
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
    revocations: () => auth?.revocations.size ?? 0,
    authRefused: () => auth?.isRefused === true,
    revocationLagSeconds: () => (sessions?.store.revocationLagMs ?? 0) / 1_000,
    certificateExpirySeconds: () => renewal?.expirySeconds ?? 0,
  });
  const stopParts = async (): Promise<void> => {
    renewal?.close();
    rebalance.close();
    sweep.close();
    outages.close();
    shardWatch.close();
    refusals.close();
    await auth?.close();
    await relay.close();
    redis?.close();
    server.close();
    await tracing?.close();
    metrics.close();
  };
  const startAdmin = (): Promise<Admin> =>
    Admin.start(config, {
      about: () => aboutOf(config, server.port),
      // A stuck event loop would not answer at all.
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
  const adminText = admin === null ? '' : `; health and metrics on port ${admin.port}`;
  log.info(
    { event: 'listening', port: server.port, adminPort: admin?.port, pid: process.pid },
    `Node ${nodeName} listens on ${certificate === null ? 'ws' : 'wss'}://${host}:${server.port}/ws, ${relayed}${adminText}.`,
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
    metrics: (name) => metrics.text(name),
    async drain({ atOnce = false } = {}) {
      isDraining = true;
      rebalance.close();
      renewal?.close();
      // Without Redis there is no other node to move to.
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
        {
          connections,
          requests: () => unanswered.count,
          httpSockets: () => server.httpSockets,
          flush: () => relay.flush(),
          counters,
          log,
        },
      );
      const cutOff = connections.length;
      if (drainWindowMs > 0) await relay.retire();
      isStopping = true;
      await relay.flush();
      await waitUntil(() => unanswered.count === 0, config.drainTimeoutMs);
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

// Parts that not every node needs are loaded only if they are used. Their libraries take most of the time and memory of
// a start.

async function startTracing(config: Config, log: Log, counters: Counters): Promise<Tracing | null> {
  const { tracingUrl, tracingRatio, nodeName } = config;
  if (tracingUrl === null || tracingRatio === 0) return null;
  const { Tracing } = await import('./tracing.js');
  return new Tracing({ tracingUrl, tracingRatio, nodeName }, log, counters);
}

async function startRedis(
  config: Config & { readonly memoryTimes: MemoryTimes },
  fanout: Fanout,
  log: Log,
  counters: Counters,
  load: () => Load | null,
  tracer: Tracing | null,
): Promise<RedisParts | null> {
  const { redisUrl } = config;
  if (redisUrl === null) return null;
  const { openRedis } = await import('./redis-setup.js');
  return openRedis({ ...config, redisUrl }, fanout, log, counters, load, tracer);
}

async function startAuth(config: Config, parts: AuthParts): Promise<Auth | null> {
  const { auth } = config;
  if (auth === null || auth === 'none') return null;
  const { openAuth } = await import('./auth-setup.js');
  return openAuth(auth, config, parts);
}
