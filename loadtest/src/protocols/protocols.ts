/** The protocols by name. */
import { fanfareJson } from './fanfare-json.js';
import { fanfareAcknowledged, fanfareBatched, fanfareMsgpack } from './fanfare-msgpack.js';
import { mqtt } from './mqtt.js';
import { nats } from './nats.js';
import { nchan } from './nchan.js';
import type { Protocol } from './protocol.js';
import { raw } from './raw.js';
import { redis } from './redis.js';
import { socketio } from './socketio.js';
import { wsRedis } from './ws-redis.js';

export const protocols = {
  msgpack: fanfareMsgpack,
  'msgpack-batched': fanfareBatched,
  'msgpack-acknowledged': fanfareAcknowledged,
  json: fanfareJson,
  raw,
  redis,
  'ws-redis': wsRedis,
  socketio,
  nats,
  nchan,
  mqtt: mqtt('tcp'),
  'mqtt-websocket': mqtt('websocket'),
} as const satisfies Readonly<Record<string, Protocol>>;

export type ProtocolName = keyof typeof protocols;
