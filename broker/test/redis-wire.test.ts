/** The commands that a node writes, and the replies that it reads, as bytes and with a real Redis. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { startRedis } from '@fanfare/local-cluster';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { CollectedCall, CommandStream, type StreamEvents } from '../src/redis/command-stream.js';
import type { Argument } from '../src/redis/command-writer.js';
import { PendingCall } from '../src/redis/pending-call.js';
import { RedisError, RedisProtocolError, type Reply, ReplyReader } from '../src/redis/reply-reader.js';
import { CertificateFolder } from './certificates.js';

const toEnd: (() => void)[] = [];

afterEach(() => {
  for (const end of toEnd.splice(0)) end();
});

/** What a reader makes of the pieces: replies, and messages as `[channel, message]`. */
function read(pieces: readonly Buffer[], withMessages = true): unknown[] {
  const seen: unknown[] = [];
  const reader = new ReplyReader({
    onReply: (reply) => seen.push(reply),
    ...(withMessages
      ? {
          onMessage: ({ bytes, channelStart, channelEnd, start, end }) =>
            seen.push([bytes.toString('latin1', channelStart, channelEnd), bytes.toString('latin1', start, end)]),
        }
      : {}),
  });
  for (const piece of pieces) {
    // The reader of a socket reuses its buffer too.
    const reused = Buffer.from(piece);
    reader.read(reused);
    reused.fill(0xff);
  }
  return seen;
}

function encode(reply: Reply): Buffer {
  if (reply === null) return Buffer.from('$-1\r\n');
  if (typeof reply === 'number') return Buffer.from(`:${reply}\r\n`);
  if (typeof reply === 'string') return Buffer.from(`+${reply}\r\n`);
  if (reply instanceof RedisError) return Buffer.from(`-${reply.message}\r\n`);
  if (Buffer.isBuffer(reply)) return Buffer.concat([Buffer.from(`$${reply.length}\r\n`), reply, Buffer.from('\r\n')]);
  return Buffer.concat([Buffer.from(`*${reply.length}\r\n`), ...reply.map(encode)]);
}

const line = fc.string({ unit: fc.constantFrom('a', 'Z', '0', ' ', ':', '$') });
const { reply } = fc.letrec<{ reply: Reply }>((tie) => ({
  reply: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.integer(),
    line,
    line.map((text) => new RedisError(text)),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.constant(null),
    fc.array(tie('reply'), { maxLength: 4 }),
  ),
}));

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const places = [...new Set(at.map((place) => place % (bytes.length + 1)))].toSorted((one, other) => one - other);
  return [0, ...places].map((from, index) => bytes.subarray(from, places[index] ?? bytes.length));
}

describe('replies', () => {
  it('are read the same, however the network cuts them', () => {
    fc.assert(
      fc.property(fc.array(reply), fc.array(fc.nat()), (replies, at) => {
        expect(read(cut(Buffer.concat(replies.map(encode)), at))).toEqual(replies);
      }),
    );
  });

  it('between messages of channels are distinguished, however the network cuts them', () => {
    const bytes = Buffer.from(
      '*3\r\n$10\r\nssubscribe\r\n$1\r\nc\r\n:1\r\n*3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$4\r\n\r\n$1\r\n*0\r\n*3\r\n$8\r\nsmessage\r\n$0\r\n\r\n$0\r\n\r\n:7\r\n',
    );
    const expected = [[Buffer.from('ssubscribe'), Buffer.from('c'), 1], ['c', '\r\n$1'], [], ['', ''], 7];
    for (let first = 0; first <= bytes.length; first++)
      for (let second = first; second <= bytes.length; second++)
        expect(read([bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)])).toEqual(
          expected,
        );
  });

  it('that look like messages are replies on a connection that receives no messages', () => {
    const message = Buffer.from('*3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$1\r\nx\r\n');
    expect(read([message], false)).toEqual([['smessage', 'c', 'x'].map((text) => Buffer.from(text))]);
  });

  it.each([
    ['begin with an unknown byte', 'HTTP/1.1 400 Bad Request\r\n', 'a reply begins with byte 72'],
    ['have a number with a letter', ':1x\r\n', 'a number has a character that is not a digit'],
    ['have an impossible length', '$-2\r\n', 'a length is -2'],
    ['are longer than Redis allows', '*536870913\r\n', 'a length is 536870913'],
  ])('are refused if they %s', (_, bytes, reason) => {
    expect(() => read([Buffer.from(bytes)])).toThrow(RedisProtocolError);
    expect(() => read([Buffer.from(bytes)])).toThrow(reason);
  });
});

async function newSocket(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  toEnd.push(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

function streamOf(socket: Socket, events: Partial<StreamEvents> = {}): CommandStream {
  return new CommandStream(socket, { onProtocolError: () => undefined, ...events });
}

function send(stream: CommandStream, ...commands: readonly (readonly Argument[])[]): Promise<readonly Reply[]> {
  return new Promise((resolve, reject) => {
    for (const command of commands) {
      stream.writer.command(command.length);
      for (const part of command) stream.writer.part(part);
    }
    stream.expect(new CollectedCall(commands.length, resolve, reject));
  });
}

describe('commands to a real Redis', () => {
  it('carry text, numbers and bytes unchanged, and each call gets its own replies', async () => {
    await using redis = await startRedis();
    const stream = streamOf(await newSocket(redis.port));
    const big = Buffer.alloc(3_000_000, 'x');
    const parts: Argument[] = [
      '',
      'täglich',
      0,
      7,
      1.5,
      -3,
      4_294_967_296,
      Number.MAX_SAFE_INTEGER,
      Buffer.of(0, 255),
      big,
    ];
    const [echoes, refused, [size]] = await Promise.all([
      send(stream, ...parts.map((part) => ['ECHO', part] as const)),
      send(stream, ['NOSUCHCOMMAND'], ['ECHO', 'still in order']),
      send(stream, ['STRLEN', 'nothing']),
    ]);
    const asBytes = (part: Argument) => Buffer.from(typeof part === 'number' ? String(part) : part);
    // As text: to compare arrays of bytes takes seconds.
    const textOf = (bytes: Reply) => (Buffer.isBuffer(bytes) ? bytes.toString('latin1') : bytes);
    expect(echoes.map(textOf)).toEqual(parts.map(asBytes).map(textOf));
    expect(refused).toEqual([expect.any(RedisError), Buffer.from('still in order')]);
    expect(size).toBe(0);
    // The buffer that grew is not kept, and a later call still works.
    expect(stream.writer.capacity).toBeLessThan(1_000_000);
    expect(await send(stream, ['ECHO', 'later'])).toEqual([Buffer.from('later')]);
  });
});

/** A stream, and the other end of its connection. */
async function newPair(events: Partial<StreamEvents> = {}): Promise<{ stream: CommandStream; far: Socket }> {
  const listener = createServer().listen(0, '127.0.0.1');
  toEnd.push(() => listener.close());
  await once(listener, 'listening');
  const [socket, [far]] = await Promise.all([
    newSocket((listener.address() as AddressInfo).port),
    once(listener, 'connection') as Promise<[Socket]>,
  ]);
  toEnd.push(() => far.destroy());
  return { stream: streamOf(socket, events), far };
}

describe('a connection', () => {
  it('sends the commands of a turn in one write', async () => {
    const { stream, far } = await newPair();
    const calls = [send(stream, ['ONE']), send(stream, ['TWO'])];
    const [bytes] = (await once(far, 'data')) as [Buffer];
    expect(bytes.toString()).toBe('*1\r\n$3\r\nONE\r\n*1\r\n$3\r\nTWO\r\n');
    far.write('+1\r\n+2\r\n');
    expect(await Promise.all(calls)).toEqual([['1'], ['2']]);
  });

  it('fails every call without a reply when it is closed, and every later one', async () => {
    const { stream, far } = await newPair();
    const calls = [send(stream, ['ONE']), send(stream, ['TWO'], ['THREE'])];
    far.write('+1\r\n+2\r\n');
    await calls[0];
    expect(stream.waitingSince).not.toBeNull();
    stream.close();
    expect(stream.waitingSince).toBeNull();
    await expect(calls[1]).rejects.toThrow('The connection to Redis was lost.');
    await expect(send(stream, ['FOUR'])).rejects.toThrow('The connection to Redis was lost.');
  });

  it.each([
    ['that nobody waits for', '+OK\r\n', 'Redis sent a reply that no call waits for'],
    ['that is no reply', 'hello\r\n', 'a reply begins with byte 104'],
  ])('reports a reply %s', async (_, bytes, reason) => {
    const failed = new Promise<Error>((resolve) => {
      void newPair({ onProtocolError: resolve }).then(({ far }) => far.write(bytes));
    });
    expect((await failed).message).toContain(reason);
  });

  it('collects commands in one buffer while the server does not read, and sends them unchanged', async () => {
    let writes = 0;
    const { stream, far } = await newPair({ onWrite: () => void writes++ });
    // More than the kernel buffers.
    const first = send(stream, ['SET', Buffer.alloc(32_000_000, 'x')]);
    const later: Promise<readonly Reply[]>[] = [];
    for (let index = 0; index < 500; index++) {
      later.push(send(stream, ['GET', index]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(writes).toBe(1);
    let end = '';
    far.on('data', (bytes: Buffer) => {
      end = (end + bytes.toString('latin1')).slice(-20_000);
      if (end.endsWith('$3\r\n499\r\n')) far.write('+OK\r\n'.repeat(501));
    });
    await Promise.all([first, ...later]);
    expect(writes).toBe(2);
    expect([...end.matchAll(/GET\r\n\$\d\r\n(\d+)/g)].map(([, index]) => Number(index))).toEqual(
      Array.from({ length: 500 }, (_, index) => index),
    );
  });

  it('leaves a buffer alone while the socket still has it', async () => {
    const { stream, far } = await newPair();
    const length = 200_000;
    const names = Array.from({ length: 100 }, (_, index) => index);
    // Together more than the kernel buffers.
    const calls: Promise<readonly Reply[]>[] = [];
    for (const name of names) {
      calls.push(send(stream, ['SET', name, Buffer.alloc(length, name)]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const arrived = new ReplyReader({
      onReply: (command) => {
        const [, name, value] = command as [Buffer, Buffer, Buffer];
        const isIntact = value.equals(Buffer.alloc(length, Number(name)));
        far.write(isIntact ? `:${name}\r\n` : `-${name} was overwritten\r\n`);
      },
    });
    far.on('data', (bytes: Buffer) => arrived.read(bytes));
    expect((await Promise.all(calls)).flat()).toEqual(names);
  });

  it('with TLS uses two buffers in turns, and sends what they hold unchanged', async () => {
    using folder = new CertificateFolder('redis');
    const listener = createTlsServer({ cert: readFileSync(folder.certFile), key: readFileSync(folder.keyFile) });
    toEnd.push(() => listener.close());
    await once(listener.listen(0, '127.0.0.1'), 'listening');
    const socket = connectTls({ port: (listener.address() as AddressInfo).port, host: 'localhost', ca: folder.ca });
    const [[far]] = await Promise.all([
      once(listener, 'secureConnection') as Promise<[TLSSocket]>,
      once(socket, 'secureConnect'),
    ]);
    toEnd.push(() => socket.destroy());
    toEnd.push(() => far.destroy());
    const arrived = new ReplyReader({
      onReply: (command) => far.write(encode((command as [Buffer, Buffer])[1])),
    });
    far.on('data', (bytes: Buffer) => arrived.read(bytes));
    const stream = streamOf(socket);
    const writers = new Set<unknown>();
    for (let index = 0; index < 50; index++) {
      writers.add(stream.writer);
      expect(await send(stream, ['ECHO', index])).toEqual([Buffer.from(String(index))]);
    }
    expect(writers.size).toBe(2);
    // The socket takes several writes before one of them has left.
    const calls: Promise<readonly Reply[]>[] = [];
    for (let index = 100; index < 150; index++) {
      calls.push(send(stream, ['ECHO', index]));
      await new Promise<void>((resolve) => process.nextTick(resolve));
    }
    expect((await Promise.all(calls)).flat().map(String)).toEqual(calls.map((_, index) => String(100 + index)));
  });

  it('gives a call one outcome if a reply closes the connection', async () => {
    const { stream, far } = await newPair();
    const outcomes: string[] = [];
    class ClosingCall extends PendingCall {
      override onReply(): boolean {
        stream.close();
        return true;
      }
      override onComplete(): void {
        outcomes.push('complete');
      }
      override onLost(): void {
        outcomes.push('lost');
      }
    }
    stream.writer.command(1);
    stream.writer.asciiPart('PING');
    stream.expect(new ClosingCall());
    const later = send(stream, ['PING']);
    far.write('+PONG\r\n+PONG\r\n');
    await expect(later).rejects.toThrow('lost');
    expect(outcomes).toEqual(['lost']);
  });

  it('keeps the order of many calls', async () => {
    const { stream, far } = await newPair();
    const calls = Array.from({ length: 5_000 }, (_, index) => send(stream, ['GET', index]));
    for (let index = 0; index < calls.length; index++) far.write(`:${index}\r\n`);
    expect((await Promise.all(calls)).flat()).toEqual(calls.map((_, index) => index));
  });
});
