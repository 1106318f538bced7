/**
 * The process of a plain publisher or a plain subscriber, with one connection to Redis. It writes and reads RESP by hand, and allocates
 * only what it must. A client library costs more.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { blankData, nowUs, writeStamp } from '@fanfare/kit/stamp';
import { serve } from '@fanfare/kit/worker';
import { Arrivals } from './arrivals.js';
import { type Pace, pace } from './pace.js';
import type { PeerCommands } from './plain-path.js';
import { type Traffic, topicNames } from './publish-path.js';

/** `onBytes` must not keep the bytes. */
async function open(port: number, onBytes: (bytes: Buffer) => void): Promise<Socket> {
  const buffer = Buffer.alloc(65_536);
  const callback = (length: number): boolean => {
    onBytes(buffer.subarray(0, length));
    return true;
  };
  const socket = connect({ host: '127.0.0.1', port, noDelay: true, onread: { buffer, callback } });
  await once(socket, 'connect');
  return socket;
}

class Publisher {
  /** The command for each topic. */
  readonly #commands: readonly Buffer[];
  #sent = 0;

  static async open(port: number, traffic: Traffic): Promise<Publisher> {
    // Errors among the answers are not checked: a refused publication does not arrive, and the subscriber checks that.
    return new Publisher(await open(port, () => {}), traffic);
  }

  private constructor(
    private readonly socket: Socket,
    private readonly traffic: Traffic,
  ) {
    const data = blankData(traffic.publicationBytes);
    this.#commands = topicNames(traffic).map((topic) => encode(['PUBLISH', topic, data]));
  }

  async publish({ schedule, isSilent }: PeerCommands['publish'][0]): Promise<Pace> {
    return await pace(schedule, isSilent ? () => {} : () => this.#publish());
  }

  #publish(): void {
    const { burst, publicationBytes } = this.traffic;
    const commands: Buffer[] = [];
    for (let index = 0; index < burst; index++) {
      const command = this.#commands[(this.#sent + index) % this.#commands.length];
      if (command !== undefined) commands.push(command);
    }
    // Copy even a single command: the kernel may take the last write later than we write the next stamps.
    const bytes = Buffer.concat(commands);
    const plannedUs = nowUs();
    let end = 0;
    for (const { length } of commands) {
      end += length;
      writeStamp(bytes, end - 2 - publicationBytes, 0, this.#sent++, plannedUs);
    }
    this.socket.write(bytes);
  }
}

class Subscriber {
  readonly #arrivals: Arrivals;
  readonly #publicationBytes: number;
  #rest = Buffer.alloc(0);
  /** Topics that Redis has not confirmed yet. */
  #unconfirmed: number;
  #onConfirmed = (): void => {};

  static async open(port: number, traffic: Traffic): Promise<Subscriber> {
    const subscriber = new Subscriber(traffic);
    const socket = await open(port, (bytes) => subscriber.#read(bytes));
    const confirmed = new Promise<void>((resolve) => {
      subscriber.#onConfirmed = resolve;
    });
    socket.write(encode(['SUBSCRIBE', ...topicNames(traffic)]));
    await confirmed;
    return subscriber;
  }

  private constructor({ topics, publicationBytes }: Traffic) {
    this.#arrivals = new Arrivals(topics);
    this.#publicationBytes = publicationBytes;
    this.#unconfirmed = topics;
  }

  count(sent: number): PeerCommands['count'][1] {
    const { inOrder, wrong } = this.#arrivals;
    return { received: inOrder + wrong, complaint: this.#arrivals.problem(sent) };
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const end = this.#unconfirmed > 0 ? this.#readConfirmations(bytes) : this.#readMessages(bytes);
    // A copy: the next read goes into the same buffer.
    this.#rest = end === bytes.length ? Buffer.alloc(0) : Buffer.from(bytes.subarray(end));
  }

  #readConfirmations(bytes: Buffer): number {
    let end = 0;
    while (this.#unconfirmed > 0) {
      let at = end;
      for (let line = 0; line < confirmationLines; line++) {
        at = bytes.indexOf(lineEnd, at) + 1;
        if (at === 0) return end;
      }
      end = at;
      if (--this.#unconfirmed === 0) this.#onConfirmed();
    }
    return end;
  }

  /** Reads `*3 $7 message $<n> <topic> $<n> <data>`, each followed by CR and LF. Returns the start of the first incomplete message. */
  #readMessages(bytes: Buffer): number {
    let at = 0;
    while (true) {
      const topicAt = bytes.indexOf(lineEnd, at + messageHeadBytes) + 1;
      if (topicAt === 0) return at;
      const dataLengthAt = topicAt + readLength(bytes, at + messageHeadBytes + 1) + 2;
      const dataAt = bytes.indexOf(lineEnd, dataLengthAt) + 1;
      const end = dataAt + this.#publicationBytes + 2;
      if (dataAt === 0 || end > bytes.length) return at;
      if (readLength(bytes, dataLengthAt + 1) !== this.#publicationBytes) throw new Error('This is not a publication.');
      this.#arrivals.record(bytes, dataAt);
      at = end;
    }
  }
}

const lineEnd = 0x0a;
/** `*3 $9 subscribe $<n> <topic> :<n>` */
const confirmationLines = 6;
const messageHeadBytes = '*3\r\n$7\r\nmessage\r\n'.length;

/** The digits that begin there. */
function readLength(bytes: Buffer, from: number): number {
  let length = 0;
  for (let at = from; bytes[at] !== undefined && bytes[at] !== 0x0d; at++) {
    length = length * 10 + ((bytes[at] ?? 0) - 0x30);
  }
  return length;
}

function encode(args: readonly string[]): Buffer {
  return Buffer.from(`*${args.length}\r\n${args.map((arg) => `$${arg.length}\r\n${arg}\r\n`).join('')}`, 'latin1');
}

let publisher: Publisher | null = null;
let subscriber: Subscriber | null = null;

serve<PeerCommands>({
  connect: async ({ role, port, traffic }) => {
    if (role === 'publisher') publisher = await Publisher.open(port, traffic);
    else subscriber = await Subscriber.open(port, traffic);
    return null;
  },
  publish: async (command) => {
    if (publisher === null) throw new Error('This peer is not a publisher.');
    return await publisher.publish(command);
  },
  count: (sent) => {
    if (subscriber === null) throw new Error('This peer is not a subscriber.');
    return subscriber.count(sent);
  },
});
