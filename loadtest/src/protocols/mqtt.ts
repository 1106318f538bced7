/**
 * MQTT 3.1.1 at QoS 0, over TCP or WebSocket: packets with a type in the first four bits, followed by a length. The keep-alive
 * interval is 0, so that no pings are needed.
 */
import { blankData } from '@fanfare/kit/stamp';
import type { Protocol, Transport } from './protocol.js';
import { takePublications } from './publications.js';
import { type Measure, readUnits } from './whole-units.js';

/** First bytes of packets: the type, and the flags that it must have. */
const packets = {
  connect: 0x10,
  connack: 0x20,
  publish: 0x30,
  subscribe: 0x82,
  suback: 0x90,
  unsubscribe: 0xa2,
  unsuback: 0xb0,
} as const;

/** In a SUBACK, in a topic's place. */
const refused = 0x80;

/** One id is enough, because confirmations are only counted. */
const packetId = Buffer.from([0, 1]);

export function mqtt(transport: Transport): Protocol {
  return {
    transport: () => transport,
    isBinary: true,
    subprotocol: 'mqtt',
    path: () => '/',
    // 4: MQTT 3.1.1. 2: a clean session, for which the server chooses the name of the client.
    hello: () => packet(packets.connect, word('MQTT'), Buffer.from([4, 2, 0, 0]), word('')),
    subscribe: (topics) => [
      packet(packets.subscribe, packetId, ...topics.map((topic) => Buffer.concat([word(topic), Buffer.from([0])]))),
    ],
    // An UNSUBACK does not contain its number of topics.
    unsubscribe: (topics) => topics.map((topic) => packet(packets.unsubscribe, packetId, word(topic))),
    publication(topic, publicationBytes) {
      const message = packet(packets.publish, word(topic), Buffer.from(blankData(publicationBytes)));
      return { message, stampAt: message.length - publicationBytes };
    },
    reader: (onPublication, events) =>
      readUnits(measure, (bytes, start, end) => {
        const type = (bytes[start] as number) & 0xf0;
        switch (type) {
          case packets.publish:
            return takePublications(bytes, start, end, onPublication);
          case packets.connack: {
            const code = bytes[end - 1] as number;
            return code === 0 ? events.greeted() : events.refused(`CONNACK with code ${code}`);
          }
          case packets.suback: {
            const codes = bytes.subarray(start + 1 + lengthBytes(bytes, start) + packetId.length, end);
            return codes.includes(refused) ? events.refused('a subscription') : events.confirmed(codes.length);
          }
          case packets.unsuback:
            return events.confirmed(1);
          default:
            return;
        }
      }),
  };
}

function packet(first: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat(parts);
  const head = [first];
  let rest = body.length;
  // Seven bits a byte, the lowest ones first; the eighth says that more follow.
  do {
    head.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>>= 7;
  } while (rest > 0);
  return Buffer.concat([Buffer.from(head), body]);
}

/** A text with its length in two bytes before it. */
function word(text: string): Uint8Array {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([bytes.length >>> 8, bytes.length & 0xff]), bytes]);
}

/** Bytes of the length, which follows the first byte of a packet. */
function lengthBytes(bytes: Uint8Array, start: number): number {
  let count = 1;
  while (((bytes[start + count] as number) & 0x80) !== 0) count++;
  return count;
}

const measure: Measure = (bytes, start, end) => {
  let length = 0;
  for (let at = start + 1, shift = 0; at < end; at++, shift += 7) {
    const byte = bytes[at] as number;
    length |= (byte & 0x7f) << shift;
    if ((byte & 0x80) === 0) return at + 1 - start + length;
  }
  return null;
};
