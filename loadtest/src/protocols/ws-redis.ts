/** The protocol of ws-redis-server.ts: JSON in text messages. */
import { blankData, stampMark } from '@fanfare/kit/stamp';
import type { Protocol } from './protocol.js';
import { takePublications } from './publications.js';

export const wsRedis: Protocol = {
  transport: 'websocket',
  isBinary: false,
  subprotocol: null,
  path: () => '/',
  hello: () => null,
  subscribe: (topics) => [Buffer.from(JSON.stringify({ type: 'subscribe', topics }))],
  unsubscribe: (topics) => [Buffer.from(JSON.stringify({ type: 'unsubscribe', topics }))],
  publication(topic, publicationBytes) {
    const message = Buffer.from(JSON.stringify({ type: 'publish', topic, data: blankData(publicationBytes) }));
    return { message, stampAt: message.indexOf(stampMark) };
  },
  reader: (onPublication, events) => (bytes, start, end) => {
    if (takePublications(bytes, start, end, onPublication)) return;
    const answer = JSON.parse(Buffer.from(bytes.subarray(start, end)).toString()) as { readonly topics: number };
    events.confirmed(answer.topics);
  },
};
