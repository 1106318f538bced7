/** Subscribers over HTTP that only listen: server-sent events, of Fanfare and of Nchan. */
import { explainRefusal, requestHead, statusOf } from './http-answers.js';
import type { Protocol, Reader } from './protocol.js';
import { takePublications } from './publications.js';

const lineFeed = 0x0a;
const headEnd = '\r\n\r\n';

/** The end of a chunked body. */
const lastChunk = Buffer.from('0\r\n\r\n');

/** A Fanfare node takes this many topics in one stream. */
const maxTopics = 32;

/** `pathOf`: the path of a stream of these topics. */
export function eventStream(pathOf: (topics: readonly string[]) => string): Protocol {
  return {
    transport: 'tcp',
    isBinary: false,
    subprotocol: null,
    path: () => '',
    hello: ({ target, topics }) =>
      Buffer.from(requestHead('GET', pathOf(topics), target, { Accept: 'text/event-stream' }), 'latin1'),
    // The stream itself is the subscription.
    subscribe: () => null,
    unsubscribe: () => null,
    publication: () => {
      throw new Error('Nothing can be published on an event stream.');
    },
    reader: (onPublication, events) => {
      /** Until the head has arrived: what there is of it. */
      let head: Buffer | null = Buffer.alloc(0);
      const readLines = wholeLines((bytes, start, end) => void takePublications(bytes, start, end, onPublication));
      return (bytes, start, end) => {
        if (head === null) {
          if (isLastChunk(bytes, start, end)) return events.refused('it ended the stream');
          return readLines(bytes, start, end);
        }
        head = Buffer.concat([head, bytes.subarray(start, end)]);
        const headBytes = head.indexOf(headEnd);
        if (headBytes < 0) return;
        const rest = head.subarray(headBytes + headEnd.length);
        const text = head.toString('latin1', 0, headBytes);
        const isStream = statusOf(text) === 200 && /\r\ncontent-type: *text\/event-stream/i.test(text);
        head = null;
        // A node that has no room answers 200, because browsers would never return otherwise.
        if (!isStream || rest.includes('\nevent: unavailable')) {
          return events.refused(explainRefusal(text, rest.toString()));
        }
        events.greeted();
        // A copy that is no Buffer, as for a WebSocket.
        if (rest.length > 0) readLines(new Uint8Array(rest), 0, rest.length);
      };
    },
  };
}

/** The chunk that ends a body is in the last write of a stream. */
function isLastChunk(bytes: Uint8Array, start: number, end: number): boolean {
  const from = end - lastChunk.length;
  return (
    from >= start && lastChunk.every((byte, index) => bytes[from + index] === byte) && isLineStart(bytes, start, from)
  );
}

function isLineStart(bytes: Uint8Array, start: number, at: number): boolean {
  return at === start || bytes[at - 1] === lineFeed;
}

/** Lines that arrived whole, many at once: a publication is in one line, which TCP may split anywhere. */
function wholeLines(take: Reader): Reader {
  let rest: Uint8Array | null = null;
  return (chunk, chunkStart, chunkEnd) => {
    let [bytes, start, end] = [chunk, chunkStart, chunkEnd];
    if (rest !== null) {
      bytes = Buffer.concat([rest, chunk.subarray(chunkStart, chunkEnd)]);
      [start, end] = [0, bytes.length];
      rest = null;
    }
    const feed = bytes.lastIndexOf(lineFeed, end - 1);
    const whole = feed < start ? start : feed + 1;
    if (whole > start) take(bytes, start, whole);
    // A copy: the bytes are the read buffer's.
    if (whole < end) rest = new Uint8Array(bytes.subarray(whole, end));
  };
}

export const fanfareEvents = eventStream((topics) => {
  if (topics.length > maxTopics) {
    throw new Error(`An event stream may have up to ${maxTopics} topics, not ${topics.length}.`);
  }
  return `/v1/events?${topics.map((topic) => `topic=${encodeURIComponent(topic)}`).join('&')}`;
});
