/** All options of a client, each with its unit, its default and what happens at the limit. */
import { invalidOption } from './errors.js';
import type { WebSocketConstructor } from './websocket.js';

/** Time limits and size limits of a client. */
export interface Limits {
  /**
   * Time for `getToken`, the WebSocket handshake and the node's `connected` reply, in milliseconds. After it the
   * attempt fails (`connectTimeout`) and the client tries again. The same limit applies to a token refresh.
   * @default 5000
   */
  readonly connectTimeoutMs: number;
  /**
   * Time for a publish or `history()`, including waiting for a connection and retries, in milliseconds. After it the
   * call rejects with `timeout`. If a node does not answer a subscribe or a read of missed publications within this
   * time, the client reconnects (`replyTimeout`).
   * @default 10000
   */
  readonly timeoutMs: number;
  /**
   * How long the client waits for a frame after a ping, in milliseconds. Then it treats the connection as dead
   * (`heartbeatTimeout`) and reconnects.
   * @default 10000
   */
  readonly pongTimeoutMs: number;
  /**
   * Before it reconnects, the client waits for a random time between 0 and this value, in milliseconds. The value
   * doubles with each failure in a row.
   * @default 500
   */
  readonly reconnectBaseDelayMs: number;
  /**
   * The doubled `reconnectBaseDelayMs` never exceeds this value, in milliseconds.
   * @default 20000
   */
  readonly reconnectMaxDelayMs: number;
  /**
   * A connection that lasts at least this long resets the count of failures, in milliseconds. This protects a node that
   * accepts connections and closes them at once.
   * @default 10000
   */
  readonly stableAfterMs: number;
  /**
   * Maximum number of publications that wait for a connection or behind a publication that is sent again. Further
   * publications fail at once with `queueFull`. Publications that wait for an asynchronous schema have a limit of their
   * own, of the same size.
   * @default 1000
   */
  readonly maxQueuedPublications: number;
  /**
   * Maximum bytes of publications that wait for a connection or behind a publication that is sent again. Further
   * publications fail at once with `queueFull`.
   * @default 1048576
   */
  readonly maxQueuedBytes: number;
  /**
   * Maximum bytes of publications that are sent but not answered (always at least one publication). Further
   * publications wait. If a node was blocked for a while, it therefore never has more input than it accepts.
   * @default 1048576
   */
  readonly maxInFlightBytes: number;
  /**
   * Maximum unsent bytes of publications while connected, in the WebSocket (`bufferedAmount`) or waiting for answers to
   * earlier ones. Further publications fail with `queueFull`.
   * @default 4194304
   */
  readonly maxUnsentBytes: number;
  /**
   * Maximum number of publications that a subscription holds for its loop. One more ends the subscription: the loop
   * gets the held ones and then throws `slowConsumer`. If publications are missing, the client holds at most this many
   * later ones. Beyond that it drops publications, and reads them from the history later.
   * @default 10000
   */
  readonly maxBufferedPublications: number;
  /**
   * Time for `drain()`, in milliseconds. After it the client closes as with `close()`, and `drain()` rejects with
   * `timeout`.
   * @default 30000
   */
  readonly drainTimeoutMs: number;
}

/** An option that is missing or undefined has its default. */
type LimitOptions = { readonly [Name in keyof Limits]?: Limits[Name] | undefined };

/** Returns a token, or a promise of one. */
export type GetToken = () => string | Promise<string>;

/** Options of all entries: `@fanfare/client`, `@fanfare/client/json` and `@fanfare/client/msgpackr`. */
export interface CommonOptions extends LimitOptions {
  /**
   * Connect on first use: by `subscribe()`, `publish()`, `send()` or `history()`. If false, only `connect()` connects.
   * @default true
   */
  readonly autoConnect?: boolean | undefined;
  /**
   * Log commands, messages and states with `console.debug`, without data and tokens. You can also set the property
   * `debug` of a client at any time, or `FANFARE_DEBUG = true` in the console of a page for all its clients.
   * @default false
   */
  readonly debug?: boolean | undefined;
  /**
   * Returns a token for a broker that requires authentication. The client calls it before each connection, and again 30
   * s before the token expires (or a fifth of its lifetime, if that is less). The new token replaces the old one on the
   * same connection. If `getToken` throws, rejects or takes longer than `connectTimeoutMs`, the client calls it again
   * after a growing random delay. The state shows the failure (`tokenFailed`, `tokenError`). Each call must return a
   * token that stays valid for a while.
   */
  readonly getToken?: GetToken | undefined;
  /**
   * WebSocket class to use.
   * @default the WebSocket of the platform; in Node, the WebSocket of this package
   */
  readonly webSocket?: WebSocketConstructor | undefined;
  /**
   * Random numbers for delays, at least 0 and below 1. For tests.
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

/** Longest delay of a timer. A longer delay fires at once (HTML, Node). */
export const maxTimerMs = 2_147_483_647;

/** Throws `invalidOption` for an unknown option: a misspelled option would have no effect. */
export function refuseUnknown(of: string, options: object, known: readonly string[]): void {
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    const message = `${of} has no option ${JSON.stringify(name)}. Use one of ${known.join(', ')}.`;
    throw invalidOption(message);
  }
}

/** Types of the options that are not numbers. */
export const kinds: { readonly [name: string]: string } = {
  encoding: 'string',
  schemas: 'object',
  autoConnect: 'boolean',
  debug: 'boolean',
  getToken: 'function',
  webSocket: 'function',
  random: 'function',
};

/** The limits among the options of a client, with defaults for missing ones. Throws `invalidOption`. */
export function limitsOf(options: object): Limits {
  refuseUnknown('createClient()', options, Object.keys({ ...defaultLimits, ...kinds }));
  const limits: Record<string, number> = { ...defaultLimits };
  for (const [name, value] of Object.entries(options)) {
    const kind = kinds[name];
    // Do not show the value: it may be a token that was passed instead of a function.
    const found = value === null ? 'null' : typeof value;
    if (value === undefined) continue;
    if (kind === undefined) {
      assertLimit(name, value);
      limits[name] = value;
    } else if (found !== kind) throw invalidOption(`${name} must be of type ${kind}, not ${found}.`);
  }
  return limits as unknown as Limits;
}

/** Throws `invalidOption` if the value is not a valid number. */
export function assertLimit(name: string, value: unknown): asserts value is number {
  if (typeof value === 'number' && value >= 0 && value <= maxTimerMs) return;
  throw invalidOption(`${name} must be a number from 0 to ${maxTimerMs}, not ${value}.`);
}
