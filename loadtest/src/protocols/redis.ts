/** Plain Redis pub/sub over TCP, for `levels`: RESP, written and read by hand, because a client library costs more. */
import { blankData } from '@fanfare/kit/stamp';
import type { Protocol } from './protocol.js';
import { takePublications } from './publications.js';
import { type Measure, readUnits } from './whole-units.js';

const lineFeed = 0x0a;
const [array, bulk, integer, error] = [0x2a, 0x24, 0x3a, 0x2d];

export const redis: Protocol = {
  transport: 'tcp',
  isBinary: true,
  subprotocol: null,
  path: () => '',
  hello: () => null,
  subscribe: (topics) => [command('SUBSCRIBE', ...topics)],
  unsubscribe: (topics) => [command('UNSUBSCRIBE', ...topics)],
  publication(topic, publicationBytes) {
    const message = command('PUBLISH', topic, blankData(publicationBytes));
    return { message, stampAt: message.length - 2 - publicationBytes };
  },
  reader: (onPublication, events) =>
    readUnits(measure, (bytes, start, end) => {
      switch (bytes[start]) {
        case array:
          if (!takePublications(bytes, start, end, onPublication)) events.confirmed(1);
          return;
        case integer:
          return events.acknowledged(1);
        case error:
          return events.refused(Buffer.from(bytes.subarray(start, end)).toString().trim());
        default:
          return;
      }
    }),
};

function command(...args: readonly string[]): Uint8Array {
  return Buffer.from(`*${args.length}\r\n${args.map((arg) => `$${arg.length}\r\n${arg}\r\n`).join('')}`, 'latin1');
}

/** A line, or an array of texts and numbers. */
const measure: Measure = (bytes, start, end) => {
  let at = start;
  for (let left = 1; left > 0; left--) {
    const feed = bytes.indexOf(lineFeed, at);
    if (feed < 0 || feed >= end) return null;
    const type = bytes[at];
    const size = type === array || type === bulk ? readNumber(bytes, at + 1) : 0;
    at = feed + 1;
    if (type === array) left += size;
    else if (type === bulk) at += size + 2;
  }
  return at - start;
};

/** The digits that begin there. */
function readNumber(bytes: Uint8Array, from: number): number {
  let number = 0;
  for (let at = from; ; at++) {
    const digit = (bytes[at] as number) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return number;
    number = number * 10 + digit;
  }
}
