/** Sends numbered, stamped publications on one connection, all publications of a turn in one write. */

import { writeStamp } from '@fanfare/kit/stamp';
import type { Protocol, PublicationTemplate } from '../protocols/protocol.js';
import type { Connection } from './connection.js';

type Outlet = Pick<Connection, 'frame' | 'write' | 'isConnected'>;

export class Publisher {
  readonly #templates = new Map<string, PublicationTemplate>();
  #waiting: Uint8Array[] = [];

  constructor(
    private readonly connection: Outlet,
    private readonly protocol: Protocol,
    private readonly publicationBytes: number,
  ) {}

  get isConnected(): boolean {
    return this.connection.isConnected;
  }

  add(topic: string, stream: number, sequence: number, plannedUs: number): void {
    const { message, stampAt, messageIdAt } = this.#templateOf(topic);
    // A copy: the kernel may take the last write later than we write the next stamps.
    const bytes = message.slice();
    writeStamp(bytes, stampAt, stream, sequence, plannedUs);
    if (messageIdAt !== undefined) writeStamp(bytes, messageIdAt, stream, sequence, plannedUs);
    this.#waiting.push(bytes);
  }

  flush(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    const bytes = waiting.length === 1 ? (waiting[0] as Uint8Array) : Buffer.concat(waiting);
    this.connection.write(this.protocol.isJoined ? this.connection.frame(bytes) : bytes);
  }

  #templateOf(topic: string): PublicationTemplate {
    const known = this.#templates.get(topic);
    if (known !== undefined) return known;
    const { message, stampAt, ...rest } = this.protocol.publication(topic, this.publicationBytes);
    // Joined ones are put into a frame together, the others each into its own.
    const framed = this.protocol.isJoined ? message : this.connection.frame(message);
    // A Uint8Array, whose `slice` copies: that of a Buffer shares its bytes.
    const template = { message: new Uint8Array(framed), stampAt: stampAt + framed.length - message.length, ...rest };
    this.#templates.set(topic, template);
    return template;
  }
}
