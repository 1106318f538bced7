/** The kinds of server by name, in the order of tables: Fanfare, and the brokers that it is compared with. */
import { UsageError } from '@fanfare/kit/options';
import type { Launcher } from '../launch/launcher.js';
import type { ProtocolName } from '../protocols/protocols.js';

export interface ServerKind extends Launcher {
  /** A description of the server and its configuration, for the report. */
  readonly about: string;
  readonly protocol: ProtocolName;
  /** Its processes do not connect to each other, so it is always one node. */
  readonly isAlone: boolean;
  /** It accepts publications and delivers nothing. */
  readonly onlyPublishes: boolean;
}

type Facts = readonly [protocol: ProtocolName, about: string, ...('alone' | 'onlyPublishes')[]];

const facts: Readonly<Record<string, Facts>> = {
  fanfare: ['msgpack', 'Fanfare, level recoverable, MessagePack'],
  'fanfare-json': ['json', 'Fanfare, level recoverable, JSON'],
  'fanfare-fast': ['msgpack', 'Fanfare, level fast, MessagePack'],
  'fanfare-fast-json': ['json', 'Fanfare, level fast, JSON'],
  'fanfare-durable': ['msgpack', 'Fanfare, level durable, MessagePack; with Redis and one replica, also on one node'],
  'fanfare-shards-2': ['msgpack', 'Fanfare, level recoverable, MessagePack; with two Redis, also on one node'],
  'fanfare-shards-4': ['msgpack', 'Fanfare, level recoverable, MessagePack; with four Redis, also on one node'],
  ...fanfareOverHttp(),
  'raw-http': [
    'http',
    'uWebSockets.js, which parses the JSON of a POST and answers; it delivers nothing',
    'alone',
    'onlyPublishes',
  ],
  fastify: ['http', 'Fastify and ioredis by hand: one PUBLISH for each POST; it delivers nothing', 'onlyPublishes'],
  'fastify-history': [
    'http',
    'the same, with one MULTI of XADD and PUBLISH for each POST; it delivers nothing',
    'onlyPublishes',
  ],
  raw: ['raw', 'uWebSockets.js with nothing on top; publishes in the handler, as its examples do', 'alone'],
  'raw-deferred': ['raw', 'uWebSockets.js with nothing on top; publishes after the handler has returned', 'alone'],
  ioredis: [
    'raw',
    'plain ioredis, one PUBLISH for each publication with automatic pipelines, between raw uWebSockets.js sockets',
  ],
  'ws-redis': [
    'ws-redis',
    'ws and ioredis by hand: SUBSCRIBE for each topic with subscribers, PUBLISH for each publication, also on one node',
  ],
  socketio: ['socketio', socketio('ws, Redis adapter')],
  'socketio-sharded': ['socketio', socketio('ws, sharded Redis adapter')],
  'socketio-uws': ['socketio', socketio('uWebSockets.js, Redis adapter')],
  nats: ['nats', 'nats-server, core NATS over WebSocket; nodes are joined by cluster routes'],
  nchan: [
    'nchan',
    'nginx with Nchan, one worker, memory store, published to by POST; nodes share a Redis in mode nostore',
  ],
  'nchan-http': ['nchan-http', 'nginx with Nchan as above, each publication a POST that waits for its answer'],
  'nchan-sse': ['nchan-sse', 'nginx with Nchan as above, subscribers over event streams'],
  'nchan-long-poll': ['nchan-long-poll', 'nginx with Nchan as above, subscribers over long polls'],
  mosquitto: ['mqtt', 'Mosquitto, MQTT 3.1.1 at QoS 0 over plain TCP, no WebSocket', 'alone'],
  aedes: ['mqtt-websocket', 'Aedes, MQTT 3.1.1 at QoS 0 over WebSocket (ws), in memory', 'alone'],
};

function fanfareOverHttp(): Readonly<Record<string, Facts>> {
  const single = 'each publication a POST';
  const batch = 'publications that are sent together in one POST';
  return {
    'fanfare-http': ['http', `Fanfare, level recoverable, ${single}`],
    'fanfare-http-fast': ['http', `Fanfare, level fast, ${single}`],
    'fanfare-http-redis': ['http', `Fanfare, level recoverable, ${single}; with Redis, also on one node`],
    'fanfare-http-redis-fast': ['http', `Fanfare, level fast, ${single}; with Redis, also on one node`],
    'fanfare-batch-fast': ['http-batch', `Fanfare, level fast, ${batch}`],
    'fanfare-batch-redis': ['http-batch', `Fanfare, level recoverable, ${batch}; with Redis, also on one node`],
    'fanfare-sse': ['sse', 'Fanfare, level recoverable, subscribers over event streams, each publication a POST'],
    'fanfare-sse-fast': ['sse', 'Fanfare, level fast, subscribers over event streams, each publication a POST'],
    'fanfare-long-poll': [
      'long-poll',
      'Fanfare, level recoverable, subscribers over long polls, each publication a POST',
    ],
  };
}

function socketio(variant: string): string {
  return `Socket.IO, WebSocket only, ${variant}; with the Redis adapter even on one node, because people deploy it that way`;
}

export const servers: Readonly<Record<string, ServerKind>> = Object.fromEntries(
  Object.entries(facts).map(([name, [protocol, about, ...limits]]) => {
    const kind: ServerKind = {
      ...{ protocol, about, isAlone: limits.includes('alone'), onlyPublishes: limits.includes('onlyPublishes') },
      missing: async () => (await launcherOf(name)).missing(),
      start: async (options) => (await launcherOf(name)).start(options),
    };
    return [name, kind];
  }),
);

/** Imports the code that starts servers. The image of the load generator does not contain that code. */
async function launcherOf(name: string): Promise<Launcher> {
  const { launchers } = await fromRepository(() => import('../launch/launchers.js'));
  const launcher = launchers[name];
  if (launcher === undefined) throw new Error(`There is no server ${name}.`);
  return launcher;
}

/** Loads code that only the repository contains. */
export async function fromRepository<Loaded>(load: () => Promise<Loaded>): Promise<Loaded> {
  try {
    return await load();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new UsageError('This installation cannot start servers: give the URL of a broker with --url.');
  }
}
