/**
 * Every setting of a node, declared once: environment variable, meaning, unit, default, and what happens at the limit.
 * The type `Config`, the errors at the start, `fanfare --help` and docs/reference/settings.md come from this table.
 */
import { hostname } from 'node:os';
import { customAlphabet } from 'nanoid';
import type { AuthSetting } from '../auth/auth-config.js';
import { CertificateError, certificateFiles, readCertificate } from '../connection/certificate.js';
import { type Compression, compressions } from '../connection/compression.js';
import { nearest } from '../files/nearest.js';
import { isNetwork, Networks } from '../limits/addresses.js';
import { type Origins, readOrigins } from '../limits/origins.js';
import { readPlacement, urlsOf } from '../redis/placement.js';
import {
  explainUnfit,
  RedisCredentialsError,
  readRedisCredentials,
  readRedisUrlFile,
} from '../redis/redis-credentials.js';
import { RedisUrlError } from '../redis/redis-url.js';
import { defaultPartitions, maxPartitions, minPartitions } from '../relay/partitions.js';
import type { TopicPolicies } from '../topics/policy.js';
import { oneWordOf, readAuthSetting, readPolicies } from './config-documents.js';
import { availableCpus } from './cpus.js';

/** Receives one sentence for each mistake, which continues after the name of the setting. */
type Report = (mistake: string) => void;

/** Reads the text of a variable. Returns undefined if it is not what the setting requires. */
type Read<Value> = (text: string, report: Report) => Value | undefined;

function readNetworks(text: string, report: Report): Networks {
  const parts = text.split(',').map((part) => part.trim());
  const networks = parts.filter((part) => part !== '');
  for (const [index, network] of networks.entries()) {
    if (!isNetwork(network)) report(`at address ${index + 1}: must be an IP address, or a network such as 10.0.0.0/8.`);
  }
  return new Networks(networks.filter(isNetwork));
}

function readUrl(text: string, report: Report): string {
  // A file that a Secret was made of ends with a line break.
  const url = text.trim();
  try {
    readPlacement(url);
  } catch (error) {
    if (!(error instanceof RedisUrlError)) throw error;
    report(error.message);
  }
  return url;
}

/**
 * A collector's address without a path means its path for traces, as in OpenTelemetry's exporters
 * (OTEL_EXPORTER_OTLP_ENDPOINT).
 */
function readTracesUrl(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (url.pathname === '/') url.pathname = '/v1/traces';
  return /^https?:$/.test(url.protocol) ? url.href : undefined;
}

function matching(pattern: RegExp): Read<string> {
  return (text) => (pattern.test(text) ? text : undefined);
}

function numberIn(pattern: RegExp, least: number, most: number): Read<number> {
  return (text) => {
    const number = pattern.test(text) ? Number(text) : Number.NaN;
    return number >= least && number <= most ? number : undefined;
  };
}

function wordOf<const Word extends string>(words: readonly Word[]): Read<Word> {
  return (text) => words.find((word) => word === text);
}

/** Reads a variable that may be unset. */
function or<Value, Fallback>(fallback: Fallback, read: Read<Value>) {
  return (text: string | undefined, report: Report): Value | Fallback | undefined =>
    text === undefined ? fallback : read(text, report);
}

interface Setting<Value> {
  /** Environment variable. */
  readonly name: string;
  readonly unit: string;
  /** What the value must be, for the error: "must be …". */
  readonly mustBe: string;
  /** The default as a person would write it. */
  readonly fallback: string;
  readonly about: string;
  /** Returns undefined if the value is not `mustBe`. Other mistakes are reported. */
  readonly read: (text: string | undefined, report: Report) => Value | undefined;
}

function integer(
  name: string,
  unit: string,
  fallback: number,
  least: number,
  most: number,
  about: string,
): Setting<number> {
  const read = or(fallback, numberIn(/^-?\d+$/, least, most));
  return { name, unit, mustBe: `an integer from ${least} to ${most}`, fallback: String(fallback), about, read };
}

function oneOf<const Values extends readonly [string, ...string[]]>(
  name: string,
  values: Values,
  fallback: Values[number] | null,
  fallbackText: string,
  about: string,
): Setting<Values[number] | null> {
  const read = or(fallback, wordOf<Values[number]>(values));
  return { name, unit: 'word', mustBe: oneWordOf(values), fallback: fallbackText, about, read };
}

function path(name: string, mustBe: string, about: string): Setting<string | null> {
  return { name, unit: 'path', mustBe, fallback: 'unset', about, read: or(null, (text) => text) };
}

const maxWorkers = 256;
const maxNodeNameLength = 64;

const readHost = matching(/^[A-Za-z0-9.:_-]{1,255}$/);

export const settings = {
  host: {
    name: 'FANFARE_HOST',
    unit: 'address',
    mustBe: 'an IP address or host name of this machine',
    fallback: '127.0.0.1',
    about:
      'Address that clients connect to. Any address other than loopback requires authentication, or an explicit FANFARE_AUTH=none.',
    read: or('127.0.0.1', readHost),
  } satisfies Setting<string>,
  port: integer(
    'FANFARE_PORT',
    'port',
    8080,
    0,
    65_535,
    'Port that clients connect to, at the path `/ws`. 0 picks a free port and logs it.',
  ),
  adminHost: {
    name: 'FANFARE_ADMIN_HOST',
    unit: 'address',
    mustBe: 'an IP address or host name of this machine',
    fallback: '127.0.0.1',
    about:
      'Address of the console (`/`), `/healthz`, `/readyz` and `/metrics`. They have no authentication. Expose them to your own network only.',
    read: or('127.0.0.1', readHost),
  } satisfies Setting<string>,
  adminPort: integer(
    'FANFARE_ADMIN_PORT',
    'port',
    8081,
    0,
    65_535,
    'Port of the console, `/healthz`, `/readyz` and `/metrics`. 0 picks a free port.',
  ),
  workers: {
    name: 'FANFARE_WORKERS',
    unit: 'processes',
    mustBe: `"auto" or an integer from 1 to ${maxWorkers}`,
    fallback: '1',
    about:
      'Number of worker processes that share the port. Each worker is a separate node, named `<name>-1` and so on. A supervisor serves the admin port. `auto`: one per CPU available to this machine or container. More than one requires Redis and Linux.',
    read: or(1, (text, report) =>
      text === 'auto' ? Math.min(availableCpus(), maxWorkers) : numberIn(/^\d+$/, 1, maxWorkers)(text, report),
    ),
  } satisfies Setting<number>,
  auth: {
    name: 'FANFARE_AUTH',
    unit: 'JSON',
    mustBe: '"none", a JSON object, or `@` followed by the path of a JSON file',
    fallback: 'unset',
    about:
      'Who may connect: JWT issuers and API keys (fields: below; guide: docs/security.md). If unset, the node requires no authentication and binds to loopback only. `none` allows any address without authentication: anyone who reaches the port may publish and subscribe.',
    read: or(null, readAuthSetting),
  } satisfies Setting<AuthSetting | 'none' | null>,
  authTimeoutMs: integer(
    'FANFARE_AUTH_TIMEOUT_MS',
    'ms',
    5_000,
    100,
    600_000,
    'How long a client may take to authenticate, if FANFARE_AUTH requires it. After that, the node closes the connection with 4004 `authenticationTimeout`, up to a second later.',
  ),
  origins: {
    name: 'FANFARE_ORIGINS',
    unit: 'origins',
    mustBe: '"*", or origins such as https://app.example.com or capacitor://localhost, separated by commas',
    fallback: '`*` without authentication, otherwise none',
    about:
      'Web pages that may connect. If a request has an `Origin` header, it must match one of these exactly; otherwise the answer is 403. Non-browser clients send no `Origin` and are not restricted. Hybrid and desktop apps send origins such as `capacitor://localhost`: docs/security.md.',
    read: or(null, readOrigins),
  } satisfies Setting<Origins | null>,
  trustedProxies: {
    name: 'FANFARE_TRUSTED_PROXIES',
    unit: 'addresses',
    mustBe: 'addresses or networks such as 10.0.0.0/8, separated by commas',
    fallback: 'none',
    about:
      'Proxies whose `X-Forwarded-For` is trusted. The client address is the last entry that is not itself a trusted proxy. Ports, brackets and quotes are ignored. If the header has no usable address, the client counts under the address of the proxy.',
    read: (text = '', report) => readNetworks(text, report),
  } satisfies Setting<Networks>,
  maxConnections: integer(
    'FANFARE_MAX_CONNECTIONS',
    'connections',
    50_000,
    1,
    10_000_000,
    'Maximum number of connections of this node. Handshakes beyond it are answered 503. The node also never opens more sockets than `ulimit -n` minus 256; it closes sockets beyond that immediately.',
  ),
  maxConnectionsPerAddress: integer(
    'FANFARE_MAX_CONNECTIONS_PER_ADDRESS',
    'connections',
    100,
    0,
    10_000_000,
    'Maximum number of connections per client address (IPv6: per /64) on this node, if FANFARE_AUTH requires authentication. Handshakes beyond it are answered 429. 0 disables the limit. Clients on this machine are not counted. Clients that a trusted proxy does not name count under the address of the proxy.',
  ),
  maxConnectionsPerSubject: integer(
    'FANFARE_MAX_CONNECTIONS_PER_SUBJECT',
    'connections',
    20,
    1,
    10_000_000,
    'Maximum number of connections per subject (`iss` and `sub` of its JWT), across all nodes. A connection beyond it is closed with 4005 `tooManyConnections`. API keys are not counted. Connections of a crashed node stop counting after about 7 s.',
  ),
  handshakesPerSecond: integer(
    'FANFARE_HANDSHAKES_PER_SECOND',
    'handshakes/s',
    1_000,
    1,
    1_000_000,
    'Maximum rate of WebSocket handshakes on this node, and, separately, of event streams and HTTP requests whose token the node has not accepted before. One client address gets a tenth of it, if addresses are counted. Requests beyond it are answered 503 or 429 with `Retry-After: 1`, so that a connection storm does not slow down connected clients.',
  ),
  maxUnauthenticatedPercent: integer(
    'FANFARE_MAX_UNAUTHENTICATED_PERCENT',
    '%',
    10,
    1,
    100,
    'Share of FANFARE_MAX_CONNECTIONS that may be open but not yet authenticated. Handshakes beyond it are answered 503.',
  ),
  publishRate: integer(
    'FANFARE_PUBLISH_RATE',
    'publications/s',
    50,
    1,
    10_000_000,
    'Maximum publish rate per subject, over all its connections on all nodes. The burst is two seconds of this rate. Publishes beyond it are answered `rateLimited` and not delivered. After 1,000 such answers (more at rates above the defaults), the node closes the connection with 4006 `rateLimited`. Each second, it subtracts a fifth of both rates from this count. Does not apply to API keys.',
  ),
  publishBytesRate: integer(
    'FANFARE_PUBLISH_BYTES_RATE',
    'bytes/s',
    262_144,
    1_024,
    1_073_741_824,
    'Maximum bytes of publications per subject. Works like FANFARE_PUBLISH_RATE.',
  ),
  newTopicsPerHour: integer(
    'FANFARE_NEW_TOPICS_PER_HOUR',
    'topics/h',
    3_600,
    1,
    1_000_000_000,
    'Maximum number of new topics with history per subject and hour, over all its connections on all nodes. The first publication to a topic creates it. The burst is one hour of this rate. Beyond it, a publication is answered `rateLimited`, unless the node has published to that topic recently. A topic whose history has expired counts as new. Does not apply to API keys.',
  ),
  historyBytesPerHour: integer(
    'FANFARE_HISTORY_BYTES_PER_HOUR',
    'bytes/h',
    67_108_864,
    1_024,
    1_099_511_627_776,
    'Maximum bytes that one subject may publish per hour to topics with history, over all its connections on all nodes. The burst is one hour of this rate. Publishes beyond it are answered `rateLimited`. docs/security.md explains how much one user can store. Does not apply to API keys or to topics of level `fast`.',
  ),
  commandRate: integer(
    'FANFARE_COMMAND_RATE',
    'commands/s',
    50,
    1,
    10_000_000,
    'Maximum rate of other commands per subject (subscribe, ping, history). Works like FANFARE_PUBLISH_RATE. The burst is larger by FANFARE_MAX_SUBSCRIPTIONS, because a reconnecting client resubscribes to all its topics. A history or a subscription counts as one more command for each full 64 KiB of its reply.',
  ),
  tlsCertFile: path(
    'FANFARE_TLS_CERT_FILE',
    'the path of a PEM file: the certificate of the node, then the intermediate certificates',
    'Certificate for `wss://`. If it and FANFARE_TLS_KEY_FILE are set, the node accepts TLS 1.2 and 1.3 only. The node loads changed files within seconds, uses them for new connections, and closes no connection: docs/tls.md.',
  ),
  tlsKeyFile: path(
    'FANFARE_TLS_KEY_FILE',
    'the path of a PEM file: the private key of the certificate, without a passphrase',
    'Private key of the certificate in FANFARE_TLS_CERT_FILE.',
  ),
  compression: {
    name: 'FANFARE_COMPRESSION',
    unit: 'word',
    mustBe: oneWordOf(compressions),
    fallback: 'off',
    about:
      '`shared`: the node compresses frames of 512 bytes or more for clients that offer permessage-deflate. Each frame is compressed separately, and once per receiver; costs: docs/tls.md. If a received frame decompresses to more than twice FANFARE_MAX_FRAME_BYTES, the node drops the connection.',
    read: or('off', wordOf(compressions)),
  } satisfies Setting<Compression>,
  redisUrl: {
    name: 'FANFARE_REDIS_URL',
    unit: 'URL',
    mustBe:
      'a URL such as redis://user:password@host:6379, redis+sentinel://user:password@host1:26379,host2:26379/mymaster, redis+shards://user:password@host1:6379;host2:6379, redis+cluster://user:password@host1:6379,host2:6379 (rediss for TLS), or unix:///run/redis/redis.sock',
    fallback: 'unset',
    about:
      'Nodes with the same Redis and prefix form one broker. If unset, the node is a separate broker, in memory. With Sentinels, the path is the name of the master; add `?sentinelUsername=` and `?sentinelPassword=` if the Sentinels require them. A number as the path (with Sentinels and Unix sockets: `?db=`) selects a database, with separate data and messages. In users and passwords, percent-encode every character except letters, digits and `- . _ ~`. `redis+shards://` divides the topics among several Redis, `redis+shards+sentinel://` among several masters with Sentinels (`host1:26379,host2:26379/master-a;host1:26379,host2:26379/master-b`), and `redis+cluster://` uses a Redis Cluster: docs/operations.md, Several Redis servers.',
    read: or(null, readUrl),
  } satisfies Setting<string | null>,
  redisUrlFile: path(
    'FANFARE_REDIS_URL_FILE',
    'the path of a file that contains only the URL; a trailing line break is ignored',
    'File with the URL, instead of FANFARE_REDIS_URL. The node rereads it like FANFARE_REDIS_PASSWORD_FILE and uses a changed user or password without a restart. To change the servers, the database or the master, restart all nodes.',
  ),
  redisPasswordFile: path(
    'FANFARE_REDIS_PASSWORD_FILE',
    'the path of a file that contains only the password; a trailing line break is ignored',
    'File with the Redis password in plain form, instead of one in FANFARE_REDIS_URL. It applies to all servers in the URL. The node rereads it before each connection and tests a changed password at once: docs/operations.md, Redis.',
  ),
  redisSentinelPasswordFile: path(
    'FANFARE_REDIS_SENTINEL_PASSWORD_FILE',
    'the path of a file that contains only the password; a trailing line break is ignored',
    'File with the password of the Sentinels. Works like FANFARE_REDIS_PASSWORD_FILE.',
  ),
  redisCaFile: path(
    'FANFARE_REDIS_CA_FILE',
    'the path of a PEM file: one or more CA certificates',
    'CAs trusted to sign the certificates of Redis and of the Sentinels (`rediss://`). They replace the CAs of Node.js. If unset, the node trusts the CAs of Node.js and of `NODE_EXTRA_CA_CERTS`. Reread like FANFARE_REDIS_PASSWORD_FILE.',
  ),
  redisCertFile: path(
    'FANFARE_REDIS_CERT_FILE',
    'the path of a PEM file: the client certificate, then the intermediate certificates',
    'Client certificate that the node presents to Redis and to the Sentinels, if they request one (`tls-auth-clients`). Reread like FANFARE_REDIS_PASSWORD_FILE.',
  ),
  redisKeyFile: path(
    'FANFARE_REDIS_KEY_FILE',
    'the path of a PEM file: the private key of the client certificate, without a passphrase',
    'Private key of the certificate in FANFARE_REDIS_CERT_FILE.',
  ),
  redisPrefix: {
    name: 'FANFARE_REDIS_PREFIX',
    unit: 'text',
    mustBe: '1 to 64 characters of A-Z a-z 0-9 _ - :',
    fallback: 'fanfare',
    about:
      'Prefix of every key and channel in Redis, so that several brokers can share one Redis. Nodes with a different prefix form a different broker. To change it, follow docs/operations.md, Upgrades. A prefix must not start with another prefix and `:` (`fanfare` and `fanfare:eu`): the Redis user of one broker could access the other.',
    read: or('fanfare', matching(/^[A-Za-z0-9_:-]{1,64}$/)),
  } satisfies Setting<string>,
  redisPartitions: integer(
    'FANFARE_REDIS_PARTITIONS',
    'partitions',
    defaultPartitions,
    minPartitions,
    maxPartitions,
    'Number of partitions of the topics: the units in which topics are divided between several Redis. It is fixed for the lifetime of FANFARE_REDIS_PREFIX: nodes with a different number serve no topic with history. Choose at least ten times the number of Redis masters that you may ever need.',
  ),
  redisTimeoutMs: integer(
    'FANFARE_REDIS_TIMEOUT_MS',
    'ms',
    1_000,
    50,
    60_000,
    'How long Redis may take to answer. After that, the node reconnects. Pending publishes are answered `unconfirmed`, pending subscriptions `unavailable`.',
  ),
  maxRevocationLagSeconds: integer(
    'FANFARE_MAX_REVOCATION_LAG_SECONDS',
    's',
    15,
    2,
    86_400,
    'Maximum age of the revocation list that the node reads from Redis. Beyond it, the node accepts no token (`unavailable`, close 4004) and is not ready until it reads the list again. Open connections stay. The default is longer than a Redis failover.',
  ),
  unsubscribeLingerMs: integer(
    'FANFARE_UNSUBSCRIBE_LINGER_MS',
    'ms',
    5_000,
    0,
    3_600_000,
    'How long a node stays subscribed to a topic in Redis after the last subscriber has left. Subscribers often return soon.',
  ),
  maxRelayBytes: integer(
    'FANFARE_MAX_RELAY_BYTES',
    'bytes',
    16_777_216,
    65_536,
    1_073_741_824,
    'Maximum bytes of publications queued for Redis. Publishes beyond it are answered `overloaded` and not delivered. With several Redis servers, half of it is reserved: each gets a part for its partitions, which a server that does not answer cannot use up for the others.',
  ),
  flushWindowMs: integer(
    'FANFARE_FLUSH_WINDOW_MS',
    'ms',
    2,
    0,
    100,
    'Maximum time that a busy node collects publications into one batch. The time grows by 1 ms every 100 ms while the event loop is more than 60 % busy. Below 20 % it shrinks at once. In between, the node tries a shorter time now and then, and keeps it if the event loop stays below 60 %. An idle node sends at once. With several Redis servers, a batch has a part for each server, or in a Redis Cluster for each partition. After it, the node also collects for 1 ms for each part but the first. 0: always send at once.',
  ),
  topics: {
    name: 'FANFARE_TOPICS',
    unit: 'JSON',
    mustBe: 'a JSON object that maps patterns to policies, or `@` followed by the path of a JSON file',
    fallback: 'unset',
    about:
      'Topic policies by pattern: delivery level and history (fields: below). If unset, every topic has the default policy.',
    read: (text = '{}', report) => readPolicies(text, report),
  } satisfies Setting<TopicPolicies>,
  recentBytes: integer(
    'FANFARE_RECENT_BYTES',
    'bytes',
    67_108_864,
    0,
    17_179_869_184,
    'Maximum bytes of recent publications that the node caches. It serves reconnecting subscribers from this cache and restores data that Redis has lost. Beyond it, the topics that were idle longest are evicted first.',
  ),
  idempotencyWindowSeconds: integer(
    'FANFARE_IDEMPOTENCY_WINDOW_SECONDS',
    's',
    120,
    120,
    86_400,
    'Minimum time that the broker remembers the `messageId` of a publication, so that a retry is not published twice. Clients retry for up to 100 s. Does not apply to level `fast`.',
  ),
  probeIntervalMs: integer(
    'FANFARE_PROBE_INTERVAL_MS',
    'ms',
    1_000,
    100,
    60_000,
    'How often a node publishes a probe to itself through Redis. After two lost probes in a row, the node reconnects both Redis connections.',
  ),
  newNodeWaitMs: integer(
    'FANFARE_NEW_NODE_WAIT_MS',
    'ms',
    5_000,
    0,
    60_000,
    'If Redis and this node have both just started, the node waits for older nodes that can restore the lost data. It waits until this time after the start of Redis, and then serves. Data can only be restored before anything new is published. 0 disables the wait.',
  ),
  durableReplicas: integer(
    'FANFARE_DURABLE_REPLICAS',
    'replicas',
    1,
    1,
    100,
    'Number of Redis replicas that must confirm a publication to a topic of level `durable` before it is acknowledged.',
  ),
  durableTimeoutMs: integer(
    'FANFARE_DURABLE_TIMEOUT_MS',
    'ms',
    500,
    1,
    60_000,
    'How long the replicas may take to confirm. After that, a publish to a topic of level `durable` is answered `unconfirmed`.',
  ),
  maxFrameBytes: integer(
    'FANFARE_MAX_FRAME_BYTES',
    'bytes',
    65_536,
    1_024,
    16_777_216,
    'Maximum size of a frame from a client. A larger frame closes the connection with 4501 `frameTooLarge`.',
  ),
  maxSubscriptions: integer(
    'FANFARE_MAX_SUBSCRIPTIONS',
    'subscriptions',
    512,
    1,
    1_000_000,
    'Maximum number of subscriptions per connection. A subscribe beyond it is answered `tooManySubscriptions`.',
  ),
  maxBufferedBytes: integer(
    'FANFARE_MAX_BUFFERED_BYTES',
    'bytes',
    1_048_576,
    16_384,
    1_073_741_824,
    'Maximum unread bytes per connection, in addition to the kernel buffers. Beyond it, the node closes the connection with 4002 `slowSubscriber`.',
  ),
  maxTotalBufferedBytes: integer(
    'FANFARE_MAX_TOTAL_BUFFERED_BYTES',
    'bytes',
    536_870_912,
    1_048_576,
    1_099_511_627_776,
    'Maximum unread bytes of all connections of this node together. Beyond it, the node closes the connections with the most unread bytes with 4007 `overloaded`, until half of the limit is reached.',
  ),
  idleTimeoutSeconds: integer(
    'FANFARE_IDLE_TIMEOUT_SECONDS',
    's',
    60,
    8,
    960,
    'The node drops a connection that sends nothing for this long, not even a WebSocket pong. Rounded to the nearest 4 s.',
  ),
  pingIntervalMs: integer(
    'FANFARE_PING_INTERVAL_MS',
    'ms',
    25_000,
    1_000,
    900_000,
    'How often the node sends a WebSocket ping to each connection, so that load balancers do not consider it idle. The node pings at least twice per FANFARE_IDLE_TIMEOUT_SECONDS. `connected` contains this value: if the node is silent for this long, clients send the command `ping`.',
  ),
  sseHeartbeatMs: integer(
    'FANFARE_SSE_HEARTBEAT_MS',
    'ms',
    15_000,
    1_000,
    900_000,
    'Longest time between two comments in an event stream, so that proxies do not consider it idle. Keep it below the idle timeout of each proxy. If 60 % of FANFARE_PING_INTERVAL_MS is shorter, that applies: otherwise, idle clients would ping.',
  ),
  cookieName: {
    name: 'FANFARE_COOKIE_NAME',
    unit: 'text',
    mustBe: 'the name of a cookie: 1 to 64 characters of A-Z a-z 0-9 _ . -',
    fallback: 'cookies are ignored',
    about:
      'Name of the cookie that contains the token of an event stream, for pages of this host and of the origins that FANFARE_ORIGINS lists by name. Give it the attributes HttpOnly, Secure and SameSite. Other requests never use it.',
    read: or(null, matching(/^[A-Za-z0-9_.-]{1,64}$/)),
  } satisfies Setting<string | null>,
  drainWindowMs: integer(
    'FANFARE_DRAIN_WINDOW_MS',
    'ms',
    20_000,
    0,
    3_600_000,
    'On SIGTERM or SIGHUP, the node asks its clients to move to other nodes, spread over this window, and serves them until they have moved. 0, a node without Redis, or SIGINT: the node closes all connections at once.',
  ),
  drainWaves: integer(
    'FANFARE_DRAIN_WAVES',
    'waves',
    10,
    1,
    1_000,
    'Number of waves in which the node closes the connections that remain at the end of the window.',
  ),
  drainWaveIntervalMs: integer(
    'FANFARE_DRAIN_WAVE_INTERVAL_MS',
    'ms',
    500,
    0,
    60_000,
    'Time from one wave to the next.',
  ),
  drainTimeoutMs: integer(
    'FANFARE_DRAIN_TIMEOUT_MS',
    'ms',
    5_000,
    0,
    600_000,
    'How long a stopping node waits after the last wave for its connections to close. After that, it drops them.',
  ),
  rebalanceRate: integer(
    'FANFARE_REBALANCE_RATE',
    'connections/s',
    0,
    0,
    100_000,
    'Maximum number of clients per second that an overloaded node asks to move to other nodes, so that new nodes fill up. A node is overloaded if it has more than 10 % above the average of all nodes with room. Subscribers of topics of level `fast` get a gap when they move. If the load balancer returns clients to the same node (session affinity), the node stops after asking five times as many clients as its excess. 0 disables rebalancing.',
  ),
  rebalanceAfterMs: integer(
    'FANFARE_REBALANCE_AFTER_MS',
    'ms',
    30_000,
    0,
    3_600_000,
    'How long the number of nodes must be stable before the node rebalances. Otherwise, clients would move repeatedly during a deploy.',
  ),
  nodeName: {
    name: 'FANFARE_NODE_NAME',
    unit: 'text',
    mustBe: '1 to 64 characters of A-Z a-z 0-9 _ - .',
    fallback: 'the host name and four random characters',
    about: 'Name of the node in its log, in Redis (`CLIENT LIST`) and in `connected`.',
    read: (text = randomNodeName(), report) => matching(/^[A-Za-z0-9_.-]{1,64}$/)(text, report),
  } satisfies Setting<string>,
  tracingUrl: {
    name: 'FANFARE_TRACING_URL',
    unit: 'URL',
    mustBe: 'a URL such as http://collector:4318 or http://collector:4318/v1/traces',
    fallback: 'unset',
    about:
      'OpenTelemetry collector that receives spans of publications (OTLP over HTTP in JSON): docs/observability.md. If the URL has no path or only `/`, the node adds `/v1/traces`. If unset, tracing is off. `OTEL_EXPORTER_OTLP_HEADERS` adds headers.',
    read: or(null, readTracesUrl),
  } satisfies Setting<string | null>,
  tracingRatio: {
    name: 'FANFARE_TRACING_RATIO',
    unit: 'share',
    mustBe: 'a number from 0 to 1, such as 0.001',
    fallback: '0.001',
    about:
      'Share of publications to trace, if FANFARE_TRACING_URL is set. All nodes of a broker need the same value: each node samples independently, and all select the same publications.',
    read: or(0.001, numberIn(/^(\d+(\.\d*)?|\.\d+)$/, 0, 1)),
  } satisfies Setting<number>,
  logLevel: {
    name: 'FANFARE_LOG_LEVEL',
    unit: 'word',
    mustBe: '"debug", "info", "warn", "error" or "silent"',
    fallback: 'info',
    about: 'Minimum level of the lines that the node logs.',
    read: or('info', wordOf(['debug', 'info', 'warn', 'error', 'silent'])),
  } satisfies Setting<string>,
  logFormat: oneOf(
    'FANFARE_LOG_FORMAT',
    ['json', 'pretty'],
    null,
    '`pretty` on a terminal, otherwise `json`',
    'JSON lines for machines, or readable text for people.',
  ),
} as const;

export type Config = {
  readonly [Key in keyof typeof settings]: Exclude<ReturnType<(typeof settings)[Key]['read']>, undefined>;
};

/**
 * The configuration is invalid: one sentence for each mistake. It names the setting and the place, but repeats neither
 * a value nor an unknown name. A secret in the wrong place must not get into the log.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  constructor(readonly sentences: readonly string[]) {
    super(sentences.join('\n'));
  }
}

/**
 * The sentences for an error at the start, such as an invalid configuration or a used port. They help more than a stack
 * trace.
 */
export function sentencesOf(error: unknown): readonly string[] {
  return error instanceof ConfigError ? error.sentences : [(error as Error).message];
}

/**
 * Reads the settings from environment variables. An empty variable counts as unset. Throws {@link ConfigError} with all
 * mistakes.
 */
export function loadConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const sentences: string[] = [];
  const config: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(settings)) {
    const text = environment[setting.name] || undefined;
    const mistakes: string[] = [];
    const value = isPlaceholder(text) ? undefined : setting.read(text, (mistake) => mistakes.push(mistake));
    if (isPlaceholder(text)) sentences.push(`${setting.name} contains a placeholder. It must be ${setting.mustBe}.`);
    else if (value !== undefined && mistakes.length === 0) config[key] = value;
    else sentences.push(...wrongValue(setting, text ?? '', mistakes));
  }
  sentences.push(...unknownSettings(environment), ...readUrlFileInto(config));
  const { host: bindHost, auth } = config as Config;
  if (sentences.length === 0 && auth === null && !isLoopback(bindHost)) {
    sentences.push(
      'FANFARE_HOST exposes the node without authentication. Configure FANFARE_AUTH, set FANFARE_AUTH=none to allow everyone, or set FANFARE_HOST=127.0.0.1.',
    );
  }
  const { port, adminPort } = config as Config;
  if (sentences.length === 0 && port === adminPort && port !== 0) {
    sentences.push(`FANFARE_PORT and FANFARE_ADMIN_PORT are both ${port}. Use different ports.`);
  }
  if (sentences.length === 0) {
    const read = config as Config;
    sentences.push(...wrongWorkers(read), ...wrongCertificate(read), ...wrongRedisCredentials(read));
  }
  if (sentences.length > 0) throw new ConfigError(sentences);
  return config as Config;
}

/**
 * Whether it is a placeholder of the manifests for a value that only the operator knows: `<addresses of the gateway>`.
 */
function isPlaceholder(text: string | undefined): boolean {
  return text !== undefined && /^<[^<>]+>$/.test(text);
}

function* wrongWorkers({ workers, redisUrl, nodeName }: Config): Iterable<string> {
  if (workers === 1) return;
  const asked = `FANFARE_WORKERS is ${workers}`;
  if (redisUrl === null) yield `${asked}, and several workers require Redis. Set FANFARE_REDIS_URL.`;
  // On other systems one process gets all connections, or ports cannot be shared.
  if (process.platform !== 'linux')
    yield `${asked}, but only Linux distributes connections among processes that share a port. Set FANFARE_WORKERS=1.`;
  const longest = maxNodeNameLength - `-${workers}`.length;
  if (nodeName.length > longest)
    yield `${asked}, so FANFARE_NODE_NAME may have at most ${longest} characters, not ${nodeName.length}.`;
}

function wrongCertificate({ tlsCertFile, tlsKeyFile }: Config): readonly string[] {
  try {
    const files = certificateFiles(tlsCertFile, tlsKeyFile);
    if (files !== null) readCertificate(files);
    return [];
  } catch (error) {
    if (error instanceof CertificateError) return error.sentences;
    throw error;
  }
}

/** Uses the URL of FANFARE_REDIS_URL_FILE as FANFARE_REDIS_URL: other code need not know its source. */
function readUrlFileInto(config: { redisUrl?: unknown; redisUrlFile?: unknown }): readonly string[] {
  const { redisUrl, redisUrlFile } = config;
  if (typeof redisUrlFile !== 'string') return [];
  if (typeof redisUrl === 'string') return ['FANFARE_REDIS_URL and FANFARE_REDIS_URL_FILE are both set. Remove one.'];
  try {
    config.redisUrl = readRedisUrlFile(redisUrlFile);
    return [];
  } catch (error) {
    if (error instanceof RedisCredentialsError) return error.sentences;
    throw error;
  }
}

function wrongRedisCredentials({ redisUrl, ...files }: Config): readonly string[] {
  const unfit = explainUnfit(redisUrl, files);
  if (unfit.length > 0 || redisUrl === null) return unfit;
  try {
    // The files apply to all servers.
    const placement = readPlacement(redisUrl);
    readRedisCredentials({
      ...files,
      redisUrl: urlsOf(placement)[0] as string,
      isCluster: placement.kind === 'cluster',
    });
    return [];
  } catch (error) {
    if (error instanceof RedisCredentialsError) return error.sentences;
    throw error;
  }
}

function wrongValue(setting: Setting<unknown>, text: string, mistakes: readonly string[]): string[] {
  if (/^tcp:\/\/[\d.]+:\d+$/.test(text)) {
    return [
      `${setting.name} has a value like tcp://10.0.0.1:8080, which Kubernetes sets for a Service of that name. Set enableServiceLinks: false in the pod, or rename the Service.`,
    ];
  }
  if (mistakes.length > 0) return mistakes.map((mistake) => `${setting.name} ${mistake}`);
  return [`${setting.name} must be ${setting.mustBe}.`];
}

function* unknownSettings(environment: Readonly<Record<string, string | undefined>>): Iterable<string> {
  const known = new Set<string>(Object.values(settings).map(({ name }) => name));
  const words = new Set([...known].flatMap((name) => name.split('_')));
  const prefix = 'FANFARE_';
  const endings = [...known].map((name) => name.slice(prefix.length));
  for (const name of Object.keys(environment)) {
    if (!name.startsWith(prefix) || known.has(name) || isServiceLink(name)) continue;
    // Of a text that does not look like the name of a setting, only words of settings are repeated: it may be a secret.
    const looksLikeName = /^[A-Z0-9_]{1,40}$/.test(name);
    const shown = looksLikeName
      ? name
      : name
          .split('_')
          .map((word) => (words.has(word) ? word : '…'))
          .join('_');
    const meant = nearest(name.slice(prefix.length), endings);
    const hint = meant === null ? 'docs/reference/settings.md lists all settings.' : `did you mean ${prefix}${meant}?`;
    yield `${shown.slice(0, 80)} is not a setting; ${hint}`;
  }
}

/** Whether Kubernetes added the variable for a Service named "fanfare…": it is not meant for the node. */
function isServiceLink(name: string): boolean {
  return /_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP)(_|$)/.test(name);
}

export function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || /^127(\.\d{1,3}){3}$/.test(address);
}

const randomSuffix = customAlphabet('0123456789abcdefghijklmnopqrstuvwxyz', 4);

function randomNodeName(): string {
  const name =
    hostname()
      .replace(/[^A-Za-z0-9_.-]/g, '-')
      .slice(0, maxNodeNameLength - '-0000-256'.length) || 'node';
  return `${name}-${randomSuffix()}`;
}
