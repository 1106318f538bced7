/**
 * The protocol of the raw server (raw-server.ts): the path has the topics of a socket, and a published message begins
 * with its topic.
 */
import { blankData } from '@fanfare/kit/stamp';
import type { Protocol } from './protocol.js';
import { takePublications } from './publications.js';

export const raw: Protocol = {
  transport: () => 'websocket',
  isBinary: true,
  subprotocol: null,
  path: (role, topics) => (role === 'publisher' ? '/publish' : `/subscribe/${topics.join(',')}`),
  hello: () => null,
  subscribe: () => null,
  unsubscribe: () => null,
  publication(topic, publicationBytes) {
    const head = Buffer.from([topic.length, ...Buffer.from(topic)]);
    return { message: Buffer.concat([head, Buffer.from(blankData(publicationBytes))]), stampAt: head.length };
  },
  reader: (onPublication) => (bytes, start, end) => void takePublications(bytes, start, end, onPublication),
};
