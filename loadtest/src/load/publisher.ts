/**
 * Sends numbered, stamped publications on one connection: all publications of a turn in one write, or each message
 * after the answer to the previous one.
 */

import type { Target } from '@fanfare/kit/broker-url';
import { writeStamp } from '@fanfare/kit/stamp';
import type { Protocol, PublicationTemplate } from '../protocols/protocol.js';
import type { Connection } from './connection.js';

type Outlet = Pick<Connection, 'frame' | 'write' | 'isConnected'>;

interface PublisherOptions {
  readonly protocol: Protocol;
  readonly target: Target;
  readonly publicationBytes: number;
  /** The publication with this schedule was answered. Only for protocols that answer in turn. */
  readonly onAnswered?: (plannedUs: number) => void;
}

/** The limits of one message: those of a batch (PROTOCOL.md), with room for its head. */
const maxPublications = 1_000;
const maxBytes = 1_000_000;

/** Makes the messageIds of one load differ from those of another, in seconds since 1970. */
const startSeconds = Math.floor(Date.now() / 1_000);

export class Publisher {
  readonly #templates = new Map<string, PublicationTemplate>();
  #waiting: Uint8Array[] = [];
  #plannedUs: number[] = [];
  /** The first of the waiting ones that was not sent. */
  #at = 0;
  /** The publications of the message that waits for its answer. */
  #unanswered = 0;

  constructor(
    private readonly connection: Outlet,
    private readonly options: PublisherOptions,
  ) {}

  get isConnected(): boolean {
    return this.connection.isConnected;
  }

  add(topic: string, stream: number, sequence: number, plannedUs: number): void {
    const { message, stampAt, messageIdAt } = this.#templateOf(topic);
    // A copy: the kernel may take the last write later than we write the next stamps.
    const bytes = message.slice();
    writeStamp(bytes, stampAt, stream, sequence, plannedUs);
    // The count is last, as in the messageIds of the typed client: Redis stores such ids in little space.
    if (messageIdAt !== undefined) writeStamp(bytes, messageIdAt, stream, startSeconds, sequence);
    this.#waiting.push(bytes);
    if (this.options.protocol.isInTurn) this.#plannedUs.push(plannedUs);
  }

  flush(): void {
    const { isJoined, isInTurn } = this.options.protocol;
    if (this.#at === this.#waiting.length || this.#unanswered > 0) return;
    const count = isInTurn ? this.#fitting(isJoined ? maxPublications : 1) : this.#waiting.length;
    const sent = this.#waiting.slice(this.#at, this.#at + count);
    const bytes = count === 1 ? (sent[0] as Uint8Array) : Buffer.concat(sent);
    if (isInTurn) this.#unanswered = count;
    this.#at += count;
    if (!isInTurn) this.#forget();
    this.connection.write(isJoined ? this.connection.frame(bytes) : bytes);
  }

  /** Answers have arrived. Returns the number of publications that they acknowledge. */
  answered(answers: number): number {
    if (!this.options.protocol.isInTurn) return answers;
    const count = this.#unanswered;
    for (let index = this.#at - count; index < this.#at; index++) {
      this.options.onAnswered?.(this.#plannedUs[index] as number);
    }
    this.#unanswered = 0;
    if (this.#at === this.#waiting.length) this.#forget();
    this.flush();
    return count;
  }

  #forget(): void {
    this.#waiting = [];
    this.#plannedUs = [];
    this.#at = 0;
  }

  /** The number of waiting publications that one message may have. */
  #fitting(most: number): number {
    let bytes = 0;
    let count = 0;
    for (let index = this.#at; index < this.#waiting.length && count < most; index++, count++) {
      bytes += (this.#waiting[index] as Uint8Array).length;
      if (bytes > maxBytes && count > 0) break;
    }
    return count;
  }

  #templateOf(topic: string): PublicationTemplate {
    const known = this.#templates.get(topic);
    if (known !== undefined) return known;
    const { protocol, target, publicationBytes } = this.options;
    const { message, stampAt, ...rest } = protocol.publication(topic, publicationBytes, target);
    // Joined ones are put into a frame together, the others each into its own.
    const framed = protocol.isJoined ? message : this.connection.frame(message);
    // A Uint8Array, whose `slice` copies: that of a Buffer shares its bytes.
    const template = { message: new Uint8Array(framed), stampAt: stampAt + framed.length - message.length, ...rest };
    this.#templates.set(topic, template);
    return template;
  }
}
