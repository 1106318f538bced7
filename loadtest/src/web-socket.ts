/** A WebSocket client that costs little: thousands of them share one read buffer, and frames are walked where they lie. */
import { connect, type Socket } from 'node:net';
import { buildFrame, FrameWalker, opcodes } from './frame-walker.js';

/** What is read is handled before the next read, so one buffer serves all sockets. */
const readBuffer = new Uint8Array(65_536);

const headEnd = Buffer.from('\r\n\r\n');

export interface WebSocketOptions {
  readonly port: number;
  readonly path: string;
  /** Null: none is offered. */
  readonly subprotocol: string | null;
  readonly onMessage: (bytes: Uint8Array, start: number, end: number) => void;
  /** The connection ended, or something came that should not; called once. */
  readonly onFailure: (error: Error) => void;
}

export class WebSocket {
  readonly #socket: Socket;
  readonly #walker = new FrameWalker();
  readonly #options: WebSocketOptions;
  readonly #onFrame = (opcode: number, bytes: Uint8Array, start: number, end: number): void => {
    if (opcode <= opcodes.binary) this.#options.onMessage(bytes, start, end);
    else if (opcode === opcodes.ping) this.#socket.write(buildFrame(bytes.slice(start, end), opcodes.pong));
    else if (opcode === opcodes.close) this.#fail(explainClose(bytes.slice(start, end)));
  };
  #onOpen: (() => void) | null;
  #head = Buffer.alloc(0);
  #hasEnded = false;

  /** Resolves once the server has agreed. */
  static async open(options: WebSocketOptions): Promise<WebSocket> {
    return await new Promise((resolve, reject) => {
      let isOpen = false;
      const socket: WebSocket = new WebSocket(
        { ...options, onFailure: (error) => (isOpen ? options.onFailure(error) : reject(error)) },
        () => {
          isOpen = true;
          resolve(socket);
        },
      );
    });
  }

  private constructor(options: WebSocketOptions, onOpen: () => void) {
    this.#options = options;
    this.#onOpen = onOpen;
    // No source address is bound: the kernel would look for a port that nothing else uses, which takes milliseconds once
    // thousands of connections linger in TIME_WAIT. One process cannot open more sockets than one address has ports.
    this.#socket = connect({
      host: '127.0.0.1',
      port: options.port,
      noDelay: true,
      onread: {
        buffer: readBuffer,
        callback: (length) => {
          this.#read(readBuffer.subarray(0, length));
          return true;
        },
      },
    });
    this.#socket.on('error', (error) => this.#fail(error.message));
    this.#socket.on('close', () => this.#fail('The server closed the connection.'));
    const offer = options.subprotocol === null ? '' : `Sec-WebSocket-Protocol: ${options.subprotocol}\r\n`;
    this.#socket.write(
      `GET ${options.path} HTTP/1.1\r\nHost: 127.0.0.1:${options.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${offer}\r\n`,
    );
  }

  /** Bytes of one or more whole frames. */
  write(frames: Uint8Array): void {
    this.#socket.write(frames);
  }

  close(): void {
    this.#hasEnded = true;
    this.#socket.destroy();
  }

  #read(chunk: Uint8Array): void {
    try {
      if (this.#onOpen === null) this.#walker.walk(chunk, this.#onFrame);
      else this.#readHead(chunk, this.#onOpen);
    } catch (error) {
      this.#fail((error as Error).message);
    }
  }

  #readHead(chunk: Uint8Array, onOpen: () => void): void {
    this.#head = Buffer.concat([this.#head, chunk]);
    const end = this.#head.indexOf(headEnd);
    if (end === -1) return;
    const head = this.#head.toString('latin1', 0, end);
    const rest = this.#head.subarray(end + headEnd.length);
    this.#head = Buffer.alloc(0);
    if (!head.startsWith('HTTP/1.1 101 ')) {
      this.#fail(`The server refused: ${head.slice(0, head.indexOf('\r\n'))}. ${rest.toString()}`);
      return;
    }
    this.#onOpen = null;
    onOpen();
    if (rest.length > 0) this.#walker.walk(rest, this.#onFrame);
  }

  #fail(reason: string): void {
    if (this.#hasEnded) return;
    this.close();
    this.#options.onFailure(new Error(reason));
  }
}

function explainClose(payload: Uint8Array): string {
  if (payload.length < 2) return 'The server closed the connection without a code.';
  const code = ((payload[0] as number) << 8) | (payload[1] as number);
  return `The server closed the connection: ${code} ${new TextDecoder().decode(payload.subarray(2))}`;
}
