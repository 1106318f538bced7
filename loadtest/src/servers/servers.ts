/** The kinds of server by name, in the order of tables. */
import { aedes } from './aedes.js';
import { fanfare } from './fanfare.js';
import { ioredis } from './ioredis.js';
import { mosquitto } from './mosquitto.js';
import { nats } from './nats.js';
import { nchan } from './nchan.js';
import { raw } from './raw.js';
import type { ServerKind } from './server.js';
import { socketio } from './socketio.js';
import { wsRedis } from './ws-redis.js';

export const servers: Readonly<Record<string, ServerKind>> = {
  fanfare: fanfare('recoverable', 'msgpack'),
  'fanfare-json': fanfare('recoverable', 'json'),
  'fanfare-fast': fanfare('fast', 'msgpack'),
  'fanfare-fast-json': fanfare('fast', 'json'),
  raw: raw(false),
  'raw-deferred': raw(true),
  ioredis,
  'ws-redis': wsRedis,
  socketio: socketio({ about: 'ws, Redis adapter', args: [] }),
  'socketio-sharded': socketio({ about: 'ws, sharded Redis adapter', args: ['--sharded'] }),
  'socketio-uws': socketio({ about: 'uWebSockets.js, Redis adapter', args: ['--uws'] }),
  nats,
  nchan,
  mosquitto,
  aedes,
};
