/**
 * The NATS client protocol: lines of text, those with a payload followed by it. Over WebSocket it is a stream in binary
 * messages, that begin and end anywhere. SUB and UNSUB are not answered, so a PING follows each: its PONG confirms
 * them.
 */
import { blankData } from '@fanfare/kit/stamp';
import type { Protocol } from './protocol.js';
import { takePublications } from './publications.js';
import { type Measure, readUnits } from './whole-units.js';

const lineEnd = '\r\n';
const lineFeed = 0x0a;

export const nats: Protocol = {
  transport: 'websocket',
  isBinary: true,
  subprotocol: null,
  path: () => '/',
  hello: () =>
    Buffer.from(
      `CONNECT {"verbose":false,"pedantic":false,"lang":"fanfare-loadtest","protocol":1}${lineEnd}PING${lineEnd}`,
    ),
  // A subscription's number may be any word: the topic is one.
  subscribe: (topics) => [Buffer.from(topics.map((topic) => `SUB ${topic} ${topic}${lineEnd}PING${lineEnd}`).join(''))],
  unsubscribe: (topics) => [Buffer.from(topics.map((topic) => `UNSUB ${topic}${lineEnd}PING${lineEnd}`).join(''))],
  publication(topic, publicationBytes) {
    const head = `PUB ${topic} ${publicationBytes}${lineEnd}`;
    return { message: Buffer.from(`${head}${blankData(publicationBytes)}${lineEnd}`), stampAt: head.length };
  },
  reader(onPublication, events) {
    let isGreeted = false;
    return readUnits(measure, (bytes, start, end) => {
      const head = String.fromCharCode(bytes[start] as number, bytes[start + 1] as number);
      switch (head) {
        case 'MS': // MSG
          takePublications(bytes, start, end, onPublication);
          return;
        case 'PO': // PONG
          if (isGreeted) events.confirmed(1);
          else events.greeted();
          isGreeted = true;
          return;
        case 'PI': // PING
          events.reply(Buffer.from(`PONG${lineEnd}`));
          return;
        case '-E': // -ERR
          events.refused(Buffer.from(bytes.subarray(start, end)).toString().trim());
          return;
        default:
          // INFO, +OK.
          return;
      }
    });
  },
};

const measure: Measure = (bytes, start, end) => {
  const feed = bytes.indexOf(lineFeed, start);
  if (feed < 0 || feed >= end) return null;
  const lineLength = feed + 1 - start;
  if (bytes[start] !== 0x4d /* M, of MSG */) return lineLength;
  // MSG <topic> <subscription> <bytes>: the payload follows, and a line end behind it.
  const line = Buffer.from(bytes.buffer, bytes.byteOffset + start, lineLength).toString('latin1');
  return lineLength + Number(line.slice(line.lastIndexOf(' '))) + lineEnd.length;
};
