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
}

type Facts = readonly [protocol: ProtocolName, about: string, isAlone?: true];

const facts: Readonly<Record<string, Facts>> = {
  fanfare: ['msgpack', 'Fanfare, level recoverable, MessagePack'],
  'fanfare-json': ['json', 'Fanfare, level recoverable, JSON'],
  'fanfare-fast': ['msgpack', 'Fanfare, level fast, MessagePack'],
  'fanfare-fast-json': ['json', 'Fanfare, level fast, JSON'],
  'fanfare-durable': ['msgpack', 'Fanfare, level durable, MessagePack; with Redis and one replica, also on one node'],
  raw: ['raw', 'uWebSockets.js with nothing on top; publishes in the handler, as its examples do', true],
  'raw-deferred': ['raw', 'uWebSockets.js with nothing on top; publishes after the handler has returned', true],
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
  mosquitto: ['mqtt', 'Mosquitto, MQTT 3.1.1 at QoS 0 over plain TCP, no WebSocket', true],
  aedes: ['mqtt-websocket', 'Aedes, MQTT 3.1.1 at QoS 0 over WebSocket (ws), in memory', true],
};

function socketio(variant: string): string {
  return `Socket.IO, WebSocket only, ${variant}; with the Redis adapter even on one node, because people deploy it that way`;
}

export const servers: Readonly<Record<string, ServerKind>> = Object.fromEntries(
  Object.entries(facts).map(([name, [protocol, about, isAlone = false]]) => {
    const kind: ServerKind = {
      ...{ protocol, about, isAlone },
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
