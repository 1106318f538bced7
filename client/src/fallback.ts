/**
 * The Fanfare client with a fallback for networks in which a WebSocket does not work: server-sent events, and long
 * polling.
 * @module
 */
import { platformWebSocket } from '#websocket';
import { DebugLog } from './debug-log.js';
import { FallbackClient } from './fallback/fallback-client.js';
import { httpClientCodec } from './fallback/http-socket.js';
import { type RaceSettings, RacingSocket } from './fallback/racing-socket.js';
import { allTransports, type Transport, transportsOf, Winner } from './fallback/transports.js';
import { type CommonOptions, defaultLimits, kinds, limitsOf, refuseUnknown } from './options.js';
import type { AnyJsonTopics, AnyTopics, JsonTopics, SchemaInputs, SchemaOutputs, Schemas } from './topics.js';

export * from './api.js';
export type { FallbackClient } from './fallback/fallback-client.js';
export type { Transport } from './fallback/transports.js';

/** Options of `createClient()`. */
export interface ClientOptions extends CommonOptions {
  /**
   * The transports that the client may use, in the order in which it tries them. Each next one starts when the one
   * before it has failed, or has not answered for 4 s. The first one that works is tried first for ten minutes. If that
   * is not a WebSocket, the client also tries a WebSocket from time to time, and moves to it without loss.
   * @default ['webSocket', 'serverSentEvents', 'longPolling']
   */
  readonly transports?: readonly Transport[] | undefined;
  /**
   * Time for `getToken` and for finding a transport that works, in milliseconds. After it the attempt fails
   * (`connectTimeout`) and the client tries again. If it is less than 12 s, each transport has a third of it.
   * @default 15000
   */
  readonly connectTimeoutMs?: number | undefined;
  /** This entry speaks JSON only. */
  readonly encoding?: 'json' | undefined;
  /**
   * Delay before the client first tries a WebSocket while another transport is in use, in milliseconds. For tests.
   * @internal
   */
  readonly probeDelayMs?: number | undefined;
}

/**
 * Creates a client that speaks JSON, over a WebSocket if that works, and otherwise over server-sent events or long
 * polling. Otherwise the same as `createClient` of `@fanfare/client`. The HTTP API of the node must be next to the
 * WebSocket: `wss://example.com/ws` and `https://example.com/v1/…`.
 */
export function createClient<const S extends Schemas>(
  url: string | URL,
  options: ClientOptions & { readonly schemas: S },
): FallbackClient<JsonTopics<SchemaInputs<S>>, SchemaOutputs<S>>;
export function createClient(
  url: string | URL,
  options?: ClientOptions & { readonly schemas?: undefined },
): FallbackClient<AnyJsonTopics, AnyTopics>;
export function createClient<Topics extends JsonTopics<Topics>>(
  url: string | URL,
  options?: ClientOptions & { readonly schemas?: undefined },
): FallbackClient<Topics>;
export function createClient(
  url: string | URL,
  options: ClientOptions & { readonly schemas?: Schemas | undefined } = {},
): FallbackClient {
  refuseUnknown('createClient()', options, [
    ...Object.keys({ ...defaultLimits, ...kinds }),
    'transports',
    'probeDelayMs',
  ]);
  const { transports: wanted, probeDelayMs = 30_000, ...rest } = options;
  const transports = transportsOf(wanted);
  const common = { connectTimeoutMs: 15_000, ...rest };
  const limits = limitsOf(common);
  const webSocket = options.webSocket ?? platformWebSocket();
  const inUse: RaceSettings['inUse'] = new Map();
  const settings: RaceSettings = {
    ...limits,
    random: options.random ?? Math.random,
    webSocket,
    transports,
    winner: new Winner(),
    silenceMs: Math.min(maxSilenceMs, limits.connectTimeoutMs / allTransports.length),
    probeDelayMs,
    inUse,
    log: (...what) => new DebugLog(client.debug).write(...what),
  };
  const Socket = class extends RacingSocket {
    constructor(address: string, protocol: string) {
      super(address, protocol, settings);
    }
  };
  const client = new FallbackClient(inUse, url, common, httpClientCodec, Socket);
  return client;
}

/** How long a transport may be silent before the next one starts, in milliseconds. */
const maxSilenceMs = 4_000;
