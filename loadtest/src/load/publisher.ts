/** Sends numbered, stamped publications on one connection, all publications of a turn in one write. */

import { writeStamp } from '@fanfare/kit/stamp';
import type { Protocol } from '../protocols/protocol.js';
import type { Connection } from './connection.js';

type Outlet = Pick<Connection, 'frame' | 'write' | 'isConnected'>;

interface Template {
  readonly bytes: Uint8Array;
  readonly stampAt: number;
}

export class Publisher {
  readonly #templates = new Map<string, Template>();
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
    const { bytes, stampAt } = this.#templateOf(topic);
    // A copy: the kernel may take the last write later than we write the next stamps.
    const message = bytes.slice();
    writeStamp(message, stampAt, stream, sequence, plannedUs);
    this.#waiting.push(message);
  }

  flush(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    this.connection.write(waiting.length === 1 ? (waiting[0] as Uint8Array) : Buffer.concat(waiting));
  }

  #templateOf(topic: string): Template {
    const known = this.#templates.get(topic);
    if (known !== undefined) return known;
    const { message, stampAt } = this.protocol.publication(topic, this.publicationBytes);
    // Joined ones are put into a frame together, the others each into its own.
    // A Uint8Array, whose `slice` copies: that of a Buffer shares its bytes.
    const bytes = new Uint8Array(this.connection.frame(message));
    const template = { bytes, stampAt: stampAt + bytes.length - message.length };
    this.#templates.set(topic, template);
    return template;
  }
}
