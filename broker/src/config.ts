/**
 * Every setting of a node, declared once: environment variable, meaning, unit, default, what happens at the limit. The type
 * `Config`, the errors at start, `fanfare --help` and docs/configuration.md come from this table.
 */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { z } from 'zod';
import type { AuthSetting } from './auth/auth-config.js';
import { oneWordOf, readAuthSetting, readPolicies } from './config-documents.js';
import { CertificateError, certificateFiles, readCertificate } from './connection/certificate.js';
import { type Compression, compressions } from './connection/compression.js';
import { availableCpus } from './cpus.js';
import { isNetwork, Networks } from './limits/addresses.js';
import { type Origins, readOrigins } from './limits/origins.js';
import { nearest } from './nearest.js';
import { explainUnfit, RedisCredentialsError, readRedisCredentials, readRedisUrlFile } from './redis-credentials.js';
import { RedisUrlError, readRedisUrl } from './redis-url.js';
import type { TopicPolicies } from './topics/policy.js';

/** `tell` receives one sentence for each mistake, which goes on from the name of the setting. */
function readNetworks(text: string, tell: (wrong: string) => void): Networks {
  const parts = text.split(',').map((part) => part.trim());
  const networks = parts.filter((part) => part !== '');
  for (const [index, network] of networks.entries()) {
    if (!isNetwork(network)) tell(`at address ${index + 1}: it is no address and no network such as 10.0.0.0/8.`);
  }
  return new Networks(networks.filter(isNetwork));
}

function wrongRedisUrl(text: string): string | null {
  try {
    readRedisUrl(text);
    return null;
  } catch (error) {
    if (error instanceof RedisUrlError) return error.message;
    throw error;
  }
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
  /** An issue of code `custom` is told in its own words, which go on from the name; for any other `mustBe` says enough. */
  readonly schema: z.ZodType<Value>;
}

function integer(
  name: string,
  unit: string,
  fallback: number,
  least: number,
  most: number,
  about: string,
): Setting<number> {
  const schema = z
    .string()
    .regex(/^-?\d+$/)
    .transform(Number)
    .pipe(z.number().int().min(least).max(most))
    .default(fallback);
  return { name, unit, mustBe: `an integer from ${least} to ${most}`, fallback: String(fallback), about, schema };
}

function oneOf<const Values extends readonly [string, ...string[]]>(
  name: string,
  values: Values,
  fallback: Values[number] | null,
  fallbackText: string,
  about: string,
): Setting<Values[number] | null> {
  const schema = z.enum(values).nullable().default(fallback) as z.ZodType<Values[number] | null>;
  return {
    name,
    unit: 'word',
    mustBe: oneWordOf(values),
    fallback: fallbackText,
    about,
    schema,
  };
}

function path(name: string, mustBe: string, about: string): Setting<string | null> {
  return { name, unit: 'path', mustBe, fallback: 'unset', about, schema: z.string().nullable().default(null) };
}

const maxWorkers = 256;
const maxNodeNameLength = 64;

const host = z.string().regex(/^[A-Za-z0-9.:_-]{1,255}$/);
const httpUrl = z.url({ protocol: /^https?$/ });

/** A collector's address alone stands for its path for traces, as OpenTelemetry's exporters have it (OTEL_EXPORTER_OTLP_ENDPOINT). */
function tracesUrl(text: string): string {
  const url = new URL(text);
  if (url.pathname === '/') url.pathname = '/v1/traces';
  return url.href;
}

export const settings = {
  host: {
    name: 'FANFARE_HOST',
    unit: 'address',
    mustBe: 'an IP address or host name of this machine',
    fallback: '127.0.0.1',
    about:
      'Address on which clients connect. Anything wider than loopback needs authentication, or an explicit FANFARE_AUTH=none.',
    schema: host.default('127.0.0.1'),
  } satisfies Setting<string>,
  port: integer(
    'FANFARE_PORT',
    'port',
    8080,
    0,
    65_535,
    'Port on which clients connect, at the path `/ws`. 0 takes a free one; the log says which.',
  ),
  adminHost: {
    name: 'FANFARE_ADMIN_HOST',
    unit: 'address',
    mustBe: 'an IP address or host name of this machine',
    fallback: '127.0.0.1',
    about:
      'Address of the console (`/`), `/healthz`, `/readyz` and `/metrics`. They have no authentication: open them to your own network only.',
    schema: host.default('127.0.0.1'),
  } satisfies Setting<string>,
  adminPort: integer(
    'FANFARE_ADMIN_PORT',
    'port',
    8081,
    0,
    65_535,
    'Port of the console, `/healthz`, `/readyz` and `/metrics`. 0 takes a free one.',
  ),
  workers: {
    name: 'FANFARE_WORKERS',
    unit: 'processes',
    mustBe: `"auto" or an integer from 1 to ${maxWorkers}`,
    fallback: '1',
    about:
      'Processes that share the port, each a node of its own, named `<name>-1` and so on, under a supervisor that has the admin port. `auto`: one for each CPU that this machine or container may use. More than one needs Redis, and Linux.',
    schema: z
      .union([
        z.literal('auto').transform(() => Math.min(availableCpus(), maxWorkers)),
        z.string().regex(/^\d+$/).transform(Number).pipe(z.number().int().min(1).max(maxWorkers)),
      ])
      .default(1),
  } satisfies Setting<number>,
  auth: {
    name: 'FANFARE_AUTH',
    unit: 'JSON',
    mustBe: '"none", a JSON object, or `@` and the path of a file that holds it',
    fallback: 'unset',
    about:
      'Who may connect: issuers of JWTs and API keys (fields: below; docs/security.md leads through it). Unset, nobody is asked, and the node binds to loopback only. `none` permits any address without authentication: whoever reaches the port may publish and subscribe.',
    schema: z
      .string()
      .nullable()
      .default(null)
      .transform((text, context) => readAuthSetting(text, (message) => context.addIssue({ code: 'custom', message }))),
  } satisfies Setting<AuthSetting | 'none' | null>,
  authTimeoutMs: integer(
    'FANFARE_AUTH_TIMEOUT_MS',
    'ms',
    5_000,
    100,
    600_000,
    'How long a client may take to be authenticated, where FANFARE_AUTH asks for it. Beyond it the connection is closed with 4004 `authenticationTimeout`, up to a second later.',
  ),
  origins: {
    name: 'FANFARE_ORIGINS',
    unit: 'origins',
    mustBe: '"*", or origins such as https://app.example.com or capacitor://localhost, separated by commas',
    fallback: '`*` without authentication, else none',
    about:
      'Pages that may connect: the `Origin` of a browser must be exactly one of these; others are answered 403. Clients that are no browsers send none, and are not held to it. Hybrid and desktop apps send origins such as `capacitor://localhost`: docs/security.md.',
    schema: z
      .string()
      .transform((text, context) => readOrigins(text, (message) => context.addIssue({ code: 'custom', message })))
      .nullable()
      .default(null),
  } satisfies Setting<Origins | null>,
  trustedProxies: {
    name: 'FANFARE_TRUSTED_PROXIES',
    unit: 'addresses',
    mustBe: 'addresses or networks such as 10.0.0.0/8, separated by commas',
    fallback: 'none',
    about:
      'Proxies whose `X-Forwarded-For` is believed: the address of a client is the last one in it that is not itself one of these. Ports, brackets and quotes are ignored. If a proxy names no address, its own is counted.',
    schema: z
      .string()
      .default('')
      .transform((text, context) => readNetworks(text, (message) => context.addIssue({ code: 'custom', message }))),
  } satisfies Setting<Networks>,
  maxConnections: integer(
    'FANFARE_MAX_CONNECTIONS',
    'connections',
    50_000,
    1,
    10_000_000,
    'Connections of this node. One more is answered 503. Nor are there ever more sockets than the system lets the process have (`ulimit -n`), less 256: what comes beyond is closed before it says anything.',
  ),
  maxConnectionsPerAddress: integer(
    'FANFARE_MAX_CONNECTIONS_PER_ADDRESS',
    'connections',
    100,
    0,
    10_000_000,
    'Connections of one client address (of IPv6, of one /64) at this node, where FANFARE_AUTH asks for authentication. One more is answered 429. 0: any number. Clients on this machine are not counted. A trusted proxy is counted for the clients that it does not name.',
  ),
  maxConnectionsPerSubject: integer(
    'FANFARE_MAX_CONNECTIONS_PER_SUBJECT',
    'connections',
    20,
    1,
    10_000_000,
    'Connections of one subject (`iss` and `sub` of its JWT), on all nodes together. One more is closed with 4005 `tooManyConnections`. API keys are not counted. Those of a node that crashed stop counting about 7 s later.',
  ),
  handshakesPerSecond: integer(
    'FANFARE_HANDSHAKES_PER_SECOND',
    'handshakes/s',
    1_000,
    1,
    1_000_000,
    'Opening handshakes that this node answers in a second, and as many POST requests without a valid API key; of one client address (where those are counted) a tenth. More are answered 503 with `Retry-After: 1`: a storm of clients does not take the time of those who are in.',
  ),
  maxUnauthenticatedPercent: integer(
    'FANFARE_MAX_UNAUTHENTICATED_PERCENT',
    '%',
    10,
    1,
    100,
    'Share of FANFARE_MAX_CONNECTIONS that may be open without having authenticated yet. More are answered 503.',
  ),
  publishRate: integer(
    'FANFARE_PUBLISH_RATE',
    'publications/s',
    50,
    1,
    10_000_000,
    'Publications of one subject, over all its connections at all nodes; those of two seconds may come at once. More are answered `rateLimited` and delivered to nobody. After 1,000 such answers (more at rates above the defaults), of which a fifth of both rates is forgiven each second, the connection is closed with 4006 `rateLimited`. Not for API keys.',
  ),
  publishBytesRate: integer(
    'FANFARE_PUBLISH_BYTES_RATE',
    'bytes/s',
    262_144,
    1_024,
    1_073_741_824,
    'Bytes of publications of one subject, as FANFARE_PUBLISH_RATE.',
  ),
  newTopicsPerHour: integer(
    'FANFARE_NEW_TOPICS_PER_HOUR',
    'topics/h',
    3_600,
    1,
    1_000_000_000,
    'Topics with history that one subject may begin in an hour, over all its connections at all nodes, by being the first to publish to them; those of an hour may come at once. Beyond it, its publications to topics that the node has not published to lately are answered `rateLimited`. A topic whose history has expired begins again. Not for API keys.',
  ),
  historyBytesPerHour: integer(
    'FANFARE_HISTORY_BYTES_PER_HOUR',
    'bytes/h',
    67_108_864,
    1_024,
    1_099_511_627_776,
    'Bytes that one subject may publish in an hour to topics with history, over all its connections at all nodes; those of an hour may come at once. More are answered `rateLimited`: docs/security.md says what one user can fill. Not for API keys, nor for topics of level `fast`.',
  ),
  commandRate: integer(
    'FANFARE_COMMAND_RATE',
    'commands/s',
    50,
    1,
    10_000_000,
    'Other commands of one subject (subscriptions, pings, histories), as FANFARE_PUBLISH_RATE; FANFARE_MAX_SUBSCRIPTIONS more may come at once, because who comes back subscribes to everything anew. A history or a subscription counts as one more for each full 64 KiB of publications in its answer.',
  ),
  tlsCertFile: path(
    'FANFARE_TLS_CERT_FILE',
    'the path of a file in PEM: the certificate of the node, then those that vouch for it',
    'Certificate for `wss://`: with it and FANFARE_TLS_KEY_FILE clients connect with TLS 1.2 or 1.3 only. A new one in the same files is shown to new connections within seconds, and no connection is closed: docs/tls.md.',
  ),
  tlsKeyFile: path(
    'FANFARE_TLS_KEY_FILE',
    'the path of a file in PEM: the private key of the certificate, without a passphrase',
    'Private key of the certificate in FANFARE_TLS_CERT_FILE.',
  ),
  compression: {
    name: 'FANFARE_COMPRESSION',
    unit: 'word',
    mustBe: oneWordOf(compressions),
    fallback: 'off',
    about:
      '`shared`: frames from 512 bytes on are compressed for clients that ask for it (permessage-deflate), each by itself, and once for each of its receivers; costs in docs/tls.md. A compressed frame that becomes larger than twice FANFARE_MAX_FRAME_BYTES ends its connection unread.',
    schema: z.enum(compressions).default('off'),
  } satisfies Setting<Compression>,
  redisUrl: {
    name: 'FANFARE_REDIS_URL',
    unit: 'URL',
    mustBe:
      'a URL such as redis://user:password@host:6379, or with Sentinels redis+sentinel://user:password@host1:26379,host2:26379/mymaster (rediss for TLS), or unix:///run/redis/redis.sock',
    fallback: 'unset',
    about:
      'Nodes with the same Redis and prefix form one broker. Unset, the node is a broker of its own, in memory. With Sentinels, whose master has the name behind the slash: `?sentinelUsername=` and `?sentinelPassword=` where they ask for them. A number behind the slash, or `?db=` with Sentinels and Unix sockets, is another database: its data and its messages are separate. Other characters than letters, digits and `- . _ ~` in users and passwords are percent-encoded. Redis Cluster is not supported.',
    schema: z
      .string()
      // A file that a Secret was made of ends with a line break.
      .trim()
      .superRefine((text, context) => {
        const wrong = wrongRedisUrl(text);
        if (wrong !== null) context.addIssue({ code: 'custom', message: wrong });
      })
      .nullable()
      .default(null),
  } satisfies Setting<string | null>,
  redisUrlFile: path(
    'FANFARE_REDIS_URL_FILE',
    'the path of a file that holds the URL and nothing else; a line break at its end is ignored',
    'File with the URL, instead of FANFARE_REDIS_URL. The node reads it again like FANFARE_REDIS_PASSWORD_FILE, and uses a changed user or password without a restart. Another server, database or master needs one, of all nodes.',
  ),
  redisPasswordFile: path(
    'FANFARE_REDIS_PASSWORD_FILE',
    'the path of a file that holds the password and nothing else; a line break at its end is ignored',
    'File with the password for Redis, as it is, instead of one in FANFARE_REDIS_URL. The node reads it again before each connection and tries a changed one at once: docs/operations.md, Redis.',
  ),
  redisSentinelPasswordFile: path(
    'FANFARE_REDIS_SENTINEL_PASSWORD_FILE',
    'the path of a file that holds the password and nothing else; a line break at its end is ignored',
    'File with the password for the Sentinels, as FANFARE_REDIS_PASSWORD_FILE.',
  ),
  redisCaFile: path(
    'FANFARE_REDIS_CA_FILE',
    'the path of a file in PEM: one or more CA certificates',
    'CAs that may sign the certificate of Redis and of the Sentinels (`rediss://`). They replace those that Node.js trusts. Unset, those are trusted, and those of `NODE_EXTRA_CA_CERTS`. Read again like FANFARE_REDIS_PASSWORD_FILE.',
  ),
  redisCertFile: path(
    'FANFARE_REDIS_CERT_FILE',
    'the path of a file in PEM: the client certificate, then the intermediate ones',
    'Client certificate that the node shows to Redis and to the Sentinels, if they ask for one (`tls-auth-clients`). Read again like FANFARE_REDIS_PASSWORD_FILE.',
  ),
  redisKeyFile: path(
    'FANFARE_REDIS_KEY_FILE',
    'the path of a file in PEM: the private key of the client certificate, without a passphrase',
    'Private key of the certificate in FANFARE_REDIS_CERT_FILE.',
  ),
  redisPrefix: {
    name: 'FANFARE_REDIS_PREFIX',
    unit: 'text',
    mustBe: '1 to 64 characters of A-Z a-z 0-9 _ - :',
    fallback: 'fanfare',
    about:
      'Begins every name in Redis, so that several brokers can share one. Nodes with another prefix are another broker: to change it, follow docs/operations.md, Upgrades. No prefix may begin with another one and `:` (`fanfare` and `fanfare:eu`): the Redis user of one would reach the other.',
    schema: z
      .string()
      .regex(/^[A-Za-z0-9_:-]{1,64}$/)
      .default('fanfare'),
  } satisfies Setting<string>,
  redisTimeoutMs: integer(
    'FANFARE_REDIS_TIMEOUT_MS',
    'ms',
    1_000,
    50,
    60_000,
    'How long an answer of Redis may take. Beyond it the connection is made anew, and publishes that wait are answered `unconfirmed`, subscriptions `unavailable`.',
  ),
  maxRevocationLagSeconds: integer(
    'FANFARE_MAX_REVOCATION_LAG_SECONDS',
    's',
    15,
    2,
    86_400,
    'How long ago the node may last have read from Redis what is revoked. Beyond it no token is accepted (`unavailable`, close 4004) and the node is not ready, until it reads it again; open connections stay. The default is longer than a failover of Redis takes.',
  ),
  unsubscribeLingerMs: integer(
    'FANFARE_UNSUBSCRIBE_LINGER_MS',
    'ms',
    5_000,
    0,
    3_600_000,
    'How long a node goes on listening to a topic in Redis after its last subscriber has left, because subscribers often come back at once.',
  ),
  maxRelayBytes: integer(
    'FANFARE_MAX_RELAY_BYTES',
    'bytes',
    16_777_216,
    65_536,
    1_073_741_824,
    'Publications that may wait for Redis. Beyond it publishes are answered `overloaded` and delivered to nobody.',
  ),
  flushWindowMs: integer(
    'FANFARE_FLUSH_WINDOW_MS',
    'ms',
    2,
    0,
    100,
    'Longest that a busy node gathers publications before it sends them on together. It grows to this by a millisecond each 100 ms while the event loop is busy for more than 60 % of the time, and shrinks below 20 %; a node with time sends at once. 0: always at once.',
  ),
  topics: {
    name: 'FANFARE_TOPICS',
    unit: 'JSON',
    mustBe: 'a JSON object of patterns and their policies, or `@` and the path of a file that holds it',
    fallback: 'unset',
    about:
      'Policies of topics, by pattern: what they promise, and what they keep for those who come back (fields: below). Unset, every topic has the default policy.',
    schema: z
      .string()
      .default('{}')
      .transform((text, context) => readPolicies(text, (message) => context.addIssue({ code: 'custom', message }))),
  } satisfies Setting<TopicPolicies>,
  recentBytes: integer(
    'FANFARE_RECENT_BYTES',
    'bytes',
    67_108_864,
    0,
    17_179_869_184,
    'Recent publications that a node remembers, so that those who come back need not be served by Redis and so that Redis can be given back what it lost. Beyond it, topics that were silent longest are forgotten first.',
  ),
  idempotencyWindowSeconds: integer(
    'FANFARE_IDEMPOTENCY_WINDOW_SECONDS',
    's',
    120,
    120,
    86_400,
    'How long the `messageId` of a publication is remembered, at least, so that publishing it again is harmless: clients do so for up to 100 s. Not at level `fast`.',
  ),
  probeIntervalMs: integer(
    'FANFARE_PROBE_INTERVAL_MS',
    'ms',
    1_000,
    100,
    60_000,
    'How often a node publishes to itself through Redis. When two probes in a row do not come back, both connections to Redis are made anew.',
  ),
  newNodeWaitMs: integer(
    'FANFARE_NEW_NODE_WAIT_MS',
    'ms',
    5_000,
    0,
    60_000,
    'If Redis and a node have both just started, how long after the start of Redis the node waits for nodes that know what Redis held, before it serves. They may be on their way back to Redis, and what it lost can only be restored before anything else is published. 0: does not wait.',
  ),
  durableReplicas: integer(
    'FANFARE_DURABLE_REPLICAS',
    'replicas',
    1,
    1,
    100,
    'Replicas of Redis that must have a publication to a topic of level `durable` before it is acknowledged.',
  ),
  durableTimeoutMs: integer(
    'FANFARE_DURABLE_TIMEOUT_MS',
    'ms',
    500,
    1,
    60_000,
    'How long the replicas may take. Beyond it a publish to a topic of level `durable` is answered `unconfirmed`.',
  ),
  maxFrameBytes: integer(
    'FANFARE_MAX_FRAME_BYTES',
    'bytes',
    65_536,
    1_024,
    16_777_216,
    'Longest frame from a client. A longer one closes the connection with 4501 `frameTooLarge`.',
  ),
  maxSubscriptions: integer(
    'FANFARE_MAX_SUBSCRIPTIONS',
    'subscriptions',
    512,
    1,
    1_000_000,
    'Subscriptions of one connection. One more is answered `tooManySubscriptions`.',
  ),
  maxBufferedBytes: integer(
    'FANFARE_MAX_BUFFERED_BYTES',
    'bytes',
    1_048_576,
    16_384,
    1_073_741_824,
    'Bytes that a connection may leave unread (beyond what the kernel buffers). Beyond it, the connection is closed with 4002 `slowSubscriber`.',
  ),
  maxTotalBufferedBytes: integer(
    'FANFARE_MAX_TOTAL_BUFFERED_BYTES',
    'bytes',
    536_870_912,
    1_048_576,
    1_099_511_627_776,
    'Bytes that all connections of this node together may leave unread. Beyond it those that hold most are closed with 4007 `overloaded` until half of it is left.',
  ),
  idleTimeoutSeconds: integer(
    'FANFARE_IDLE_TIMEOUT_SECONDS',
    's',
    60,
    8,
    960,
    'A connection that sends nothing for this long, not even the answer to a WebSocket ping, is cut off. Rounded to the nearest 4 s.',
  ),
  pingIntervalMs: integer(
    'FANFARE_PING_INTERVAL_MS',
    'ms',
    25_000,
    1_000,
    900_000,
    'How often the node sends a WebSocket ping to each connection, from its start on, so that balancers do not take it for idle; at least twice in FANFARE_IDLE_TIMEOUT_SECONDS. Also told to clients in `connected`: after this much silence of the node they send the command `ping`.',
  ),
  drainWindowMs: integer(
    'FANFARE_DRAIN_WINDOW_MS',
    'ms',
    20_000,
    0,
    3_600_000,
    'A node that is asked to stop (SIGTERM, SIGHUP) invites its clients to move to other nodes, each at another moment of this window, and serves them until they have. 0, a node in memory, or SIGINT: it closes all connections at once.',
  ),
  drainWaves: integer(
    'FANFARE_DRAIN_WAVES',
    'waves',
    10,
    1,
    1_000,
    'Connections that are left at the end of the window are closed in so many waves.',
  ),
  drainWaveIntervalMs: integer('FANFARE_DRAIN_WAVE_INTERVAL_MS', 'ms', 500, 0, 60_000, 'From one wave to the next.'),
  drainTimeoutMs: integer(
    'FANFARE_DRAIN_TIMEOUT_MS',
    'ms',
    5_000,
    0,
    600_000,
    'How long a node that is stopping waits for its connections to close after the last wave. Beyond it they are cut off.',
  ),
  rebalanceRate: integer(
    'FANFARE_REBALANCE_RATE',
    'connections/s',
    0,
    0,
    100_000,
    'A node that has a tenth more connections than its share of those of all nodes that have room for more invites so many a second to move to others until it has its share: new nodes fill up. Subscribers of topics of level `fast` are told a gap when they move. Where the load balancer brings clients back (session affinity) it gives up after five times as many invitations as it has connections too many. 0: never.',
  ),
  rebalanceAfterMs: integer(
    'FANFARE_REBALANCE_AFTER_MS',
    'ms',
    30_000,
    0,
    3_600_000,
    'How long the number of nodes must have been the same before FANFARE_REBALANCE_RATE holds: in the middle of a deploy clients would be moved again and again.',
  ),
  nodeName: {
    name: 'FANFARE_NODE_NAME',
    unit: 'text',
    mustBe: '1 to 64 characters of A-Z a-z 0-9 _ - .',
    fallback: 'host name and four random characters',
    about: 'Name of the node in its log, in Redis (`CLIENT LIST`), and in `connected`.',
    schema: z
      .string()
      .regex(/^[A-Za-z0-9_.-]{1,64}$/)
      .optional()
      .transform((name) => name ?? randomNodeName()),
  } satisfies Setting<string>,
  tracingUrl: {
    name: 'FANFARE_TRACING_URL',
    unit: 'URL',
    mustBe: 'a URL such as http://collector:4318 or http://collector:4318/v1/traces',
    fallback: 'unset',
    about:
      'Where spans of publications are sent (OpenTelemetry, OTLP over HTTP in JSON): docs/observability.md. A URL without a path, or with `/` alone, gets `/v1/traces`; any other path is taken as it stands. Unset, nothing is traced. `OTEL_EXPORTER_OTLP_HEADERS` adds headers.',
    schema: httpUrl.transform(tracesUrl).nullable().default(null),
  } satisfies Setting<string | null>,
  tracingRatio: {
    name: 'FANFARE_TRACING_RATIO',
    unit: 'share',
    mustBe: 'a number from 0 to 1, such as 0.001',
    fallback: '0.001',
    about:
      'Share of the publications that are traced, where FANFARE_TRACING_URL is set. Nodes that form one broker need the same one: each chooses by itself, and all choose the same publications.',
    schema: z
      .string()
      .regex(/^(\d+(\.\d*)?|\.\d+)$/)
      .transform(Number)
      .pipe(z.number().min(0).max(1))
      .default(0.001),
  } satisfies Setting<number>,
  logLevel: {
    name: 'FANFARE_LOG_LEVEL',
    unit: 'word',
    mustBe: '"debug", "info", "warn", "error" or "silent"',
    fallback: 'info',
    about: 'Least important lines that are logged.',
    schema: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
  } satisfies Setting<string>,
  logFormat: oneOf(
    'FANFARE_LOG_FORMAT',
    ['json', 'pretty'],
    null,
    '`pretty` at a terminal, else `json`',
    'JSON lines for machines, or readable lines for people.',
  ),
} as const;

export type Config = { readonly [Key in keyof typeof settings]: z.output<(typeof settings)[Key]['schema']> };

/**
 * What is wrong with the configuration: one sentence for each mistake. A sentence names the setting and the place, and repeats neither a value nor a
 * name that it does not know: whoever puts a secret in the wrong place must not find it in the log.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  constructor(readonly sentences: readonly string[]) {
    super(sentences.join('\n'));
  }
}

/** What is said of an error at start: a configuration that is wrong, a port that is taken. A sentence says more than a stack. */
export function sentencesOf(error: unknown): readonly string[] {
  return error instanceof ConfigError ? error.sentences : [(error as Error).message];
}

/** Reads the settings from environment variables; an empty one counts as unset. Throws {@link ConfigError} with all that is wrong. */
export function loadConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const sentences: string[] = [];
  const config: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(settings)) {
    const text = environment[setting.name] || undefined;
    const parsed = setting.schema.safeParse(text);
    if (isPlaceholder(text)) sentences.push(`${setting.name} has a placeholder: it must be ${setting.mustBe}.`);
    else if (parsed.success) config[key] = parsed.data;
    else sentences.push(...wrongValue(setting, text ?? '', parsed.error.issues));
  }
  sentences.push(...unknownSettings(environment), ...readUrlFileInto(config));
  const { host: bindHost, auth } = config as Config;
  if (sentences.length === 0 && auth === null && !isLoopback(bindHost)) {
    sentences.push(
      'FANFARE_HOST opens the node to others without authentication: say in FANFARE_AUTH who may connect, set FANFARE_AUTH=none if everybody may, or set FANFARE_HOST=127.0.0.1.',
    );
  }
  const { port, adminPort } = config as Config;
  if (sentences.length === 0 && port === adminPort && port !== 0) {
    sentences.push(`FANFARE_PORT and FANFARE_ADMIN_PORT are both ${port}: give each a port of its own.`);
  }
  if (sentences.length === 0) {
    const read = config as Config;
    sentences.push(...wrongWorkers(read), ...wrongCertificate(read), ...wrongRedisCredentials(read));
  }
  if (sentences.length > 0) throw new ConfigError(sentences);
  return config as Config;
}

/** What the manifests have in place of what only the operator knows: `<addresses of the gateway>`. */
function isPlaceholder(text: string | undefined): boolean {
  return text !== undefined && /^<[^<>]+>$/.test(text);
}

function* wrongWorkers({ workers, redisUrl, nodeName }: Config): Iterable<string> {
  if (workers === 1) return;
  const asked = `FANFARE_WORKERS asks for ${workers} workers`;
  if (redisUrl === null) yield `${asked}, which reach each other through Redis: set FANFARE_REDIS_URL.`;
  // Elsewhere one of the processes that share a port gets all connections, or none can share it.
  if (process.platform !== 'linux') yield `${asked}: only Linux spreads connections over processes that share a port.`;
  const longest = maxNodeNameLength - `-${workers}`.length;
  if (nodeName.length > longest)
    yield `${asked}: FANFARE_NODE_NAME may have ${longest} characters then, not ${nodeName.length}.`;
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

/** Puts the URL of FANFARE_REDIS_URL_FILE in the place of FANFARE_REDIS_URL: nobody else needs to know where it comes from. */
function readUrlFileInto(config: { redisUrl?: unknown; redisUrlFile?: unknown }): readonly string[] {
  const { redisUrl, redisUrlFile } = config;
  if (typeof redisUrlFile !== 'string') return [];
  if (typeof redisUrl === 'string')
    return ['FANFARE_REDIS_URL and FANFARE_REDIS_URL_FILE are both set: leave out one of them.'];
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
    readRedisCredentials({ ...files, redisUrl });
    return [];
  } catch (error) {
    if (error instanceof RedisCredentialsError) return error.sentences;
    throw error;
  }
}

function wrongValue(setting: Setting<unknown>, text: string, issues: readonly z.core.$ZodIssue[]): string[] {
  if (/^tcp:\/\/[\d.]+:\d+$/.test(text)) {
    return [
      `${setting.name} is like tcp://10.0.0.1:8080, which Kubernetes sets for a Service of that name: set enableServiceLinks: false in the pod, or give the Service another name.`,
    ];
  }
  const told = issues.filter(({ code }) => code === 'custom');
  if (told.length > 0) return told.map(({ message }) => `${setting.name} ${message}`);
  return [`${setting.name} must be ${setting.mustBe}.`];
}

function* unknownSettings(environment: Readonly<Record<string, string | undefined>>): Iterable<string> {
  const known = new Set<string>(Object.values(settings).map(({ name }) => name));
  const words = new Set([...known].flatMap((name) => name.split('_')));
  for (const name of Object.keys(environment)) {
    if (!name.startsWith('FANFARE_') || known.has(name) || isServiceLink(name)) continue;
    // Words that no setting has are left out.
    const shown = name.split('_').map((word) => (words.has(word) ? word : '…'));
    const meant = nearest(name, [...known]);
    const hint = meant === null ? 'docs/configuration.md lists those there are.' : `did you mean ${meant}?`;
    yield `${shown.join('_').slice(0, 80)} is no setting; ${hint}`;
  }
}

/** Variables that Kubernetes adds for a Service named "fanfare…"; they are not meant for us. */
function isServiceLink(name: string): boolean {
  return /_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP)(_|$)/.test(name);
}

export function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || /^127(\.\d{1,3}){3}$/.test(address);
}

function randomNodeName(): string {
  const name =
    hostname()
      .replace(/[^A-Za-z0-9_.-]/g, '-')
      .slice(0, maxNodeNameLength - '-0000-256'.length) || 'node';
  return `${name}-${randomBytes(2).toString('hex')}`;
}
