/**
 * The protocol of the raw server (raw-server.ts): the path has the topics of a socket, and a published message begins
 * with its topic.
 */
import { blankData } from '@fanfare/kit/stamp';
import type { Protocol, Protocols } from './protocol.js';
import { takePublications } from './publications.js';

const common: Omit<Protocol, 'path'> = {
  transport: 'websocket',
  isBinary: true,
  subprotocol: null,
  hello: () => null,
  subscribe: () => null,
  unsubscribe: () => null,
  publication(topic, publicationBytes) {
    const head = Buffer.from([topic.length, ...Buffer.from(topic)]);
    return { message: Buffer.concat([head, Buffer.from(blankData(publicationBytes))]), stampAt: head.length };
  },
  reader: (onPublication) => (bytes, start, end) => void takePublications(bytes, start, end, onPublication),
};

export const raw: Protocols = {
  subscriber: { ...common, path: (topics) => `/subscribe/${topics.join(',')}` },
  publisher: { ...common, path: () => '/publish' },
};
