/** `fanfare.v1.msgpack`, read in place by its layout (PROTOCOL.md section 5.2). */
import { endpointPath, MsgpackClientCodec, pushTypes, subprotocols, Writer } from '@fanfare/protocol';
import type { Message, PublicationSink, Wire } from './wire.js';

const nil = 0xc0;
const marker = 'stamp';

/** A string with a header of 16 bits whatever its length, so that the value can have any size. */
const textHead = 0xda;
const textHeaderBytes = 3;

function encodeText(text: unknown): Uint8Array {
  const characters = String(text);
  const writer = new Writer();
  writer.byte(textHead);
  writer.byte(characters.length >>> 8);
  writer.byte(characters.length & 0xff);
  writer.ascii(characters);
  return writer.toBytes();
}

const codec = new MsgpackClientCodec({ encode: encodeText, decode: () => null });

export class MsgpackWire implements Wire {
  readonly isBinary = true;
  readonly subprotocol = subprotocols.msgpack;

  subscriberPath(): string {
    return endpointPath;
  }

  publisherPath(): string {
    return endpointPath;
  }

  subscribe(topic: string): Uint8Array {
    return codec.encode({ type: 'subscribe', id: 1, topic, since: null });
  }

  publish(topic: string, publicationBytes: number, count: number): Message {
    const data = marker.padEnd(publicationBytes - textHeaderBytes, 'x');
    const command = codec.encode({ type: 'publish', id: null, topic, data, messageId: null });
    const stampAt = Buffer.from(command).indexOf(marker);
    return {
      payload: codec.join(Array.from({ length: count }, () => command)),
      stampsAt: Array.from({ length: count }, (_, index) => index * command.length + stampAt),
    };
  }

  forEachPublication(bytes: Uint8Array, start: number, end: number, sink: PublicationSink): boolean {
    if (bytes[start] !== 0x95 || bytes[start + 1] !== pushTypes.publications) return false;
    let at = textEnd(bytes, start + 2);
    // The epoch and the offset of the first; null where the topic keeps no history.
    at = bytes[at] === nil ? at + 1 : textEnd(bytes, at);
    at += numberBytes(bytes[at] as number);
    const head = bytes[at++] as number;
    let count = head & 0x0f;
    if (head === 0xdc) {
      count = readUint16(bytes, at);
      at += 2;
    }
    for (let index = 0; index < count; index++) {
      const binHead = bytes[at] as number;
      if (binHead !== 0xc4 && binHead !== 0xc5) return false;
      const length = binHead === 0xc4 ? (bytes[at + 1] as number) : readUint16(bytes, at + 1);
      at += binHead === 0xc4 ? 2 : 3;
      if (at + length > end) return false;
      sink(bytes, at + textHeaderBytes);
      at += length;
    }
    return at === end;
  }
}

/** Where a text of at most 255 bytes ends. */
function textEnd(bytes: Uint8Array, at: number): number {
  const head = bytes[at] as number;
  return at + (head === 0xd9 ? 2 + (bytes[at + 1] as number) : 1 + (head & 0x1f));
}

/** How long an unsigned integer is that begins with this byte. Nil is as short as the smallest. */
function numberBytes(head: number): number {
  return head >= 0xcc && head <= 0xcf ? 1 + 2 ** (head - 0xcc) : 1;
}

function readUint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}
