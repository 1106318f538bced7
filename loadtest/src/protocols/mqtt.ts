/** MQTT 3.1.1 at QoS 0, over TCP or WebSocket. The keep-alive interval is 0, so that no pings are needed. */
import { blankData } from '@fanfare/kit/stamp';
import { generate, type Packet, parser } from 'mqtt-packet';
import type { Events, OnPublication, Protocol, Transport } from './protocol.js';
import { takePublications } from './publications.js';

/** One id is enough, because confirmations are only counted. */
const messageId = 1;

/** In a SUBACK, in a topic's place. */
const refused = 0x80;

export function mqtt(transport: Transport): Protocol {
  return {
    transport,
    isBinary: true,
    subprotocol: 'mqtt',
    path: () => '/',
    // A clean session, for which the server chooses the client's name.
    hello: () => generate({ cmd: 'connect', protocolVersion: 4, clean: true, clientId: '', keepalive: 0 }),
    subscribe: (topics) => [
      generate({ cmd: 'subscribe', messageId, subscriptions: topics.map((topic) => ({ topic, qos: 0 })) }),
    ],
    // An UNSUBACK does not contain its number of topics.
    unsubscribe: (topics) =>
      topics.map((topic) => generate({ cmd: 'unsubscribe', messageId, unsubscriptions: [topic] })),
    publication(topic, publicationBytes) {
      const payload = blankData(publicationBytes);
      const message = generate({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain: false });
      return { message, stampAt: message.length - publicationBytes };
    },
    reader: (onPublication, events) => {
      const reading = parser();
      reading.on('packet', (packet: Packet) => take(packet, onPublication, events));
      reading.on('error', ({ message }: Error) => events.refused(message));
      // A copy: the bytes are the read buffer's.
      return (bytes, start, end) => void reading.parse(Buffer.from(bytes.subarray(start, end)));
    },
  };
}

function take(packet: Packet, onPublication: OnPublication, events: Events): void {
  switch (packet.cmd) {
    case 'publish': {
      const payload = packet.payload as Buffer;
      takePublications(payload, 0, payload.length, onPublication);
      return;
    }
    case 'connack':
      return packet.returnCode === 0 ? events.greeted() : events.refused(`CONNACK with code ${packet.returnCode}`);
    case 'suback':
      return packet.granted.includes(refused)
        ? events.refused('a subscription')
        : events.confirmed(packet.granted.length);
    case 'unsuback':
      return events.confirmed(1);
    default:
      return;
  }
}
