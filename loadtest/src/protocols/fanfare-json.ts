/** `fanfare.v1.json` (PROTOCOL.md section 5.1). */

import { blankData, stampMark } from '@fanfare/kit/stamp';
import { endpointPath, jsonClientCodec, subprotocols } from '@fanfare/protocol';
import { readFanfareMessage } from './fanfare-message.js';
import type { Protocol } from './protocol.js';
import { takePublications } from './publications.js';

const utf8 = new TextEncoder();

export const fanfareJson: Protocol = {
  transport: 'websocket',
  isBinary: false,
  subprotocol: subprotocols.json,
  path: () => endpointPath,
  hello: () => null,
  subscribe: (topics) =>
    topics.map((topic, index) =>
      utf8.encode(String(jsonClientCodec.encode({ type: 'subscribe', id: index + 1, topic, since: null }))),
    ),
  unsubscribe: (topics) =>
    topics.map((topic, index) =>
      utf8.encode(String(jsonClientCodec.encode({ type: 'unsubscribe', id: index + 1, topic }))),
    ),
  publication(topic, publicationBytes) {
    // The quotes around it are part of the data.
    const data = blankData(publicationBytes - 2);
    const message = utf8.encode(
      String(jsonClientCodec.encode({ type: 'publish', id: null, topic, data, messageId: null })),
    );
    return { message, stampAt: Buffer.from(message).indexOf(stampMark) };
  },
  reader: (onPublication, events) => (bytes, start, end) => {
    if (takePublications(bytes, start, end, onPublication)) return;
    const message = jsonClientCodec.decode(Buffer.from(bytes.subarray(start, end)).toString());
    readFanfareMessage(message, events, () => onPublication(bytes, start));
  },
};
