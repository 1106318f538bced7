/** The protocols by name. */
import { fanfareEvents } from './event-stream.js';
import { httpBatchPublisher, httpPublisher } from './fanfare-http.js';
import { fanfareJson } from './fanfare-json.js';
import { fanfareAcknowledged, fanfareBatched, fanfareMsgpack } from './fanfare-msgpack.js';
import { fanfareLongPoll } from './long-poll.js';
import { mqtt } from './mqtt.js';
import { nats } from './nats.js';
import { nchan, nchanEvents, nchanHttp, nchanPolls } from './nchan.js';
import type { Protocol, Protocols } from './protocol.js';
import { raw } from './raw.js';
import { redis } from './redis.js';
import { socketio } from './socketio.js';
import { wsRedis } from './ws-redis.js';

/** Clients that subscribe and publish in the same way. */
function alike(protocol: Protocol): Protocols {
  return { subscriber: protocol, publisher: protocol };
}

export const protocols = {
  msgpack: alike(fanfareMsgpack),
  'msgpack-batched': alike(fanfareBatched),
  'msgpack-acknowledged': alike(fanfareAcknowledged),
  json: alike(fanfareJson),
  // Over HTTP, each publication is a request.
  http: { subscriber: fanfareMsgpack, publisher: httpPublisher },
  'http-batch': { subscriber: fanfareMsgpack, publisher: httpBatchPublisher },
  sse: { subscriber: fanfareEvents, publisher: httpPublisher },
  'long-poll': { subscriber: fanfareLongPoll, publisher: httpPublisher },
  raw,
  redis: alike(redis),
  'ws-redis': alike(wsRedis),
  socketio: alike(socketio),
  nats: alike(nats),
  nchan,
  'nchan-http': nchanHttp,
  'nchan-sse': nchanEvents,
  'nchan-long-poll': nchanPolls,
  mqtt: alike(mqtt('tcp')),
  'mqtt-websocket': alike(mqtt('websocket')),
} as const satisfies Readonly<Record<string, Protocols>>;

export type ProtocolName = keyof typeof protocols;

/** How clients may reach Fanfare, the values of `--protocol`. `websocket`: in the encoding that the server or `--encoding` has. */
export const transports = ['websocket', 'sse', 'long-poll', 'http', 'http-batch'] as const;
export type Transport = (typeof transports)[number];
