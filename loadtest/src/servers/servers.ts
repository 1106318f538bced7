/** The kinds of server by name, in the order of tables. */
import { type ServerKind, server } from './server.js';

const fanfare = (level: 'fast' | 'recoverable' | 'durable', protocol: 'msgpack' | 'json'): ServerKind => {
  const redis = level === 'durable' ? '; with Redis and one replica, also on one node' : '';
  const about = `Fanfare, level ${level}, ${protocol === 'json' ? 'JSON' : 'MessagePack'}${redis}`;
  return server({ about, protocol }, async () => (await import('../launch/fanfare.js')).fanfare(level));
};

const raw = (isDeferred: boolean): ServerKind =>
  server(
    {
      about: isDeferred
        ? 'uWebSockets.js with nothing on top; publishes after the handler has returned'
        : 'uWebSockets.js with nothing on top; publishes in the handler, as its examples do',
      protocol: 'raw',
      isAlone: true,
    },
    async () => (await import('../launch/raw.js')).raw(isDeferred),
  );

const socketio = (variant: string, args: readonly string[]): ServerKind =>
  server(
    {
      about: `Socket.IO, WebSocket only, ${variant}; with the Redis adapter even on one node, because people deploy it that way`,
      protocol: 'socketio',
    },
    async () => (await import('../launch/socketio.js')).socketio(args),
  );

export const servers: Readonly<Record<string, ServerKind>> = {
  fanfare: fanfare('recoverable', 'msgpack'),
  'fanfare-json': fanfare('recoverable', 'json'),
  'fanfare-fast': fanfare('fast', 'msgpack'),
  'fanfare-fast-json': fanfare('fast', 'json'),
  'fanfare-durable': fanfare('durable', 'msgpack'),
  raw: raw(false),
  'raw-deferred': raw(true),
  ioredis: server(
    {
      about:
        'plain ioredis, one PUBLISH for each publication with automatic pipelines, between raw uWebSockets.js sockets',
      protocol: 'raw',
    },
    async () => (await import('../launch/ioredis.js')).ioredis,
  ),
  'ws-redis': server(
    {
      about:
        'ws and ioredis by hand: SUBSCRIBE for each topic with subscribers, PUBLISH for each publication, also on one node',
      protocol: 'ws-redis',
    },
    async () => (await import('../launch/ws-redis.js')).wsRedis,
  ),
  socketio: socketio('ws, Redis adapter', []),
  'socketio-sharded': socketio('ws, sharded Redis adapter', ['--sharded']),
  'socketio-uws': socketio('uWebSockets.js, Redis adapter', ['--uws']),
  nats: server(
    { about: 'nats-server, core NATS over WebSocket; nodes are joined by cluster routes', protocol: 'nats' },
    async () => (await import('../launch/nats.js')).nats,
  ),
  nchan: server(
    {
      about: 'nginx with Nchan, one worker, memory store, published to by POST; nodes share a Redis in mode nostore',
      protocol: 'nchan',
    },
    async () => (await import('../launch/nchan.js')).nchan,
  ),
  mosquitto: server(
    { about: 'Mosquitto, MQTT 3.1.1 at QoS 0 over plain TCP, no WebSocket', protocol: 'mqtt', isAlone: true },
    async () => (await import('../launch/mosquitto.js')).mosquitto,
  ),
  aedes: server(
    {
      about: 'Aedes, MQTT 3.1.1 at QoS 0 over WebSocket (ws), in memory',
      protocol: 'mqtt-websocket',
      isAlone: true,
    },
    async () => (await import('../launch/aedes.js')).aedes,
  ),
};
