/**
 * Nchan: subscribers over WebSocket, event streams or long polls, each publication a POST. Nchan also takes publications
 * over WebSocket, but such a connection publishes only to the topics that its path names, each time to all of them.
 */
import { blankData } from '@fanfare/kit/stamp';
import { eventStream } from './event-stream.js';
import { httpPublisher } from './fanfare-http.js';
import { nchanLongPoll } from './long-poll.js';
import type { Protocol, Protocols } from './protocol.js';
import { takePublications } from './publications.js';

/** The maximum number of topics that `nchan_channel_id_split_delimiter` makes of a path. */
const maxTopics = 255;

/** The beginning of an answer to a refused publication: a client error or a server error. */
const failure = /^HTTP\/1\.1 ([45]\d\d [^\r]*)/m;

function subscriberPath(topics: readonly string[]): string {
  if (topics.length > maxTopics) {
    throw new Error(`A subscriber of Nchan may have up to ${maxTopics} topics, not ${topics.length}.`);
  }
  return `/subscribe/${topics.join(',')}`;
}

const publication: Protocol['publication'] = (topic, publicationBytes) => {
  const head = `POST /publish/${topic} HTTP/1.1\r\nHost: nchan\r\nContent-Length: ${publicationBytes}\r\n\r\n`;
  return { message: Buffer.from(head + blankData(publicationBytes)), stampAt: head.length };
};

const subscriber: Protocol = {
  transport: 'websocket',
  isBinary: false,
  subprotocol: null,
  path: subscriberPath,
  hello: () => null,
  subscribe: () => null,
  unsubscribe: () => null,
  publication,
  reader: (onPublication) => (bytes, start, end) => void takePublications(bytes, start, end, onPublication),
};

/** Requests one behind the other: pipelined. */
const pipelined: Protocol = {
  ...subscriber,
  transport: 'tcp',
  reader: (_, events) => (bytes, start, end) => {
    const failed = failure.exec(Buffer.from(bytes.subarray(start, end)).toString('latin1'));
    if (failed !== null) events.refused(failed[1] as string);
  },
};

const inTurn: Protocol = { ...httpPublisher, publication };

export const nchan: Protocols = { subscriber, publisher: pipelined };
export const nchanHttp: Protocols = { subscriber, publisher: inTurn };
export const nchanEvents: Protocols = { subscriber: eventStream(subscriberPath), publisher: inTurn };
export const nchanPolls: Protocols = { subscriber: nchanLongPoll, publisher: inTurn };
