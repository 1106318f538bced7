/** `fanfare.v1.json`, read in place: the publications have a known size, so each must end where the next begins. */
import { endpointPath, jsonClientCodec, subprotocols } from '@fanfare/protocol';
import type { Message, PublicationSink, Wire } from './wire.js';

const head = new TextEncoder().encode('{"type":"publications"');
const itemHead = new TextEncoder().encode('{"data":"');
const quote = 0x22;
const openBracket = 0x5b;
const closeBrace = 0x7d;

export class JsonWire implements Wire {
  readonly isBinary = false;
  readonly subprotocol = subprotocols.json;
  /** From one item to the next: the data, its field around it, a comma. */
  readonly #strideBytes: number;

  constructor(publicationBytes: number) {
    this.#strideBytes = publicationBytes + '{"data":},'.length;
  }

  subscriberPath(): string {
    return endpointPath;
  }

  publisherPath(): string {
    return endpointPath;
  }

  subscribe(topic: string): Uint8Array {
    const command = { type: 'subscribe', id: 1, topic, since: null } as const;
    return new TextEncoder().encode(String(jsonClientCodec.encode(command)));
  }

  publish(topic: string, publicationBytes: number, count: number): Message {
    const data = 'x'.repeat(publicationBytes - 2);
    const command = jsonClientCodec.encode({ type: 'publish', id: null, topic, data, messageId: null });
    const text = String(jsonClientCodec.join(Array.from({ length: count }, () => command)));
    const stampsAt = [...text.matchAll(/"data":"/g)].map((match) => match.index + match[0].length);
    return { payload: new TextEncoder().encode(text), stampsAt };
  }

  forEachPublication(bytes: Uint8Array, start: number, end: number, sink: PublicationSink): boolean {
    if (!holds(bytes, start, head)) return false;
    let at = start;
    while (bytes[at] !== openBracket) if (++at === end) return false;
    // Of the last item, the bracket of the array takes the comma's place, and the message has one more brace.
    for (at++; at < end - 1; at += this.#strideBytes) {
      const next = at + this.#strideBytes;
      if (next > end - 1 || bytes[next - 2] !== closeBrace || bytes[next - 3] !== quote) return false;
      if (!holds(bytes, at, itemHead)) return false;
      sink(bytes, at + itemHead.length);
    }
    return true;
  }
}

function holds(bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  for (let index = 0; index < expected.length; index++) if (bytes[at + index] !== expected[index]) return false;
  return true;
}
