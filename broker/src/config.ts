/**
 * Every setting of a node, declared once: environment variable, meaning, unit, default, what happens at the limit. The type
 * `Config`, the errors at start, `fanfare --help` and docs/configuration.md come from this table.
 */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { z } from 'zod';

interface Setting<Value> {
  /** Environment variable. */
  readonly name: string;
  readonly unit: string;
  /** What the value must be, for the error: "must be …". */
  readonly mustBe: string;
  /** The default as a person would write it. */
  readonly fallback: string;
  readonly about: string;
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
    mustBe: values.map((value) => `"${value}"`).join(' or '),
    fallback: fallbackText,
    about,
    schema,
  };
}

const host = z.string().regex(/^[A-Za-z0-9.:_-]+$/);
const redisUrl = z.url({ protocol: /^rediss?$/ });

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
      'Address of `/healthz`, `/readyz` and `/metrics`. They have no authentication: open them to your own network only.',
    schema: host.default('127.0.0.1'),
  } satisfies Setting<string>,
  adminPort: integer(
    'FANFARE_ADMIN_PORT',
    'port',
    8081,
    0,
    65_535,
    'Port of `/healthz`, `/readyz` and `/metrics`. 0 takes a free one.',
  ),
  auth: oneOf(
    'FANFARE_AUTH',
    ['none'],
    null,
    'unset',
    'Unset, a node without authentication binds to loopback only. `none` permits any address without authentication: whoever reaches the port may publish and subscribe.',
  ),
  redisUrl: {
    name: 'FANFARE_REDIS_URL',
    unit: 'URL',
    mustBe: 'a URL such as redis://user:password@host:6379 (or rediss:// for TLS)',
    fallback: 'unset',
    about: 'Nodes with the same URL and prefix form one broker. Unset, the node is a broker of its own, in memory.',
    schema: redisUrl.nullable().default(null),
  } satisfies Setting<string | null>,
  redisPrefix: {
    name: 'FANFARE_REDIS_PREFIX',
    unit: 'text',
    mustBe: '1 to 64 characters of A-Z a-z 0-9 _ - :',
    fallback: 'fanfare',
    about: 'Begins every name in Redis, so that several brokers can share one.',
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
    'After how much silence of the node a client sends `ping`. Told to clients in `connected`.',
  ),
  drainTimeoutMs: integer(
    'FANFARE_DRAIN_TIMEOUT_MS',
    'ms',
    5_000,
    0,
    600_000,
    'How long a node that was asked to stop (SIGTERM, SIGINT) waits for its connections to close. Beyond it they are cut off.',
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

/** What is wrong with the configuration: one sentence for each wrong setting. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  constructor(readonly sentences: readonly string[]) {
    super(sentences.join('\n'));
  }
}

/** Reads the settings from environment variables; an empty one counts as unset. Throws {@link ConfigError} with all that is wrong. */
export function loadConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const sentences: string[] = [];
  const config: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(settings)) {
    const text = environment[setting.name] || undefined;
    const parsed = setting.schema.safeParse(text);
    if (parsed.success) config[key] = parsed.data;
    else sentences.push(wrongValue(setting, text ?? ''));
  }
  sentences.push(...unknownSettings(environment));
  const { host: bindHost, auth } = config as Config;
  if (sentences.length === 0 && auth === null && !isLoopback(bindHost)) {
    sentences.push(
      `FANFARE_HOST=${bindHost} opens the node to others without authentication: set FANFARE_AUTH=none if that is what you want, or bind to 127.0.0.1.`,
    );
  }
  const { port, adminPort } = config as Config;
  if (sentences.length === 0 && port === adminPort && port !== 0) {
    sentences.push(`FANFARE_PORT and FANFARE_ADMIN_PORT are both ${port}: give each a port of its own.`);
  }
  if (sentences.length > 0) throw new ConfigError(sentences);
  return config as Config;
}

function wrongValue(setting: Setting<unknown>, text: string): string {
  // Kubernetes sets FANFARE_PORT=tcp://10.0.0.1:8080 for a Service named "fanfare".
  if (/^tcp:\/\//.test(text)) {
    return `${setting.name} is "${text}", which Kubernetes sets for a Service of that name: set enableServiceLinks: false in the pod, or name the Service otherwise.`;
  }
  const isSecret = setting.name === 'FANFARE_REDIS_URL';
  return `${setting.name} must be ${setting.mustBe}${isSecret ? '' : `, not "${text}"`}.`;
}

function* unknownSettings(environment: Readonly<Record<string, string | undefined>>): Iterable<string> {
  const known = new Set<string>(Object.values(settings).map(({ name }) => name));
  for (const name of Object.keys(environment)) {
    if (!name.startsWith('FANFARE_') || known.has(name) || isServiceLink(name)) continue;
    const nearest = [...known].sort((a, b) => distance(a, name) - distance(b, name))[0] as string;
    const hint =
      distance(nearest, name) <= 4 ? `did you mean ${nearest}?` : 'see docs/configuration.md for those there are.';
    yield `${name} is no setting; ${hint}`;
  }
}

/** Variables that Kubernetes adds for a Service named "fanfare…"; they are not meant for us. */
function isServiceLink(name: string): boolean {
  return /_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP)(_|$)/.test(name);
}

function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || /^127(\.\d{1,3}){3}$/.test(address);
}

/** Levenshtein distance, for "did you mean". */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}

function randomNodeName(): string {
  const name =
    hostname()
      .replace(/[^A-Za-z0-9_.-]/g, '-')
      .slice(0, 59) || 'node';
  return `${name}-${randomBytes(2).toString('hex')}`;
}
