/** Subscribers over HTTP that ask again and again, and whose requests are held until there is something new. */
import { explainRefusal, readAnswers, requestHead } from './http-answers.js';
import type { Place, Protocol } from './protocol.js';
import { takePublications } from './publications.js';

/** The longest that a Fanfare node holds a request. */
const waitSeconds = 55;

interface Polling {
  /** The first request. */
  first(place: Place): string;
  /** The next one, after an answer with this head. */
  next(head: string, place: Place): string;
  /** Whether the first request is held like the others, so that no answer shows that it arrived. */
  readonly isHeldAtOnce: boolean;
}

function longPoll({ first, next, isHeldAtOnce }: Polling): Protocol {
  return {
    transport: 'tcp',
    isBinary: false,
    subprotocol: null,
    ...(isHeldAtOnce ? { isUnanswered: true } : {}),
    path: () => '',
    hello: (place) => Buffer.from(first(place), 'latin1'),
    subscribe: () => null,
    unsubscribe: () => null,
    publication: () => {
      throw new Error('Nothing can be published by a long poll.');
    },
    reader: (onPublication, events, place) =>
      readAnswers(({ status, head }, bytes, start, end) => {
        if (status !== 200 && status !== 204) {
          return events.refused(explainRefusal(head, Buffer.from(bytes.subarray(start, end)).toString()));
        }
        takePublications(bytes, start, end, onPublication);
        events.reply(Buffer.from(next(head, place), 'latin1'));
        events.greeted();
      }),
  };
}

function headerOf(head: string, name: string): string {
  return new RegExp(`\\r\\n${name}: *([^\\r]*)`, 'i').exec(head)?.[1] ?? '';
}

function publicationsPath({ topics }: Place): string {
  const [topic = '', ...others] = topics;
  if (others.length > 0) throw new Error(`A long poll has one topic, not ${topics.length}.`);
  return `/v1/topics/${encodeURIComponent(topic)}/publications`;
}

/** The first answer comes at once and has the position to wait at. */
export const fanfareLongPoll = longPoll({
  isHeldAtOnce: false,
  first: (place) => requestHead('GET', `${publicationsPath(place)}?since=now`, place.target),
  next: (head, place) => {
    const since = encodeURIComponent(headerOf(head, 'Fanfare-Position'));
    const query = `since=${since}&limit=1000&wait=${waitSeconds}`;
    return requestHead('GET', `${publicationsPath(place)}?${query}`, place.target);
  },
});

/** The headers of an answer say which message it was. */
export const nchanLongPoll = longPoll({
  isHeldAtOnce: true,
  first: ({ topics, target }) => requestHead('GET', `/subscribe/${topics.join(',')}`, target),
  next: (head, { topics, target }) =>
    requestHead('GET', `/subscribe/${topics.join(',')}`, target, {
      'If-Modified-Since': headerOf(head, 'Last-Modified'),
      'If-None-Match': headerOf(head, 'Etag'),
    }),
});
