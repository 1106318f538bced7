/**
 * Nchan: subscribers over WebSocket, each publication a POST. Nchan also takes publications over WebSocket, but such a
 * connection publishes only to the topics that its path names, each time to all of them.
 */
import { blankData } from '@fanfare/kit/stamp';
import type { Protocol } from './protocol.js';
import { takePublications } from './publications.js';

/** The maximum number of topics that `nchan_channel_id_split_delimiter` makes of a path. */
const maxTopics = 255;

/** The beginning of an answer to a refused publication: a client error or a server error. */
const failure = /^HTTP\/1\.1 ([45]\d\d [^\r]*)/m;

export const nchan: Protocol = {
  transport: (role) => (role === 'publisher' ? 'tcp' : 'websocket'),
  isBinary: false,
  subprotocol: null,
  path(_role, topics) {
    if (topics.length > maxTopics) {
      throw new Error(`A subscriber of Nchan may have up to ${maxTopics} topics, not ${topics.length}.`);
    }
    return `/subscribe/${topics.join(',')}`;
  },
  hello: () => null,
  subscribe: () => null,
  unsubscribe: () => null,
  publication(topic, publicationBytes) {
    const head = `POST /publish/${topic} HTTP/1.1\r\nHost: nchan\r\nContent-Length: ${publicationBytes}\r\n\r\n`;
    return { message: Buffer.from(head + blankData(publicationBytes)), stampAt: head.length };
  },
  // Requests one behind the other: pipelined.
  reader: (onPublication, events) => (bytes, start, end) => {
    takePublications(bytes, start, end, onPublication);
    // H, of the answers that a publisher gets.
    if (bytes[start] !== 0x48) return;
    const failed = failure.exec(Buffer.from(bytes.subarray(start, end)).toString('latin1'));
    if (failed !== null) events.refused(failed[1] as string);
  },
};
