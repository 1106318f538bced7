/** The command that publishes to one topic, encoded once. Each publication is a copy with its own number and time. */

import { blankData, stampBytes, stampMark, writeStamp } from '@fanfare/kit/stamp';
import { MsgpackClientCodec } from '@fanfare/protocol';

export interface PublishTemplateOptions {
  readonly topic: string;
  readonly publicationBytes: number;
  /** Whether it has an `id` (so that the node answers it) and a `messageId`. */
  readonly isAcknowledged: boolean;
}

/** The first id: from here on, all ids have the same length. */
const firstId = 0x1_0000;

/** Bytes of the header of a string, whatever its length: of 16 bits. */
const headBytes = 3;

const codec = new MsgpackClientCodec({
  encode: (data) => {
    const text = Buffer.from(`   ${String(data)}`);
    text[0] = 0xda;
    text.writeUInt16BE(text.length - 3, 1);
    return text;
  },
  decode: () => null,
});

export class PublishTemplate {
  readonly #bytes: Buffer;
  readonly #stampAt: number;
  /** -1: it has none. */
  readonly #idAt: number;
  readonly #messageIdAt: number;

  constructor({ topic, publicationBytes, isAcknowledged }: PublishTemplateOptions) {
    const data = blankData(publicationBytes - headBytes);
    const messageId = blankData(stampBytes);
    const marks = isAcknowledged ? { id: firstId, messageId } : { id: null, messageId: null };
    this.#bytes = Buffer.from(codec.encode({ type: 'publish', topic, data, ...marks }));
    this.#stampAt = this.#bytes.indexOf(stampMark);
    this.#messageIdAt = isAcknowledged ? this.#bytes.lastIndexOf(stampMark) : -1;
    // [type, id, …]: an array's head, the type, the head of an integer of 32 bits.
    this.#idAt = isAcknowledged ? 3 : -1;
    if (isAcknowledged && this.#bytes.readUInt32BE(this.#idAt) !== firstId) throw new Error('The id is elsewhere.');
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** Writes the command into `target[at]` and behind it. */
  write(target: Buffer, at: number, sequence: number, plannedUs: number): void {
    this.#bytes.copy(target, at);
    writeStamp(target, at + this.#stampAt, 0, sequence, plannedUs);
    if (this.#idAt < 0) return;
    target.writeUInt32BE(firstId + sequence, at + this.#idAt);
    writeStamp(target, at + this.#messageIdAt, 0, sequence, 0);
  }
}
