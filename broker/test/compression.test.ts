/** permessage-deflate (RFC 7692): used only if both sides want it, and bounded for any input. */
import { readFileSync } from 'node:fs';
import { connect, Socket } from 'node:net';
import { deflateRawSync } from 'node:zlib';
import { startNode } from '@fanfare/local-cluster';
import { closeReasons } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import { startCluster } from './harness.js';
import { TestConnection } from './test-connection.js';
import { until, within } from './wait.js';

const shared = { FANFARE_COMPRESSION: 'shared' };

/** Bytes received and sent. */
function traffic({ socket }: TestConnection): { in: number; out: number } {
  const stream = (socket as unknown as { _socket: unknown })._socket;
  if (!(stream instanceof Socket)) throw new Error('This connection is closed.');
  return { in: stream.bytesRead, out: stream.bytesWritten };
}

/** Repetitive, like data with field names: it compresses to about a hundredth. */
const large = Array.from({ length: 500 }, () => ({ bid: 1.0825, ask: 1.0827 }));

describe('compression', () => {
  it('is off by default, and otherwise used only with clients that offer it', async () => {
    await using plain = await startCluster();
    await using willing = await startCluster({ env: shared });
    expect((await plain.connect()).socket.extensions).toBe('');
    expect((await willing.connect()).socket.extensions).toBe('permessage-deflate');
    await using silent = await TestConnection.open(willing.node().url, 'json', { perMessageDeflate: false });
    expect(silent.socket.extensions).toBe('');
  });

  it('makes publications smaller in both directions and encodings, and changes nothing for clients without it', async () => {
    await using cluster = await startCluster({ env: shared });
    await using silent = await TestConnection.open(cluster.node().url, 'json', { perMessageDeflate: false });
    await silent.subscribe('t');
    const readers = [await cluster.subscriber('t', 0, 'msgpack'), await cluster.subscriber('t', 0, 'json')];
    for (const writer of [await cluster.connect(0, 'json'), await cluster.connect(0, 'msgpack')]) {
      await writer.publish('t', large);
      expect(traffic(writer).out).toBeLessThan(2_000);
    }
    for (const reader of [silent, ...readers]) expect(await reader.take('t', 2)).toEqual([large, large]);
    for (const reader of readers) expect(traffic(reader).in).toBeLessThan(2_000);
    expect(traffic(silent).in).toBeGreaterThan(20_000);
  });

  it('applies to recovered publications, and leaves small frames as they are', async () => {
    await using cluster = await startCluster({ env: shared });
    const writer = await cluster.connect();
    const first = await writer.publish('t', 'small');
    if (first.type !== 'published') throw new Error('The publication was not accepted.');
    for (let count = 0; count < 4; count++) await writer.publish('t', large);
    const reader = await cluster.connect(0, 'json');
    const reply = await reader.request({ type: 'subscribe', topic: 't', since: first.position });
    expect(reply).toMatchObject({ recovered: true });
    expect(traffic(reader).in).toBeLessThan(4_000);
    const before = traffic(reader).in;
    await writer.publish('t', 'x'.repeat(400));
    expect(await reader.take('t', 1)).toEqual(['x'.repeat(400)]);
    expect(traffic(reader).in - before).toBeGreaterThan(400);
  });
});

describe('a compressed frame', () => {
  it('ends the connection with frameTooLarge if it becomes too large, or at once beyond twice the limit, and does not affect other clients', async () => {
    await using cluster = await startCluster({ env: { ...shared, FANFARE_MAX_FRAME_BYTES: '4096' } });
    const other = await cluster.connect();
    // This library compresses from 1024 bytes on.
    const allowed = await cluster.connect(0, 'json');
    allowed.sendRaw('{"type":"ping","id":1}'.padEnd(4_096));
    expect(await allowed.next('pong')).toMatchObject({ id: 1 });
    expect(traffic(allowed).out).toBeLessThan(1_000);
    const large = await cluster.connect(0, 'json');
    large.sendRaw(' '.repeat(4_097));
    expect(await within('the connection is closed', large.closed)).toEqual(closeReasons.frameTooLarge);
    const larger = await cluster.connect(0, 'json');
    larger.sendRaw(' '.repeat(8_193));
    expect((await within('the connection is closed', larger.closed)).code).toBe(1006);
    await other.settle();
  });

  it('costs the node no memory, however large its content is, whole or in fragments', async () => {
    await using node = await startNode({ env: shared });
    await using other = await TestConnection.open(node.url);
    const bomb = deflateRawSync(Buffer.alloc(64 * 1_024 * 1_024), { level: 9 });
    expect(bomb.length).toBeLessThan(65_536 + 1_024);
    const settle = async (frames: readonly Buffer[]): Promise<void> => {
      const peer = await RawPeer.open(node.port);
      for (const frame of frames) peer.write(frame);
      await within('the connection is cut off', peer.ended);
    };
    const half = bomb.length >> 1;
    const shapes = [
      [frameOf(bomb, { isFirst: true, isLast: true })],
      [
        frameOf(bomb.subarray(0, half), { isFirst: true, isLast: false }),
        frameOf(bomb.subarray(half), { isFirst: false, isLast: true }),
      ],
    ];
    // The first frames fill buffers of the process, which it keeps.
    for (const frames of shapes) await settle(frames);
    const before = peakMemoryBytes(node.pid);
    for (let round = 0; round < 20; round++) for (const frames of shapes) await settle(frames);
    expect(peakMemoryBytes(node.pid) - before).toBeLessThan(8 * 1_024 * 1_024);
    await other.settle();
  });

  it('ends the connection if it is not valid deflate data', async () => {
    await using cluster = await startCluster({ env: shared });
    const other = await cluster.connect();
    const peer = await RawPeer.open(cluster.node().broker.port);
    peer.write(frameOf(Buffer.alloc(100, 0xff), { isFirst: true, isLast: true }));
    await within('the connection is cut off', peer.ended);
    await other.settle();
  });

  it('ends the connection if compression was not negotiated', async () => {
    await using cluster = await startCluster();
    const peer = await RawPeer.open(cluster.node().broker.port);
    peer.write(frameOf(deflateRawSync('{"type":"ping"}'), { isFirst: true, isLast: true }));
    await within('the connection is cut off', peer.ended);
  });
});

/** A client that compresses without restrictions. */
class RawPeer {
  readonly ended: Promise<void>;
  readonly #socket: Socket;
  #received = '';

  private constructor(port: number) {
    this.#socket = connect(port, '127.0.0.1');
    this.#socket.on('data', (data) => {
      this.#received += data.toString('latin1');
    });
    this.#socket.on('error', () => undefined);
    this.ended = new Promise((resolve) => this.#socket.once('close', () => resolve()));
  }

  static async open(port: number): Promise<RawPeer> {
    const peer = new RawPeer(port);
    peer.#socket.write(
      'GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n',
    );
    await until('the connection is open', () => peer.#received.includes('\r\n\r\n'));
    expect(peer.#received).toContain('101 Switching Protocols');
    return peer;
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }
}

/** A text frame, or a fragment of one, marked as compressed (RFC 7692 section 6); its mask is all zeros. */
function frameOf(payload: Buffer, { isFirst, isLast }: { isFirst: boolean; isLast: boolean }): Buffer {
  const header = Buffer.alloc(14);
  header[0] = (isLast ? 0x80 : 0) | (isFirst ? 0x41 : 0);
  header[1] = 0x80 | 127;
  header.writeBigUInt64BE(BigInt(payload.length), 2);
  return Buffer.concat([header, payload]);
}

/** The peak memory usage of the process. */
function peakMemoryBytes(pid: number): number {
  const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(peak) * 1_024;
}
