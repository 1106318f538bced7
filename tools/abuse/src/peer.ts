/** One connection of an attacker, on a bare socket: sends any bytes, and records the answers of the node. */
import { connect, type Socket } from 'node:net';
import { buildFrame, type FrameOptions, FrameWalker, opcodes } from '@fanfare/kit/frames';
import type { Outcome } from './outcome.js';

export interface DialOptions {
  /** Lines of the request's head, without the last empty one. */
  readonly head?: readonly string[];
  /** The attacker's own address, 127.0.x.y. */
  readonly from?: string;
}

const pushes = new Set(['publications', 'gap', 'reset', 'goaway']);

/** How many bytes of a message are looked at. */
const lookedAtBytes = 200;

export class Peer {
  /** Resolves once the socket is closed. Never rejects. */
  readonly ended: Promise<void>;
  /** Resolves with the status of the first answer; 0 if there was none. */
  readonly status: Promise<number>;
  /** Resolves once the node has answered `connect`, or the socket is closed. Never rejects. */
  readonly greeted: Promise<void>;
  readonly #socket: Socket;
  readonly #walker = new FrameWalker(true);
  /** The unread part of the answer to the request; null once the connection is a WebSocket or an event stream. */
  #head: Buffer | null = Buffer.alloc(0);
  #isStream = false;
  /** The unread part of an event stream: the beginning of a line. */
  #line = '';
  /** The node has announced why it closes the connection, or that it closes it after an answer. */
  #isAnswered = false;
  #isOurEnd = false;
  /** Answers to commands, `connect` left out. */
  #answers = 0;
  #lastAnswer = '';
  #onAnswer: () => void = () => {};
  #onStatus: (status: number) => void = () => {};
  #onGreeted: () => void = () => {};

  constructor(
    port: number,
    { head = [], from = '127.0.0.1' }: DialOptions,
    private readonly see: (outcome: Outcome) => void,
  ) {
    this.status = new Promise((resolve) => {
      this.#onStatus = resolve;
    });
    this.greeted = new Promise((resolve) => {
      this.#onGreeted = resolve;
    });
    this.#socket = connect({ port, host: '127.0.0.1', localAddress: from, noDelay: true });
    this.#socket.on('error', () => {});
    this.#socket.on('data', (bytes: Buffer) => this.#read(bytes));
    this.ended = new Promise((resolve) => {
      this.#socket.once('close', () => {
        this.#onStatus(0);
        this.#onGreeted();
        if (!this.#isAnswered) see(this.#isOurEnd ? 'left open' : 'cut off');
        resolve();
      });
    });
    if (head.length > 0) this.write(`${head.join('\r\n')}\r\n\r\n`);
  }

  get isClosed(): boolean {
    return this.#socket.closed || this.#isAnswered;
  }

  write(bytes: string | Uint8Array): void {
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  frame(payload: string | Uint8Array, options: FrameOptions = {}): void {
    this.write(buildFrame(payload, options));
  }

  /** In one frame. */
  send(...commands: readonly object[]): void {
    this.frame(JSON.stringify(commands));
  }

  /**
   * Resolves once this many commands have their answers, or the socket is closed. Never rejects. One may wait at a
   * time.
   */
  async answered(commands: number): Promise<void> {
    const enough = new Promise<void>((resolve) => {
      this.#onAnswer = () => {
        if (this.#answers >= commands) resolve();
      };
    });
    this.#onAnswer();
    await Promise.race([enough, this.ended]);
  }

  /**
   * Sends one command while none is unanswered; resolves with the beginning of its answer, empty if the socket is
   * closed instead.
   */
  async ask(command: object): Promise<string> {
    const id = this.#answers + 1;
    this.send({ ...command, id });
    await this.answered(id);
    return this.#answers < id ? '' : this.#lastAnswer;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): Promise<void> {
    this.#isOurEnd = true;
    this.#socket.destroy();
    return this.ended;
  }

  #read(bytes: Buffer): void {
    let rest: Buffer = bytes;
    if (this.#head !== null) {
      this.#head = Buffer.concat([this.#head, bytes]);
      while (this.#head !== null) {
        const left = this.#afterAnswer(this.#head);
        if (left === null) return;
        rest = left;
      }
    }
    if (this.#isStream) this.#takeEvents(rest);
    else this.#walker.walk(rest, this.#onFrame);
  }

  /** Takes an answer at the beginning; returns what follows it, or null if it is incomplete. */
  #afterAnswer(bytes: Buffer): Buffer | null {
    const end = bytes.indexOf('\r\n\r\n');
    if (end < 0) return null;
    const head = bytes.toString('latin1', 0, end);
    if (/^content-type: text\/event-stream/im.test(head)) {
      this.#head = null;
      this.#isStream = true;
      this.see(`HTTP ${Number(head.split(' ')[1])}`);
      this.#onStatus(Number(head.split(' ')[1]));
      return bytes.subarray(end + 4);
    }
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
    if (bytes.length < end + 4 + length) return null;
    const rest = bytes.subarray(end + 4 + length);
    const status = Number(head.split(' ')[1]);
    this.#head = status === 101 ? null : rest;
    if (status !== 101) {
      this.see(`HTTP ${status}`);
      this.#isAnswered = true;
    }
    this.#onStatus(status);
    return rest;
  }

  /** Publications are in lines of their own, and only counted as bytes. */
  #takeEvents(bytes: Buffer): void {
    const lines = (this.#line + bytes.toString('latin1')).split('\n');
    this.#line = (lines.pop() ?? '').slice(0, lookedAtBytes);
    for (const line of lines) {
      if (line.startsWith('event: ') && line !== 'event: ready') this.see(`event ${line.slice('event: '.length)}`);
      // The last chunk of the body.
      else if (line === '0\r') this.#isAnswered = true;
    }
  }

  readonly #onFrame = (opcode: number, bytes: Uint8Array, start: number, end: number): void => {
    const payload = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start);
    if (opcode === opcodes.close) this.#takeClose(payload);
    else if (opcode === opcodes.pong) this.see('pong frame');
    else if (opcode === opcodes.text) this.#takeText(payload.toString('latin1', 0, lookedAtBytes));
  };

  #takeClose(payload: Buffer): void {
    this.#isAnswered = true;
    this.see(`close ${payload.length < 2 ? 1005 : payload.readUInt16BE(0)}`);
    this.#socket.destroy();
  }

  #takeText(text: string): void {
    const type = /"type":"(\w+)"/.exec(text)?.[1] ?? 'unreadable';
    if (type === 'connected') return this.#onGreeted();
    if (pushes.has(type)) return;
    this.see(type === 'error' ? `error ${/"code":"(\w+)"/.exec(text)?.[1]}` : `reply ${type}`);
    this.#lastAnswer = text;
    this.#answers++;
    this.#onAnswer();
  }
}
