/**
 * What TLS and compression cost a node: memory for each connection, CPU for each handshake and delivery, bytes on the
 * wire. One node in memory, one topic, publications one at a time, JSON.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { buildFrame, FrameWalker, handshakeLines } from '@fanfare/kit/frames';
import { readCpuNs, readMemory } from '@fanfare/kit/process-usage';
import { type NodeProcess, startNode } from '@fanfare/local-cluster';

const publications = 100;
/** Handshakes at the same time. */
const atOnce = 50;

const extension = 'Sec-WebSocket-Extensions: permessage-deflate';
const request = `${[...handshakeLines('/ws', 'localhost'), extension].join('\r\n')}\r\n\r\n`;

/** A subscriber that counts frames without decoding them, so compression does not matter. */
class Subscriber {
  frames = 0;
  bytes = 0;
  readonly #socket: Socket;
  readonly #walker = new FrameWalker(true);
  /** Null once the handshake is over. */
  #head: Buffer | null = Buffer.alloc(0);
  #wake: () => void = () => undefined;

  constructor({ port, url }: NodeProcess) {
    const options = { port, host: '127.0.0.1', noDelay: true };
    const isTls = url.startsWith('wss:');
    this.#socket = isTls ? connectTls({ ...options, rejectUnauthorized: false }) : connectTcp(options);
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#socket.write(request);
  }

  send(command: object): void {
    this.#socket.write(buildFrame(JSON.stringify(command)));
  }

  /** Wait for it before sending: the server could take earlier bytes for a part of the handshake. */
  async opened(): Promise<void> {
    await this.#until(() => this.#head === null);
  }

  async until(frames: number): Promise<void> {
    await this.#until(() => this.frames >= frames);
  }

  async #until(isMet: () => boolean): Promise<void> {
    while (!isMet()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer): void {
    let rest: Uint8Array = chunk;
    if (this.#head !== null) {
      const head = Buffer.concat([this.#head, chunk]);
      const end = head.indexOf('\r\n\r\n');
      this.#head = end < 0 ? head : null;
      if (end < 0) return;
      rest = head.subarray(end + 4);
    }
    this.#walker.walk(rest, (_opcode, _bytes, start, end) => {
      this.frames++;
      this.bytes += end - start + (end - start < 126 ? 2 : end - start < 0x10000 ? 4 : 10);
    });
    this.#wake();
  }
}

/** JSON of about this size. Names repeat and numbers do not, as in most JSON. */
function sampleData(bytes: number): object {
  const quotes: object[] = [];
  const quote = (): object => ({
    symbol: `S${Math.floor(Math.random() * 1e4)}`,
    bid: Math.random() * 100,
    ask: Math.random() * 100,
    at: Date.now(),
  });
  do quotes.push(quote());
  while (JSON.stringify(quotes).length < bytes);
  return quotes;
}

async function measure(
  name: string,
  env: Readonly<Record<string, string>>,
  connections: number,
  bytes: number,
): Promise<string[]> {
  await using node = await startNode({ env });
  const subscribers: Subscriber[] = [];
  const connect = async (count: number): Promise<void> => {
    for (let opened = 0; opened < count; opened += atOnce) {
      const some = Array.from({ length: Math.min(atOnce, count - opened) }, () => new Subscriber(node));
      for (const subscriber of some) await subscriber.opened();
      for (const subscriber of some) subscriber.send({ type: 'subscribe', id: 1, topic: 't' });
      for (const subscriber of some) await subscriber.until(1);
      subscribers.push(...some);
    }
  };
  let published = 0;
  const publish = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index++) {
      published++;
      subscribers[0]?.send({ type: 'publish', topic: 't', data: sampleData(bytes) });
      for (const subscriber of subscribers) await subscriber.until(1 + published);
    }
  };
  // The first connections cause allocations that the process then keeps.
  await connect(atOnce);
  await publish(50);
  const warm = subscribers.splice(0);
  published = 0;
  const [memory, cpu] = [await readMemory(node.pid), await readCpuNs(node.pid)];
  for (const subscriber of warm) subscriber.close();
  await connect(connections);
  const [memoryAfter, cpuAfter] = [await readMemory(node.pid), await readCpuNs(node.pid)];
  const bytesBefore = subscribers.reduce((sum, subscriber) => sum + subscriber.bytes, 0);
  await publish(publications);
  const cpuLast = await readCpuNs(node.pid);
  const received = subscribers.reduce((sum, subscriber) => sum + subscriber.bytes, 0) - bytesBefore;
  for (const subscriber of subscribers) subscriber.close();
  const deliveries = connections * publications;
  return [
    name,
    ((memoryAfter.anonymousBytes - memory.anonymousBytes) / 1_024 / connections).toFixed(1),
    ((cpuAfter - cpu) / 1e6 / connections).toFixed(2),
    ((cpuLast - cpuAfter) / 1e3 / deliveries).toFixed(2),
    (received / deliveries).toFixed(0),
  ];
}

export const transportHead = ['', 'KiB a connection', 'ms CPU a handshake', 'µs CPU a delivery', 'bytes a delivery'];

export async function transportCosts(connections: number, bytes: number): Promise<string[][]> {
  const folder = mkdtempSync(join(tmpdir(), 'fanfare-transport-'));
  try {
    const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', keyFile];
    execFileSync('openssl', ['req', '-x509', ...key, '-out', certFile, '-days', '2', '-subj', '/CN=localhost'], {
      stdio: 'pipe',
    });
    const tls = { FANFARE_TLS_CERT_FILE: certFile, FANFARE_TLS_KEY_FILE: keyFile };
    const compression = { FANFARE_COMPRESSION: 'shared' };
    return [
      await measure('ws', {}, connections, bytes),
      await measure('wss', tls, connections, bytes),
      await measure('ws, compressed', compression, connections, bytes),
      await measure('wss, compressed', { ...tls, ...compression }, connections, bytes),
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}
