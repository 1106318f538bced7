/** `fanfare.v1.msgpack` (PROTOCOL.md section 5.2). */

import { blankData, stampBytes, stampMark } from '@fanfare/kit/stamp';
import { endpointPath, MsgpackClientCodec, subprotocols, Writer } from '@fanfare/protocol';
import { readFanfareMessage } from './fanfare-message.js';
import type { Protocol } from './protocol.js';
import { takePublications } from './publications.js';

/** Data is text. */
const codec = new MsgpackClientCodec({
  encode(data) {
    const text = Buffer.from(String(data));
    const writer = new Writer();
    // A string of up to 4 GiB, so that the length of the header is fixed.
    writer.byte(0xdb);
    for (const shift of [24, 16, 8, 0]) writer.byte((text.length >>> shift) & 0xff);
    writer.copy(text);
    return writer.toBytes();
  },
  decode: () => null,
});

/** Without acknowledgement, and each publication in a frame of its own. */
export const fanfareMsgpack: Protocol = {
  transport: 'websocket',
  isBinary: true,
  subprotocol: subprotocols.msgpack,
  path: () => endpointPath,
  hello: () => null,
  subscribe: (topics) => [
    codec.join(topics.map((topic, index) => codec.encode({ type: 'subscribe', id: index + 1, topic, since: null }))),
  ],
  unsubscribe: (topics) => [
    codec.join(topics.map((topic, index) => codec.encode({ type: 'unsubscribe', id: index + 1, topic }))),
  ],
  publication(topic, publicationBytes) {
    const data = blankData(publicationBytes);
    const message = codec.encode({ type: 'publish', id: null, topic, data, messageId: null }).slice();
    return { message, stampAt: Buffer.from(message).indexOf(stampMark) };
  },
  reader: (onPublication, events) => (bytes, start, end) => {
    if (takePublications(bytes, start, end, onPublication)) return;
    const message = codec.decode(bytes.slice(start, end).buffer as ArrayBuffer);
    readFanfareMessage(message, events, () => onPublication(bytes, start));
  },
};

/** As a publisher sends a batch: its commands share a frame. */
export const fanfareBatched: Protocol = { ...fanfareMsgpack, isJoined: true };

export const fanfareAcknowledged: Protocol = {
  ...fanfareBatched,
  isAcknowledged: true,
  publication(topic, publicationBytes) {
    const data = blankData(publicationBytes);
    // One id is enough, because answers are only counted.
    const command = { type: 'publish', id: 1, topic, data, messageId: blankData(stampBytes) } as const;
    const message = Buffer.from(codec.encode(command).slice());
    return { message, stampAt: message.indexOf(stampMark), messageIdAt: message.lastIndexOf(stampMark) };
  },
};
