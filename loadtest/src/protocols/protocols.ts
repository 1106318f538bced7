/** The protocols by name. */
import { fanfareJson } from './fanfare-json.js';
import { fanfareMsgpack } from './fanfare-msgpack.js';
import type { Protocol } from './protocol.js';
import { raw } from './raw.js';
import { socketio } from './socketio.js';
import { wsRedis } from './ws-redis.js';

export const protocols = {
  msgpack: fanfareMsgpack,
  json: fanfareJson,
  raw,
  'ws-redis': wsRedis,
  socketio,
} as const satisfies Readonly<Record<string, Protocol>>;

export type ProtocolName = keyof typeof protocols;
