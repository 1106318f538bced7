/**
 * Engine.IO 4 and Socket.IO 5 over WebSocket only, as far as our server (socketio-server.ts) needs them. The first
 * character of a message is the type of the Engine.IO packet. If that is a message, the second character is the type of
 * the Socket.IO packet.
 */
import { blankData, stampMark } from '@fanfare/kit/stamp';
import type { Protocol } from './protocol.js';
import { takePublications } from './publications.js';

const enginePing = '2';
const enginePong = '3';
const connect = '40';
const disconnect = '41';
const event = '42';
const acknowledgement = '43';
const connectError = '44';

export const socketio: Protocol = {
  transport: 'websocket',
  isBinary: false,
  subprotocol: null,
  path: () => '/socket.io/?EIO=4&transport=websocket',
  hello: () => Buffer.from(connect),
  subscribe: (topics) => [ask('subscribe', topics)],
  unsubscribe: (topics) => [ask('unsubscribe', topics)],
  publication(topic, publicationBytes) {
    const message = Buffer.from(event + JSON.stringify(['publish', topic, blankData(publicationBytes)]));
    return { message, stampAt: message.indexOf(stampMark) };
  },
  reader: (onPublication, events) => (bytes, start, end) => {
    if (takePublications(bytes, start, end, onPublication)) return;
    const text = Buffer.from(bytes.subarray(start, end)).toString();
    if (text === enginePing) {
      events.reply(Buffer.from(enginePong));
      return;
    }
    const rest = text.slice(2);
    switch (text.slice(0, 2)) {
      case connect:
        return events.greeted();
      case acknowledgement:
        return events.confirmed(Number(/^\d+\[(\d+)\]$/.exec(rest)?.[1]));
      case disconnect:
      case connectError:
        return events.refused(text);
      default:
        // The Engine.IO handshake: intervals and a session that we have no use for.
        return;
    }
  },
};

/** An event with an acknowledgement: our server answers how many topics it was. Its number is not looked at. */
function ask(name: string, topics: readonly string[]): Uint8Array {
  return Buffer.from(`${event}0${JSON.stringify([name, topics])}`);
}
