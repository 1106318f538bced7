/** Sends numbered, stamped publications: built once, stamped and sent with one write. */
import { buildFrame, opcodes } from './frame-walker.js';
import { writeStamp } from './stamp.js';
import type { WebSocket } from './web-socket.js';
import type { Wire } from './wire.js';

/** How a burst leaves the publisher: as WebSocket frames in one write, or in one frame. */
export type Packing = 'frames' | 'oneFrame';

export interface PublisherOptions {
  readonly topic: string;
  readonly publicationBytes: number;
  /** Publications of one `publish`. */
  readonly burst: number;
  readonly packing: Packing;
}

export class Publisher {
  readonly #socket: WebSocket;
  readonly #template: Uint8Array;
  readonly #stampsAt: readonly number[];

  constructor(socket: WebSocket, wire: Wire, { topic, publicationBytes, burst, packing }: PublisherOptions) {
    const perMessage = packing === 'frames' ? 1 : burst;
    const { payload, stampsAt } = wire.publish(topic, publicationBytes, perMessage);
    const frame = buildFrame(payload, wire.isBinary ? opcodes.binary : opcodes.text);
    const payloadAt = frame.length - payload.length;
    const frames = burst / perMessage;
    this.#socket = socket;
    this.#template = Buffer.concat(Array.from({ length: frames }, () => frame));
    this.#stampsAt = Array.from({ length: frames }, (_, index) =>
      stampsAt.map((at) => index * frame.length + payloadAt + at),
    ).flat();
  }

  /** Publishes the burst, numbered from `sequence`. */
  publish(sequence: number, plannedUs: number): void {
    // A copy: the kernel may take the last write later than we write the next stamps.
    const bytes = this.#template.slice();
    for (let index = 0; index < this.#stampsAt.length; index++) {
      writeStamp(bytes, this.#stampsAt[index] as number, sequence + index, plannedUs);
    }
    this.#socket.write(bytes);
  }
}
