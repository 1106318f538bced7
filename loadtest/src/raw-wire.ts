/** The raw server's wire: the path says what a socket is for, and messages are publications and nothing else. */
import { stampBytes } from './stamp.js';
import type { Message, PublicationSink, Wire } from './wire.js';

export class RawWire implements Wire {
  readonly isBinary = true;
  readonly subprotocol = null;
  readonly #publicationBytes: number;

  constructor(publicationBytes: number) {
    this.#publicationBytes = publicationBytes;
  }

  subscriberPath(topic: string): string {
    return `/subscribe/${topic}`;
  }

  publisherPath(topic: string): string {
    return `/publish/${topic}`;
  }

  subscribe(): null {
    return null;
  }

  publish(_topic: string, publicationBytes: number, count: number): Message {
    const payload = new Uint8Array(publicationBytes * count).fill(0x78);
    return { payload, stampsAt: Array.from({ length: count }, (_, index) => index * publicationBytes) };
  }

  forEachPublication(bytes: Uint8Array, start: number, end: number, sink: PublicationSink): boolean {
    if (end - start < stampBytes || (end - start) % this.#publicationBytes !== 0) return false;
    for (let at = start; at < end; at += this.#publicationBytes) sink(bytes, at);
    return true;
  }
}
