/**
 * A WebSocket client (RFC 6455) for all versions of Node. It replaces Node's own WebSocket, which hides why a
 * connection failed and waits forever for the answer to a close frame. It also replaces the package `ws`, which cannot
 * be bundled (docs/decisions.md). It offers no extensions: compression costs more CPU than it saves on publications of
 * a few hundred bytes.
 */
import { isUtf8 } from 'node:buffer';
import { createHash, randomBytes, randomFillSync } from 'node:crypto';
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Duplex } from 'node:stream';
import type { WebSocketConstructor, WebSocketLike } from './websocket.js';

const [connecting, open, closing, closed] = [0, 1, 2, 3];

const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Longest accepted message. Messages of a node are shorter than 3 MiB. */
const maxMessageBytes = 67_108_864;

/**
 * The maximum number of fragments of a message. A node does not fragment. A proxy may, but not into pieces of a few
 * bytes.
 */
const maxFragments = 65_536;

/** Maximum length of the quoted body if a server answers with an HTTP response. */
const maxSentenceChars = 300;

/** Time for that body, in milliseconds. The status is known by then. */
const sentenceTimeoutMs = 1_000;

/** How long the peer may take to end a connection that both sides have closed. */
const lingerMs = 1_000;

const acceptGuid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

export function platformWebSocket(): WebSocketConstructor {
  return NodeWebSocket;
}

/** A violation of the protocol by the peer; `code`: of the close frame. */
class ViolationError extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

export class NodeWebSocket implements WebSocketLike {
  /** As in browsers. Other values have no effect: binary messages are ArrayBuffers. */
  binaryType = 'arraybuffer';
  protocol = '';
  readyState = connecting;
  onopen: WebSocketLike['onopen'] = null;
  onmessage: WebSocketLike['onmessage'] = null;
  onerror: WebSocketLike['onerror'] = null;
  onclose: WebSocketLike['onclose'] = null;
  /** Ends the attempt to connect. */
  #abort: () => void;
  #socket: Duplex | null = null;
  /** The parts of an incomplete frame, their total length, and the length that the next attempt to read it needs. */
  #rest: Buffer[] = [];
  #restBytes = 0;
  #neededBytes = 0;
  /** Content of the peer's close frame. */
  #closeCode = 1_006;
  #closeReason = '';
  /** The fragments of an incomplete message, and its opcode; 0 if there is none. */
  #fragments: Buffer[] = [];
  #fragmentBytes = 0;
  #opcode = 0;

  constructor(url: string, protocols: string) {
    const key = randomBytes(16).toString('base64');
    const request = (/^wss:/i.test(url) ? requestHttps : requestHttp)(url.replace(/^ws/i, 'http'), {
      // Do not share a connection.
      agent: false,
      headers: {
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': key,
        'Sec-WebSocket-Protocol': protocols,
      },
    });
    this.#abort = () => request.destroy();
    request.on('error', (error) => this.#fail(messageOf(error), error));
    request.on('response', (response) => this.#refused(response));
    request.on('upgrade', (response, socket, head) => {
      const accept = createHash('sha1')
        .update(key + acceptGuid)
        .digest('base64');
      const { headers } = response;
      this.#abort = () => socket.destroy();
      if (this.readyState !== connecting) return this.#abort();
      if (headers['sec-websocket-accept'] !== accept || headers['sec-websocket-extensions'] !== undefined) {
        return this.#fail('The server answered the WebSocket handshake with an invalid response: check the URL.');
      }
      this.#open(socket, headers['sec-websocket-protocol'] ?? '', head);
    });
    request.end();
  }

  get bufferedAmount(): number {
    return this.#socket?.writableLength ?? 0;
  }

  send(data: string | Uint8Array): void {
    if (this.readyState !== open) return;
    if (typeof data === 'string') this.#write(opcodes.text, Buffer.from(data));
    else this.#write(opcodes.binary, data);
  }

  /** Begins the closing handshake. To stop waiting for the peer, call {@link terminate}. */
  close(code = 1_000, reason = ''): void {
    if (this.readyState === connecting) return this.terminate();
    if (this.readyState !== open) return;
    this.readyState = closing;
    const payload = Buffer.from(`  ${reason}`);
    payload.writeUInt16BE(code);
    this.#write(opcodes.close, payload);
  }

  /** Ends the connection at once, without a closing handshake. */
  terminate(): void {
    this.#end();
    this.#abort();
  }

  #open(socket: Duplex & { setNoDelay?(): void }, protocol: string, head: Buffer): void {
    this.#socket = socket;
    this.protocol = protocol;
    this.readyState = open;
    socket.setNoDelay?.();
    socket.on('error', (error) => this.#fail(messageOf(error), error));
    socket.on('close', () => this.#end());
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    this.onopen?.({});
    if (head.length > 0) this.#read(head);
  }

  /** The server answered with an HTTP response. The body of a node explains why. */
  #refused(response: IncomingMessage): void {
    let text = '';
    const fail = (): void => {
      clearTimeout(timer);
      const sentence = text.trim().slice(0, maxSentenceChars);
      const seconds = Number(response.headers['retry-after'] ?? 0);
      const retryAfterMs = seconds > 0 ? seconds * 1_000 : 0;
      this.#fail(`HTTP ${response.statusCode}${sentence && `: ${sentence}`}`, undefined, retryAfterMs);
    };
    const timer = setTimeout(fail, sentenceTimeoutMs);
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > maxSentenceChars) fail();
    });
    // At the end of the response, also if it is incomplete.
    response.on('close', fail);
  }

  #fail(message: string, error?: unknown, retryAfterMs = 0): void {
    if (this.readyState === closed) return;
    this.onerror?.({ message, error, retryAfterMs });
    this.terminate();
  }

  #end(): void {
    if (this.readyState === closed) return;
    this.readyState = closed;
    this.onclose?.({ code: this.#closeCode, reason: this.#closeReason });
  }

  /** True if it has ended, or the peer has sent its close frame. */
  get #isDeaf(): boolean {
    return this.readyState === closed || this.#closeCode !== 1_006;
  }

  #read(chunk: Buffer): void {
    if (this.#isDeaf) return;
    this.#rest.push(chunk);
    this.#restBytes += chunk.length;
    if (this.#restBytes < this.#neededBytes) return;
    let data = this.#rest.length === 1 ? chunk : Buffer.concat(this.#rest);
    try {
      while (!this.#isDeaf) {
        const frame = readFrame(data);
        this.#neededBytes = typeof frame === 'number' ? frame : 0;
        if (typeof frame === 'number') break;
        data = data.subarray(frame.end);
        this.#take(frame);
      }
    } catch (error) {
      if (!(error instanceof ViolationError)) throw error;
      this.close(error.code, error.message);
      this.onerror?.({ message: error.message, error });
      this.#end();
      this.#linger();
    }
    this.#rest = [data];
    this.#restBytes = data.length;
  }

  #take({ isLast, opcode, payload }: Frame): void {
    switch (opcode) {
      case opcodes.ping:
        if (this.readyState === open) this.#write(opcodes.pong, payload);
        return;
      case opcodes.pong:
        return;
      case opcodes.close:
        return this.#closed(payload);
      case opcodes.continuation:
        if (this.#opcode === 0)
          throw new ViolationError(1_002, 'The server sent a continuation frame without a message.');
        break;
      case opcodes.text:
      case opcodes.binary:
        if (this.#opcode !== 0)
          throw new ViolationError(1_002, 'The server started a message inside a fragmented message.');
        this.#opcode = opcode;
        break;
      default:
        throw new ViolationError(1_002, `A frame has the unknown opcode ${opcode}.`);
    }
    this.#fragments.push(payload);
    this.#fragmentBytes += payload.length;
    if (this.#fragmentBytes > maxMessageBytes) throw new ViolationError(1_009, 'A message is too long.');
    if (this.#fragments.length > maxFragments) throw new ViolationError(1_009, 'A message has too many fragments.');
    if (!isLast) return;
    const whole = this.#fragments.length === 1 ? payload : Buffer.concat(this.#fragments);
    const isText = this.#opcode === opcodes.text;
    this.#fragments = [];
    this.#fragmentBytes = 0;
    this.#opcode = 0;
    if (isText && !isUtf8(whole)) throw new ViolationError(1_007, 'A text message is not UTF-8.');
    this.onmessage?.({ data: isText ? whole.toString() : new Uint8Array(whole).buffer });
  }

  /** The peer closed, or answered our close frame. */
  #closed(payload: Buffer): void {
    if (payload.length === 1) throw new ViolationError(1_002, 'A close frame has an incomplete code.');
    this.#closeCode = payload.length === 0 ? 1_005 : payload.readUInt16BE();
    this.#closeReason = payload.toString('utf8', 2);
    if (this.readyState === open) this.#write(opcodes.close, payload.subarray(0, 2));
    this.readyState = closing;
    this.#linger();
  }

  /** Gives the close frame time to reach the peer, and the peer time to end the connection. */
  #linger(): void {
    const socket = this.#socket;
    const timer = setTimeout(() => socket?.destroy(), lingerMs);
    socket?.on('close', () => clearTimeout(timer));
    socket?.end();
  }

  #write(opcode: number, payload: Uint8Array): void {
    this.#socket?.write(buildFrame(opcode, payload));
  }
}

interface Frame {
  readonly isLast: boolean;
  readonly opcode: number;
  readonly payload: Buffer;
  /** Start of the next frame. */
  readonly end: number;
}

/** The first frame of `data`. If it is incomplete: the number of bytes that the next attempt needs. */
function readFrame(data: Buffer): Frame | number {
  if (data.length < 2) return 2;
  const [first = 0, second = 0] = data;
  const isLast = (first & 0x80) !== 0;
  const opcode = first & 0x0f;
  if ((first & 0x70) !== 0) throw new ViolationError(1_002, 'A frame uses an extension that was not negotiated.');
  if ((second & 0x80) !== 0) throw new ViolationError(1_002, 'The server sent a masked frame.');
  let length = second;
  let start = 2;
  if (opcode >= opcodes.close && (!isLast || length > 125)) {
    throw new ViolationError(1_002, 'A control frame is fragmented or too long.');
  }
  if (length === 126) {
    if (data.length < 4) return 4;
    length = data.readUInt16BE(2);
    start = 4;
  } else if (length === 127) {
    if (data.length < 10) return 10;
    length = Number(data.readBigUInt64BE(2));
    start = 10;
  }
  if (length > maxMessageBytes) throw new ViolationError(1_009, 'A message is too long.');
  const end = start + length;
  return data.length < end ? end : { isLast, opcode, payload: data.subarray(start, end), end };
}

/** Random bytes for masks, generated in advance: four bytes at a time would cost more than the rest of a frame. */
const masks = Buffer.alloc(8_192);
let nextMask = masks.length;

/** A complete message in one masked frame. Clients must mask frames. */
function buildFrame(opcode: number, payload: Uint8Array): Buffer {
  const { length } = payload;
  const start = length < 126 ? 6 : length < 65_536 ? 8 : 14;
  const frame = Buffer.allocUnsafe(start + length);
  frame[0] = 0x80 | opcode;
  if (length < 126) frame[1] = 0x80 | length;
  else if (length < 65_536) {
    frame[1] = 0x80 | 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = 0x80 | 127;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  if (nextMask === masks.length) {
    randomFillSync(masks);
    nextMask = 0;
  }
  for (let index = 0; index < 4; index++) frame[start - 4 + index] = masks[nextMask + index] as number;
  nextMask += 4;
  for (let index = 0; index < length; index++) {
    frame[start + index] = (payload[index] as number) ^ (frame[start - 4 + (index & 3)] as number);
  }
  return frame;
}

/** Node tries several addresses of a name. The error for all of them has no message. */
function messageOf(error: Error & { errors?: readonly Error[]; code?: string }): string {
  return error.message || error.errors?.map(({ message }) => message).join(', ') || error.code || error.name;
}
