/** The WebSocket for Node, with an independent server (`ws`), and with raw bytes that no correct server sends. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { type WebSocket, WebSocketServer } from 'ws';
import { NodeWebSocket } from '../src/websocket-node.js';
import { until } from './test-node.js';

/** Opens a socket, and records its events. */
function dial(port: number, path = '/') {
  const socket = new NodeWebSocket(`ws://127.0.0.1:${port}${path}`, 'p');
  const events: {
    messages: (string | ArrayBuffer)[];
    errors: string[];
    closed: { code: number; reason: string } | null;
  } = {
    messages: [],
    errors: [],
    closed: null,
  };
  const opened = new Promise<void>((resolve) => {
    socket.onopen = () => resolve();
  });
  socket.onmessage = ({ data }) => events.messages.push(data as string | ArrayBuffer);
  socket.onerror = (event) => events.errors.push((event as { message: string }).message);
  socket.onclose = ({ code, reason }) => {
    expect(events.closed).toBeNull();
    events.closed = { code, reason };
  };
  return { socket, events, opened };
}

describe('a socket with a server that follows the RFC', () => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: () => 'p' });
  let port = 0;
  let peer: WebSocket | null = null;
  server.on('connection', (connection) => {
    peer = connection;
    connection.on('error', () => {});
    connection.on('message', (data, isBinary) => connection.send(data, { binary: isBinary }));
  });
  beforeAll(async () => {
    if (server.address() === null) await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  });
  afterAll(() => {
    for (const client of server.clients) client.terminate();
    server.close();
  });

  const lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000];
  it('carries text and bytes of any length', async () => {
    const { socket, events, opened } = dial(port);
    await opened;
    expect(socket).toMatchObject({ protocol: 'p', readyState: 1, bufferedAmount: expect.any(Number) });
    for (const length of lengths) {
      socket.send('ä'.repeat(length / 2));
      socket.send(Uint8Array.from({ length }, (_, index) => index));
    }
    await until(() => events.messages.length === 2 * lengths.length);
    for (const [index, length] of lengths.entries()) {
      expect(events.messages[2 * index]).toBe('ä'.repeat(length / 2));
      expect(events.messages[2 * index + 1]).toEqual(Uint8Array.from({ length }, (_, place) => place).buffer);
    }
    socket.close();
    await until(() => events.closed !== null);
    expect(events).toMatchObject({ errors: [], closed: { code: 1_000 } });
  });

  it('joins fragments, and answers pings between them', async () => {
    const { socket, events, opened } = dial(port);
    await opened;
    const pongs: string[] = [];
    peer?.on('pong', (data) => pongs.push(data.toString()));
    peer?.send('a', { fin: false });
    peer?.ping('1');
    peer?.send('b', { fin: false });
    peer?.ping('2');
    peer?.send('c', { fin: true });
    peer?.send('d');
    await until(() => events.messages.length === 2 && pongs.length === 2);
    expect(events.messages).toEqual(['abc', 'd']);
    expect(pongs).toEqual(['1', '2']);
    socket.close();
  });

  it('reports the close code and the reason of the peer', async () => {
    const { events, opened } = dial(port);
    await opened;
    peer?.close(4_001, 'because');
    await until(() => events.closed !== null);
    expect(events).toMatchObject({ errors: [], closed: { code: 4_001, reason: 'because' } });
    await until(() => peer?.readyState === 3);
    const { events: other, opened: ready } = dial(port);
    await ready;
    peer?.close();
    await until(() => other.closed !== null);
    expect(other.closed).toEqual({ code: 1_005, reason: '' });
  });

  it('sends its own close code and reason to the peer', async () => {
    const { socket, opened } = dial(port);
    await opened;
    const ended = once(peer as WebSocket, 'close');
    socket.close(1_000, 'closedByClient');
    socket.send('not any more');
    const [code, reason] = await ended;
    expect([code, String(reason)]).toEqual([1_000, 'closedByClient']);
  });

  it('reports a cut connection', async () => {
    const { events, opened } = dial(port);
    await opened;
    peer?.terminate();
    await until(() => events.closed !== null);
    expect(events.closed).toEqual({ code: 1_006, reason: '' });
  });

  it('abandons an attempt after close()', async () => {
    const { socket, events } = dial(port);
    socket.close();
    expect(events).toMatchObject({ errors: [], closed: { code: 1_006 } });
    await vi.waitFor(() => expect([...server.clients].filter(({ readyState }) => readyState === 1)).toEqual([]));
  });
});

describe('the error of a socket that cannot connect', () => {
  async function refusing(status: number, body: string): Promise<number> {
    const server = createHttpServer((_request, response) => response.writeHead(status).end(body));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    server.unref();
    return (server.address() as AddressInfo).port;
  }

  it.each([
    [404, 'Not found. The WebSocket endpoint is /ws.\n'],
    [503, ''],
    [200, '<html>'],
    [302, 'x'.repeat(100_000)],
  ])('quotes the answer of the server: %i', async (status, body) => {
    const { events } = dial(await refusing(status, body));
    await until(() => events.closed !== null);
    const sentence = body.trim().slice(0, 300);
    expect(events.errors).toEqual([`HTTP ${status}${sentence && `: ${sentence}`}`]);
    expect(events.closed).toEqual({ code: 1_006, reason: '' });
  });

  it.each([
    ['is cut', 'Content-Length: 1000', true, 'HTTP 200: half'],
    ['never ends', 'Content-Type: text/html', false, 'HTTP 200: half'],
  ])('has the status and the received part of an answer that %s', async (_name, header, isCut, sentence) => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      socket.once('data', () => {
        socket.write(`HTTP/1.1 200 OK\r\n${header}\r\n\r\nhalf`, () => isCut && socket.destroy());
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { events } = dial((server.address() as AddressInfo).port);
    await until(() => events.closed !== null);
    expect(events.errors).toEqual([sentence]);
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  it.each([
    ['10', 10_000],
    ['0', 0],
    ['Fri, 31 Dec 2100 23:59:59 GMT', 0],
  ])('has the time of Retry-After if it is in seconds: %s', async (header, retryAfterMs) => {
    const server = createHttpServer((_request, response) => response.writeHead(503, { 'Retry-After': header }).end());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const socket = new NodeWebSocket(`ws://127.0.0.1:${port}/`, 'p');
    const error = await new Promise((resolve) => {
      socket.onerror = resolve;
    });
    expect(error).toEqual({ message: 'HTTP 503', error: undefined, retryAfterMs });
    server.close();
  });

  it('names the refused connection', async () => {
    const { events } = dial(1);
    await until(() => events.closed !== null);
    expect(events.errors).toEqual(['connect ECONNREFUSED 127.0.0.1:1']);
  });

  it('names each address of a host name', async () => {
    const socket = new NodeWebSocket('ws://localhost:1/ws', 'p');
    const errors: string[] = [];
    socket.onerror = (event) => errors.push((event as { message: string }).message);
    await until(() => errors.length > 0);
    expect(errors[0]).toContain('ECONNREFUSED 127.0.0.1:1');
  });

  it('reports a TLS failure', async () => {
    const errors: string[] = [];
    const socket = new NodeWebSocket(`wss://127.0.0.1:${await refusing(404, '')}/ws`, 'p');
    socket.onerror = (event) => errors.push((event as { message: string }).message);
    await until(() => errors.length > 0);
    expect(errors[0]).toMatch(/ssl|tls|EPROTO/i);
  });
});

/** A server that accepts the handshake and then writes these bytes, in pieces. It collects the received bytes. */
async function raw(
  bytes: Uint8Array,
  pieces: readonly number[] = [bytes.length],
  { headers = '', allowHalfOpen = false } = {},
) {
  const received: Buffer[] = [];
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    let head = '';
    socket.on('data', (chunk) => {
      if (head.includes('\r\n\r\n')) return received.push(chunk);
      head += chunk.toString('latin1');
      const key = /sec-websocket-key: (.*)\r\n/i.exec(head)?.[1] ?? '';
      const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
      const lines = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade'];
      socket.write(`${[...lines, `Sec-WebSocket-Accept: ${accept}`].join('\r\n')}${headers}\r\n\r\n`);
      let at = 0;
      for (const length of pieces) {
        socket.write(bytes.subarray(at, at + length));
        at += length;
      }
      return socket.write(bytes.subarray(at));
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    received,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

describe('a socket with a server that breaks the RFC', () => {
  it.each([
    ['an extension', 'c1 00', 1_002],
    ['a masked frame', '81 81 00000000 61', 1_002],
    ['a fragmented ping', '09 00', 1_002],
    ['a ping of 126 bytes', '89 7e 007e', 1_002],
    ['an unknown opcode', '83 00', 1_002],
    ['another unknown opcode', '8b 00', 1_002],
    ['a fragment without a first frame', '80 00', 1_002],
    ['a message within another', '01 00 81 00', 1_002],
    ['half a close code', '88 01 03', 1_002],
    ['text that is not UTF-8', '81 02 c328', 1_007],
    ['a frame of 2^53 bytes', '82 7f 0020000000000000', 1_009],
    ['a frame of 64 MiB and one byte', '82 7f 0000000004000001', 1_009],
    ['a message of 65,537 fragments', `01 00${' 00 00'.repeat(65_536)}`, 1_009],
  ])('closes the connection after %s', async (_name, hex, code) => {
    await using server = await raw(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
    const { events } = dial(server.port);
    await until(() => events.closed !== null && Buffer.concat(server.received).length > 0);
    expect(events).toMatchObject({ messages: [], closed: { code: 1_006 } });
    expect(events.errors).toHaveLength(1);
    const frame = Buffer.concat(server.received);
    const mask = frame.subarray(2, 6);
    expect(frame[0]).toBe(0x88);
    expect(((frame[6] as number) ^ (mask[0] as number)) * 256 + ((frame[7] as number) ^ (mask[1] as number))).toBe(
      code,
    );
  });

  it('copies a long frame once, however many pieces it arrives in', async () => {
    const frame = serverFrame(true, 2, Buffer.alloc(8_388_608));
    await using server = await raw(frame);
    const concat = vi.spyOn(Buffer, 'concat');
    onTestFinished(() => concat.mockRestore());
    const { events } = dial(server.port);
    await until(() => events.messages.length === 1);
    const copied = concat.mock.results.reduce((sum, { value }) => sum + (value as Buffer).length, 0);
    expect(copied).toBeLessThan(1.1 * frame.length);
  });

  it('ends the connection if the peer has sent a close frame and leaves the connection open', async () => {
    await using server = await raw(Buffer.from('880203e8', 'hex'), [], { allowHalfOpen: true });
    const { events } = dial(server.port);
    await until(() => events.closed !== null);
    expect(events).toMatchObject({ errors: [], closed: { code: 1_000 } });
  });

  it('refuses an extension that it did not ask for', async () => {
    await using server = await raw(Buffer.alloc(0), [], {
      headers: '\r\nSec-WebSocket-Extensions: permessage-deflate',
    });
    const { events } = dial(server.port);
    await until(() => events.closed !== null);
    expect(events.errors).toEqual([
      'The server answered the WebSocket handshake with an invalid response: check the URL.',
    ]);
  });

  it('does not wait for the close frame of the peer after terminate()', async () => {
    await using server = await raw(Buffer.alloc(0));
    const { socket, events, opened } = dial(server.port);
    await opened;
    socket.close();
    await until(() => server.received.length > 0);
    expect(events.closed).toBeNull();
    socket.terminate();
    expect(events.closed).toEqual({ code: 1_006, reason: '' });
  });
});

it('a socket reads the same messages however their bytes are split', async () => {
  const payload = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 200 }),
    fc.uint8Array({ maxLength: 300 }),
    fc.integer({ min: 65_530, max: 65_540 }).map((length) => 'x'.repeat(length)),
  );
  const messages = fc.array(fc.record({ payload, cuts: fc.array(fc.nat(400), { maxLength: 3 }) }), { maxLength: 6 });
  const pieces = fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(messages, pieces, async (sent, cut) => {
      const frames = sent.flatMap(({ payload: data, cuts }) => {
        const bytes = Buffer.from(data as string);
        const places = [...new Set(cuts.filter((place) => place < bytes.length))].toSorted((a, b) => a - b);
        return [0, ...places].map((start, index, starts) => {
          const part = bytes.subarray(start, starts[index + 1] ?? bytes.length);
          const isLast = index === starts.length - 1;
          return serverFrame(isLast, index > 0 ? 0 : typeof data === 'string' ? 1 : 2, part);
        });
      });
      const end = serverFrame(true, 8, Buffer.from([0x03, 0xe8]));
      await using server = await raw(Buffer.concat([...frames, end]), cut);
      const { events } = dial(server.port);
      await until(() => events.closed !== null);
      expect(events).toMatchObject({ errors: [], closed: { code: 1_000 } });
      const read = events.messages.map((data) => (typeof data === 'string' ? data : new Uint8Array(data)));
      expect(read).toEqual(sent.map(({ payload: data }) => data));
    }),
    { numRuns: 60 },
  );
});

function serverFrame(isLast: boolean, opcode: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(payload.length < 126 ? 2 : payload.length < 65_536 ? 4 : 10);
  head[0] = (isLast ? 0x80 : 0) | opcode;
  if (payload.length < 126) head[1] = payload.length;
  else if (payload.length < 65_536) {
    head[1] = 126;
    head.writeUInt16BE(payload.length, 2);
  } else {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(payload.length), 2);
  }
  return Buffer.concat([head, payload]);
}
