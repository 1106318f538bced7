/**
 * Every metric of a node. Frequent events are counted in plain fields, which are read when Prometheus asks. The metrics
 * library is called at most once for a batch of publications, never for each. No label contains anything that a client
 * chooses, such as a topic or user.
 */
import { type PerformanceObserver, performance } from 'node:perf_hooks';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { gcKinds, observeGcPauses } from './gc-pauses.js';
import { versions } from './versions.js';

/** Of the requests that publish, one in this many is measured: a measurement costs about as much as the counters. */
const measuredEvery = 16;

/**
 * Plain numbers, incremented where the events happen. Literal fields, because V8 makes a lookup table of an object that
 * a loop fills.
 */
export class Counters {
  connectionsOpened = 0;
  connectionsClosed = 0;
  connectionsRefused = 0;
  slowSubscribers = 0;
  originsRefused = 0;
  addressesRefused = 0;
  handshakesLimited = 0;
  connectionsOverCapacity = 0;
  authentications = 0;
  authenticationsFailed = 0;
  authenticationTimeouts = 0;
  tokensExpired = 0;
  subjectsRefused = 0;
  connectionsRevoked = 0;
  connectionsKeyRemoved = 0;
  connectionsShed = 0;
  commandsNotPermitted = 0;
  commandsLimited = 0;
  ticketsIssued = 0;
  jwksFetches = 0;
  jwksFailures = 0;
  hookRequests = 0;
  hookFailures = 0;
  framesIn = 0;
  bytesIn = 0;
  bytesOut = 0;
  commandErrors = 0;
  commandsUnavailable = 0;
  publicationsIn = 0;
  publicationsUnrelayed = 0;
  publicationsOverloaded = 0;
  publicationsUnconfirmed = 0;
  publicationsOutOfTurn = 0;
  publicationsKnown = 0;
  publicationsRepeated = 0;
  publicationsRepaired = 0;
  repairs = 0;
  deliveries = 0;
  framesDropped = 0;
  gapsNotified = 0;
  resetsNotified = 0;
  streamEvents = 0;
  streamPauses = 0;
  streamsUnavailable = 0;
  connectionsInvited = 0;
  connectionsRebalanced = 0;
  probesSent = 0;
  probesMissed = 0;
  beaconsSent = 0;
  recoveries = 0;
  spans = 0;
  spansDropped = 0;
  redisPublishCommands = 0;
  redisScriptCalls = 0;
  redisSubscribeCommands = 0;
  redisUnsubscribeCommands = 0;
  redisPipelines = 0;
  redisReconnects = 0;
  redisEvictions = 0;
  redisMessagesReceived = 0;
  redisMessagesUnwanted = 0;
  redisMessagesUnreadable = 0;

  readonly #relaySeconds: Histogram;
  readonly #fanoutSeconds: Histogram;
  readonly #probeSeconds: Histogram;
  readonly #publishSeconds: Histogram;

  constructor(relaySeconds: Histogram, fanoutSeconds: Histogram, probeSeconds: Histogram, publishSeconds: Histogram) {
    this.#relaySeconds = relaySeconds;
    this.#fanoutSeconds = fanoutSeconds;
    this.#probeSeconds = probeSeconds;
    this.#publishSeconds = publishSeconds;
  }

  /** Answers to HTTP requests, by route and status. */
  readonly httpAnswers = new Map<string, Map<number, number>>();

  /** `beganAtMs`: when the request began, by performance.now(); 0 if it has no body. */
  countHttpAnswer(route: string, status: number, beganAtMs: number): void {
    let statuses = this.httpAnswers.get(route);
    if (statuses === undefined) {
      statuses = new Map();
      this.httpAnswers.set(route, statuses);
    }
    const count = (statuses.get(status) ?? 0) + 1;
    statuses.set(status, count);
    const isMeasured = count % measuredEvery === 1 && beganAtMs > 0 && route.endsWith('/publications');
    if (isMeasured) this.#publishSeconds.observe((performance.now() - beganAtMs) / 1_000);
  }

  /** The round trip of one probe. */
  observeProbeSeconds(seconds: number): void {
    this.#probeSeconds.observe(seconds);
  }

  /** The round trip of one pipeline. */
  observeRelaySeconds(seconds: number): void {
    this.#relaySeconds.observe(seconds);
  }

  /** Encoding one run and sending it to all subscribers of this node. */
  observeFanoutSeconds(seconds: number): void {
    this.#fanoutSeconds.observe(seconds);
  }
}

type CounterField = { [Field in keyof Counters]: Counters[Field] extends number ? Field : never }[keyof Counters];

/** Metric name (without the prefix `fanfare_` and the suffix `_total`) and help of each counter. */
export const counterMetrics: Readonly<Record<CounterField, readonly [name: string, help: string]>> = {
  connectionsOpened: ['connections_opened', 'Connections opened: WebSockets and event streams, without long polls.'],
  connectionsClosed: ['connections_closed', 'Connections closed, for any reason, without long polls.'],
  connectionsRefused: ['connections_refused', 'WebSocket handshakes answered with an HTTP error.'],
  originsRefused: ['origins_refused', 'WebSocket handshakes refused because the origin is not allowed.'],
  addressesRefused: [
    'addresses_refused',
    'WebSocket handshakes refused because the client address had reached its connection limit.',
  ],
  handshakesLimited: ['handshakes_limited', 'WebSocket handshakes and POST requests refused by a rate limit.'],
  connectionsOverCapacity: [
    'connections_over_capacity',
    'WebSocket handshakes refused because the node had reached its limit of connections or of unauthenticated connections.',
  ],
  authentications: ['authentications', 'Connections authenticated with a valid token.'],
  authenticationsFailed: [
    'authentications_failed',
    'Connections closed because the token was rejected, or the first command was not connect.',
  ],
  authenticationTimeouts: ['authentication_timeouts', 'Connections closed because they did not authenticate in time.'],
  tokensExpired: ['tokens_expired', 'Connections closed because their token expired.'],
  subjectsRefused: ['subjects_refused', 'Connections closed because their subject had reached its connection limit.'],
  connectionsRevoked: [
    'connections_revoked',
    'Connections closed because the connection, its token or its subject was revoked.',
  ],
  connectionsKeyRemoved: [
    'connections_key_removed',
    'Connections closed because the issuer removed the key of their token from its `jwksUrl`.',
  ],
  connectionsShed: [
    'connections_shed',
    'Connections closed because the unread bytes of all connections together exceeded the limit.',
  ],
  commandsNotPermitted: ['commands_not_permitted', 'Commands refused because the token does not permit them.'],
  commandsLimited: ['commands_limited', 'Commands refused because their subject exceeded a rate or storage limit.'],
  jwksFetches: ['jwks_fetches', 'Reads of the published keys of an issuer.'],
  jwksFailures: ['jwks_failures', 'Failed reads of the published keys of an issuer.'],
  hookRequests: ['hook_requests', 'Requests to the authorization hook of FANFARE_AUTH.'],
  hookFailures: [
    'hook_failures',
    'Failed requests to the authorization hook of FANFARE_AUTH, including those not sent because too many were open.',
  ],
  ticketsIssued: ['tickets_issued', 'Tickets issued.'],
  slowSubscribers: ['slow_subscribers', 'Connections closed because their unread bytes exceeded the limit.'],
  framesIn: ['frames_in', 'Frames received from clients.'],
  bytesIn: ['bytes_in', 'Bytes of frames received from clients.'],
  bytesOut: ['bytes_out', 'Bytes of publication frames sent to connections: frame length times subscribers.'],
  commandErrors: ['command_errors', 'Commands and frames answered with an error.'],
  commandsUnavailable: [
    'commands_unavailable',
    'Commands answered `unavailable`: Redis or another backend was unreachable, and the node did nothing.',
  ],
  publicationsIn: ['publications_in', 'Publications received from clients of this node.'],
  publicationsUnrelayed: [
    'publications_unrelayed',
    'Unacknowledged publications that reached only subscribers of this node (level fast) or no subscriber, because Redis was unreachable.',
  ],
  publicationsOverloaded: ['publications_overloaded', 'Publications refused because the queue for Redis was full.'],
  publicationsUnconfirmed: [
    'publications_unconfirmed',
    'Publications answered `unconfirmed`: the connection to Redis failed meanwhile, or too few replicas confirmed.',
  ],
  publicationsOutOfTurn: [
    'publications_out_of_turn',
    'Publications answered `unavailable` because an earlier one to the topic was refused and not retried yet (PROTOCOL.md 8.11).',
  ],
  publicationsKnown: [
    'publications_known',
    'Duplicate publications, recognized by their messageId and not published again.',
  ],
  publicationsRepeated: [
    'publications_repeated',
    'Publications that this node received twice from Redis and delivered once.',
  ],
  publicationsRepaired: ['publications_repaired', 'Publications that this node missed and then read from the history.'],
  repairs: [
    'repairs',
    'Repairs of a topic that had missed publications; one read serves all subscribers on this node.',
  ],
  streamEvents: ['stream_events', 'Events sent to event streams.'],
  streamPauses: [
    'stream_pauses',
    'How often an event stream stopped because its client reads too slowly. It continues from the history.',
  ],
  streamsUnavailable: [
    'streams_unavailable',
    'Event streams that were refused or ended with `unavailable`, so that their clients return later.',
  ],
  deliveries: ['deliveries', 'Publications sent to connections: publications times subscribers.'],
  framesDropped: [
    'frames_dropped',
    'Frames dropped on slow connections, which are then closed. A lower bound: uWebSockets reports only the first of a batch.',
  ],
  gapsNotified: ['gaps_told', 'Topics whose subscribers got a gap: publications may have been lost.'],
  resetsNotified: ['resets_told', 'Topics whose subscribers got a reset: the history restarted.'],
  connectionsInvited: ['connections_invited', 'Connections asked to move to another node because this node stops.'],
  connectionsRebalanced: [
    'connections_rebalanced',
    'Connections asked to move because this node had more than its share (FANFARE_REBALANCE_RATE).',
  ],
  probesSent: ['probes_sent', 'Probes that this node sent to itself through Redis.'],
  probesMissed: ['probes_missed', 'Probes that did not return in time.'],
  beaconsSent: ['beacons_sent', 'Beacons: repeated announcements of the position of an idle topic.'],
  recoveries: [
    'recoveries',
    'Recoveries: Redis had a different state than before, and the nodes restored the lost data.',
  ],
  spans: ['spans', 'Spans of traced publications that the collector accepted.'],
  spansDropped: [
    'spans_dropped',
    'Lost spans of traced publications: the collector did not accept them, or the queue was full.',
  ],
  redisScriptCalls: ['redis_script_calls', 'Lua scripts called in Redis.'],
  redisPublishCommands: [
    'redis_publish_commands',
    'SPUBLISH commands sent to Redis, one for each topic and turn of the event loop.',
  ],
  redisSubscribeCommands: ['redis_subscribe_commands', 'SSUBSCRIBE commands sent to Redis.'],
  redisUnsubscribeCommands: ['redis_unsubscribe_commands', 'SUNSUBSCRIBE commands sent to Redis.'],
  redisPipelines: [
    'redis_pipelines',
    'Writes of commands to Redis: all commands of a turn of the event loop leave a connection in one write.',
  ],
  redisReconnects: ['redis_reconnects', 'Times a working connection to Redis was lost.'],
  redisEvictions: [
    'redis_evictions',
    'Keys (histories and messageIds) that Redis evicted because it was full and maxmemory-policy is not noeviction. Every node counts the same keys.',
  ],
  redisMessagesReceived: ['redis_messages_received', 'Messages received from Redis, including those of this node.'],
  redisMessagesUnwanted: [
    'redis_messages_unwanted',
    'Messages of other nodes received from Redis for topics without a subscriber on this node.',
  ],
  redisMessagesUnreadable: [
    'redis_messages_unreadable',
    'Messages received from Redis that this node could not decode.',
  ],
};

/** Values that are read when Prometheus asks. */
export interface Readings {
  connections(): number;
  eventStreams(): number;
  heldPolls(): number;
  maxConnections(): number;
  ready(): boolean;
  draining(): boolean;
  memoryLimitBytes(): number;
  redisOutputBufferBytes(): number;
  subscriptions(): number;
  topics(): number;
  relayConnected(): boolean;
  nodes(): number;
  flushWindowSeconds(): number;
  unauthenticated(): number;
  bufferedBytes(): number;
  revocations(): number;
  revocationLagSeconds(): number;
  authRefused(): boolean;
  certificateExpirySeconds(): number;
}

/** Name and help of each gauge. */
export const gaugeMetrics: Readonly<Record<keyof Readings, readonly [name: string, help: string]>> = {
  connections: ['connections', 'Open connections: WebSockets, event streams and held polls.'],
  eventStreams: ['event_streams', 'Open event streams.'],
  heldPolls: ['held_polls', 'Requests for history that wait for a publication.'],
  maxConnections: [
    'max_connections',
    'Connection limit of this node: FANFARE_MAX_CONNECTIONS, or less if the system allows fewer file descriptors.',
  ],
  ready: ['ready', '1 while /readyz returns 200, otherwise 0.'],
  draining: ['draining', '1 while the node is draining, otherwise 0.'],
  memoryLimitBytes: [
    'memory_limit_bytes',
    'Memory limit of the container, or the memory of the machine if there is no limit.',
  ],
  redisOutputBufferBytes: [
    'redis_output_buffer_bytes',
    'Bytes that Redis buffers for this node, as of the last second. Beyond client-output-buffer-limit (pubsub), Redis closes the connection.',
  ],
  subscriptions: ['subscriptions', 'Subscriptions of all connections.'],
  topics: ['topics', 'Topics with a subscriber on this node.'],
  relayConnected: ['relay_connected', '1 while the other nodes are reachable (always 1 without Redis), otherwise 0.'],
  nodes: ['nodes', 'Live nodes of the broker that this node knows, including itself.'],
  unauthenticated: ['connections_unauthenticated', 'Open WebSocket connections that have not authenticated yet.'],
  bufferedBytes: [
    'buffered_bytes',
    'Bytes buffered in the node that clients have not read yet, as of the last second.',
  ],
  revocations: ['revocations', 'Entries in the revocation list of this node: subjects, tokens and connections.'],
  revocationLagSeconds: [
    'revocation_lag_seconds',
    'Seconds since this node last read the revocation list (since startup, if never); 0 without Redis or without authentication.',
  ],
  authRefused: [
    'auth_refused',
    '1 while the files of FANFARE_AUTH are unusable and the node keeps the previous configuration, otherwise 0.',
  ],
  certificateExpirySeconds: [
    'certificate_expiry_seconds',
    'Unix time at which the certificate for new connections expires; 0 without TLS.',
  ],
  flushWindowSeconds: [
    'flush_window_seconds',
    'Time that publications are collected into a batch; 0 unless the node is busy.',
  ],
};

/** One sample for each reason (`notReadyReasons` in outage.ts), so that an alert can name the cause. */
export const notReadyMetric = [
  'not_ready',
  'One sample per reason (label `reason`): 1 while /readyz returns 503 for this reason, otherwise 0.',
] as const;

/** A Redis that holds topics, as this file needs it. */
interface ShardReading {
  readonly name: string;
  readonly isConnected: boolean;
  readonly partitions: number;
  readonly unavailable: number;
}

/** One sample for each Redis that holds topics (label `shard`): name, help and value. */
export const shardMetrics: readonly (readonly [name: string, help: string, read: (shard: ShardReading) => number])[] = [
  [
    'shard_connected',
    'By shard (label `shard`: a Redis, a master of a Redis Cluster, or `unknown`): 1 while this node can use topics there, otherwise 0.',
    ({ isConnected, partitions, unavailable }) => Number(isConnected || unavailable < partitions),
  ],
  [
    'shard_partitions',
    'By shard: the number of partitions of the topics that it holds.',
    ({ partitions }) => partitions,
  ],
  [
    'shard_partitions_unavailable',
    'By shard: the number of its partitions that this node cannot use. Their topics are answered `unavailable`.',
    ({ unavailable }) => unavailable,
  ],
];

export const histogramMetrics = {
  relaySeconds: ['relay_seconds', 'Seconds from sending a pipeline of publications to Redis to its answer.'],
  probeSeconds: ['probe_seconds', 'Seconds from sending a probe through Redis to its return.'],
  fanoutSeconds: [
    'fanout_seconds',
    'Seconds to encode a run of publications and send it to all its subscribers on this node; one run in 16 is measured.',
  ],
  publishSeconds: [
    'http_request_seconds',
    'Seconds from a request that publishes to its answer; for each route and status, one request in 16 is measured.',
  ],
} as const;

/** The versions of this node, as labels. */
export const buildInfo = [
  'build_info',
  'Always 1; the labels are the release, the protocol version and the layout of the data in Redis.',
] as const;

/** How long the event loop was busy since the start. */
export const busyMetric = [
  'event_loop_busy_seconds',
  'Seconds in which the event loop was busy; a rate of 1 means that the node is saturated.',
] as const;

/** Answers to HTTP requests: a counter with the labels `route` and `status`. */
export const httpMetric = [
  'http_requests',
  'Answered HTTP requests, by route (method and path, such as `POST /v1/publications`) and status. Event streams count when they begin.',
] as const;

/** How long the event loop stopped for garbage collections: a histogram with the label `kind`. */
export const gcMetric = [
  'gc_pause_seconds',
  'Seconds that the event loop paused for a garbage collection, by kind (label `kind`): minor (young objects), major, incremental (a step of a major collection) or weakcb.',
] as const;

/** Metrics of the supervisor for each of its workers: name, type and help. */
export const workerMetrics = {
  up: ['worker_up', 'gauge', 'Only with several workers: 1 while this worker responds to its supervisor, otherwise 0.'],
  restarts: [
    'worker_restarts_total',
    'counter',
    'Only with several workers: restarts of this worker after an unexpected exit.',
  ],
} as const;

const prefix = 'fanfare_';
// 20 µs to 2.5 s: from one run for one subscriber to a Redis that is about to time out.
const buckets = [0.00002, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5];

// Half a millisecond to a second: players notice 10 ms.
const pauseBuckets = [0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1];

/** Content type of Prometheus' text format. */
export const metricsType = Registry.PROMETHEUS_CONTENT_TYPE;

export class Metrics {
  readonly counters: Counters;
  readonly #registry = new Registry();
  #pauses: PerformanceObserver | null = null;

  /** `worker`: its number, as a label of each sample; null for a single node. */
  constructor(worker: number | null = null) {
    if (worker !== null) this.#registry.setDefaultLabels({ worker });
    const histogram = ([name, help]: readonly [string, string]): Histogram =>
      new Histogram({ name: prefix + name, help, buckets, registers: [this.#registry] });
    const [name, help] = buildInfo;
    new Gauge({ name: prefix + name, help, labelNames: Object.keys(versions), registers: [this.#registry] }).set(
      versions,
      1,
    );
    this.counters = new Counters(
      histogram(histogramMetrics.relaySeconds),
      histogram(histogramMetrics.fanoutSeconds),
      histogram(histogramMetrics.probeSeconds),
      histogram(histogramMetrics.publishSeconds),
    );
    for (const [field, [name, help]] of Object.entries(counterMetrics)) {
      const counters = this.counters;
      let seen = 0;
      new Counter({
        name: `${prefix}${name}_total`,
        help,
        registers: [this.#registry],
        collect() {
          const now = counters[field as CounterField];
          this.inc(now - seen);
          seen = now;
        },
      });
    }
  }

  /**
   * Adds the readings, and the metrics of the process (CPU, memory, event-loop lag, garbage collection). Call `close`
   * at the end.
   */
  read(readings: Readings): void {
    for (const [field, [name, help]] of Object.entries(gaugeMetrics)) {
      const reading = readings[field as keyof Readings];
      new Gauge({
        name: prefix + name,
        help,
        registers: [this.#registry],
        collect() {
          this.set(Number(reading()));
        },
      });
    }
    const [busyName, busyHelp] = busyMetric;
    new Counter({
      name: `${prefix}${busyName}_total`,
      help: busyHelp,
      registers: [this.#registry],
      collect() {
        this.reset();
        this.inc(performance.eventLoopUtilization().active / 1_000);
      },
    });
    const [httpName, httpHelp] = httpMetric;
    const { httpAnswers } = this.counters;
    new Counter({
      ...{ name: `${prefix}${httpName}_total`, help: httpHelp, labelNames: ['route', 'status'] },
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const [route, statuses] of httpAnswers)
          for (const [status, count] of statuses) this.inc({ route, status }, count);
      },
    });
    const [pauseName, pauseHelp] = gcMetric;
    const pauses = new Histogram({
      ...{ name: prefix + pauseName, help: pauseHelp, labelNames: ['kind'], buckets: pauseBuckets },
      registers: [this.#registry],
    });
    for (const kind of gcKinds) pauses.zero({ kind });
    this.#pauses = observeGcPauses((kind, seconds) => pauses.observe({ kind }, seconds));
    collectDefaultMetrics({ register: this.#registry });
  }

  /** Observes no more garbage collections. */
  close(): void {
    this.#pauses?.disconnect();
  }

  /**
   * Adds a sample for each reason why a node may not be ready. `current`: the reason that applies; null while the node
   * is ready.
   */
  readReasons(reasons: readonly string[], current: () => string | null): void {
    const [name, help] = notReadyMetric;
    new Gauge({
      name: prefix + name,
      help,
      labelNames: ['reason'],
      registers: [this.#registry],
      collect() {
        const applies = current();
        for (const reason of reasons) this.set({ reason }, Number(reason === applies));
      },
    });
  }

  /** Adds the samples for each Redis. `shards`: without Redis there are none. */
  readShards(shards: () => readonly ShardReading[]): void {
    for (const [name, help, read] of shardMetrics) {
      new Gauge({
        name: prefix + name,
        help,
        labelNames: ['shard'],
        registers: [this.#registry],
        collect() {
          // A master of a Redis Cluster may have become a replica.
          this.reset();
          for (const shard of shards()) this.set({ shard: shard.name }, read(shard));
        },
      });
    }
  }

  /** All metrics in Prometheus' text format. With a name, only that metric; an empty text if it does not exist. */
  async text(name?: string): Promise<string> {
    if (name === undefined) return this.#registry.metrics();
    return this.#registry.getSingleMetric(name) === undefined ? '' : this.#registry.getSingleMetricAsString(name);
  }
}
