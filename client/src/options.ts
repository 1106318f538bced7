/** Every option of a client, with its unit, its default and what happens at the limit. */
import { FanfareError } from './errors.js';
import type { WebSocketConstructor } from './websocket.js';

export interface Limits {
  /**
   * Time from the call of `getToken`, or from dialling, to the node's `connected` reply, in milliseconds. Beyond it the attempt
   * counts as failed (`connectTimeout`) and the next one follows. The same for a token that takes the place of another.
   * @default 5000
   */
  readonly connectTimeoutMs: number;
  /**
   * Time that a publish may take, waiting for a connection and repeating what failed included, in milliseconds. Beyond it the publish
   * rejects with `timeout`; so does `history()`. A subscribe, or the reading of missed publications, that a node leaves unanswered
   * for this long makes the client reconnect (`replyTimeout`).
   * @default 10000
   */
  readonly timeoutMs: number;
  /**
   * Time without any frame after a ping, in milliseconds. Beyond it the connection counts as dead (`heartbeatTimeout`) and the
   * client reconnects.
   * @default 10000
   */
  readonly pongTimeoutMs: number;
  /**
   * Before reconnecting the client waits a random time between 0 and this, in milliseconds; the upper end doubles with each
   * failure in a row.
   * @default 500
   */
  readonly reconnectBaseDelayMs: number;
  /**
   * Where the doubling ends, in milliseconds.
   * @default 20000
   */
  readonly reconnectMaxDelayMs: number;
  /**
   * How long a connection must have lasted, in milliseconds, for failures to be counted from 0 again when it ends. Below
   * that, a node that accepts connections and drops them at once is not hammered.
   * @default 10000
   */
  readonly stableAfterMs: number;
  /**
   * Publications that may wait for a connection or behind one that is sent again, and as many again for asynchronous schemas. One
   * more is refused at once with `queueFull`.
   * @default 1000
   */
  readonly maxQueuedPublications: number;
  /**
   * Bytes of publications that may wait for a connection or behind one that is sent again. One that goes beyond is refused at once with `queueFull`.
   * @default 1048576
   */
  readonly maxQueuedBytes: number;
  /**
   * Bytes of publications that may be sent and not answered yet (of several, at least one). What goes beyond waits: a node that stands
   * still is not to find more than it takes in, and refuse some of it in the middle.
   * @default 1048576
   */
  readonly maxInFlightBytes: number;
  /**
   * While connected: bytes of publications that may be unsent, in the WebSocket (its `bufferedAmount`) or waiting for answers to those
   * before them. Beyond it publications are refused with `queueFull`.
   * @default 4194304
   */
  readonly maxUnsentBytes: number;
  /**
   * Publications that a subscription holds for its loop. One more ends the subscription: the loop still gets those held,
   * then `slowConsumer` is thrown. Also those held back behind others that are missing: then what is held is dropped, and read from
   * history later.
   * @default 10000
   */
  readonly maxBufferedPublications: number;
  /**
   * How long `drain()` waits, in milliseconds. Beyond it the client is closed as by `close()`, and `drain()` rejects with `timeout`.
   * @default 30000
   */
  readonly drainTimeoutMs: number;
}

/** Those that are left out or undefined have their default. */
type LimitOptions = { readonly [Name in keyof Limits]?: Limits[Name] | undefined };

export type GetToken = () => string | Promise<string>;

export interface CommonOptions extends LimitOptions {
  /**
   * Connect when the client is first used: by `subscribe()`, `publish()`, `send()` or `history()`. If false, only `connect()` does it.
   * @default true
   */
  readonly autoConnect?: boolean | undefined;
  /**
   * Write to the console (`console.debug`) what leaves and comes, without data and tokens, and each state. Also the property `debug` of a
   * client, at any time; and `FANFARE_DEBUG = true` in the console of a page, for all clients.
   * @default false
   */
  readonly debug?: boolean | undefined;
  /**
   * Gives a token, or the promise of one, that the node accepts: for a broker that asks for authentication. Called before each new
   * connection, and again on a connection in time before its token expires (30 s, or a fifth of its time if that is less): then the new
   * one takes its place. Where it throws, rejects or takes longer than `connectTimeoutMs`, it is called again after a random delay that
   * grows; the state says so (`tokenFailed`, `tokenError`). Each call must give a token that is good for a while longer.
   */
  readonly getToken?: GetToken | undefined;
  /**
   * The WebSocket to use.
   * @default that of the platform; in Node, one of this package
   */
  readonly webSocket?: WebSocketConstructor | undefined;
  /**
   * Source of randomness for delays: from 0 up to, not including, 1. For tests.
   * @internal
   */
  readonly random?: (() => number) | undefined;
}

export const defaultLimits: Limits = {
  connectTimeoutMs: 5_000,
  timeoutMs: 10_000,
  pongTimeoutMs: 10_000,
  reconnectBaseDelayMs: 500,
  reconnectMaxDelayMs: 20_000,
  stableAfterMs: 10_000,
  maxQueuedPublications: 1_000,
  maxQueuedBytes: 1_048_576,
  maxInFlightBytes: 1_048_576,
  maxUnsentBytes: 4_194_304,
  maxBufferedPublications: 10_000,
  drainTimeoutMs: 30_000,
};

/** All that `createClient()` knows. */
export const optionNames = [
  ...Object.keys(defaultLimits),
  ...['encoding', 'schemas', 'autoConnect', 'debug', 'getToken', 'webSocket', 'random'],
];

/** Longest delay of a timer: more than this fires at once (HTML, Node). */
export const maxTimerMs = 2_147_483_647;

/** Throws `invalidOption` if there is an option that nobody knows: a misspelled one would do nothing. */
export function refuseUnknown(of: string, options: object, known: readonly string[]): void {
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const message = `${of} has no option ${JSON.stringify(name)}. Use one of ${known.join(', ')}.`;
    throw new FanfareError('invalidOption', { message });
  }
}

const kinds: Readonly<Record<string, 'boolean' | 'function' | 'object'>> = {
  autoConnect: 'boolean',
  debug: 'boolean',
  getToken: 'function',
  webSocket: 'function',
  random: 'function',
  schemas: 'object',
};

/** Throws `invalidOption` if an option that is no number has the wrong type. */
export function refuseMisfits(options: object): void {
  for (const [name, value] of Object.entries(options)) {
    const kind = kinds[name];
    if (kind === undefined || value === undefined || (typeof value === kind && value !== null)) continue;
    // Without the value: a token may be given in place of a function.
    const found = value === null ? 'null' : typeof value;
    throw new FanfareError('invalidOption', { message: `${name} must be of type ${kind}, not ${found}.` });
  }
}

/** The given limits, completed by the defaults. Throws `invalidOption` where one is not a number that makes sense. */
export function completeLimits(given: LimitOptions): Limits {
  const limits: Record<string, number> = { ...defaultLimits };
  for (const name of Object.keys(limits)) {
    const value = (given as Record<string, unknown>)[name];
    if (value === undefined) continue;
    assertLimit(name, value);
    limits[name] = value;
  }
  return limits as unknown as Limits;
}

/** Throws `invalidOption` unless the value is a number that makes sense. */
export function assertLimit(name: string, value: unknown): asserts value is number {
  if (typeof value === 'number' && value >= 0 && value <= maxTimerMs) return;
  throw new FanfareError('invalidOption', {
    message: `${name} must be a number from 0 to ${maxTimerMs}, not ${value}.`,
  });
}
