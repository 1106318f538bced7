/** HTTP/1.1 over a bare socket: builds requests, and finds the answers in the received bytes. */
import type { Target } from '@fanfare/kit/broker-url';
import type { Reader } from './protocol.js';

/** `path` begins with `/`. A broker at `wss://host/prefix/ws` has its HTTP routes below `/prefix`. */
export function requestHead(
  method: 'GET' | 'POST',
  path: string,
  { host, port, path: endpoint, token }: Target,
  headers: Readonly<Record<string, string | number>> = {},
): string {
  const prefix = endpoint?.replace(/\/ws(\?.*)?$/, '') ?? '';
  const all = { Host: `${host}:${port}`, ...(token === null ? {} : { Authorization: `Bearer ${token}` }), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${prefix}${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

interface Answer {
  readonly status: number;
  /** The status line and the headers. */
  readonly head: string;
}

/** Takes an answer, with its body in `bytes[start, end)`, and only until this returns. */
type TakeAnswer = (answer: Answer, bytes: Uint8Array, start: number, end: number) => void;

const headEnd = '\r\n\r\n';

/** A reader for one connection. Answers need a `Content-Length`, unless they have no body. */
export function readAnswers(take: TakeAnswer): Reader {
  /** The beginning of an answer whose end has not come yet. */
  let rest: Uint8Array | null = null;
  return (chunk, chunkStart, chunkEnd) => {
    let [bytes, at, end] = [chunk, chunkStart, chunkEnd];
    if (rest !== null) {
      bytes = Buffer.concat([rest, chunk.subarray(chunkStart, chunkEnd)]);
      [at, end] = [0, bytes.length];
      rest = null;
    }
    while (at < end) {
      const view = Buffer.from(bytes.buffer, bytes.byteOffset + at, end - at);
      const headBytes = view.indexOf(headEnd);
      if (headBytes < 0) break;
      const head = view.toString('latin1', 0, headBytes);
      const start = at + headBytes + headEnd.length;
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
      if (/\r\ntransfer-encoding:/i.test(head))
        throw new Error('The server answers in chunks, which is not supported.');
      if (start + length > end) break;
      take({ status: statusOf(head), head }, bytes, start, start + length);
      at = start + length;
    }
    // A copy: the bytes are the read buffer's.
    if (at < end) rest = new Uint8Array(bytes.subarray(at, end));
  };
}

export function statusOf(head: string): number {
  return Number(head.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length));
}

/** Why a server has refused: the status, and the body without line breaks. */
export function explainRefusal(head: string, body: string): string {
  const line = head.slice('HTTP/1.1 '.length).split('\r\n')[0];
  return `${line} ${body.replaceAll(/\s+/g, ' ').slice(0, 300)}`.trim();
}
