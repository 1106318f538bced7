/** Injected network faults, and their effects on the peers on both sides. */
import { createHash, randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { findFreePort } from '../src/free-port.js';
import { type FaultDirection, FaultProxy, pingRedis, startRedis } from '../src/index.js';

describe('FaultProxy', () => {
  it('passes both directions, and each close after the bytes before it', async () => {
    await using target = await Target.listen();
    await using proxy = await FaultProxy.start({ targetPort: target.port });
    expect(proxy.address).toBe(`127.0.0.1:${proxy.port}`);
    const [client, server] = await target.meet(proxy);
    expect(proxy.connections).toBe(1);

    client.socket.end('question');
    await server.sees('question|end');
    server.socket.end('answer');
    await client.sees('answer|end');
    await Promise.all([client.closed, server.closed]);
    await turns(() => proxy.connections === 0);
  });

  it.each(['toTarget', 'toClient'] as const)('passes a reset %s', async (direction) => {
    await using target = await Target.listen();
    await using proxy = await FaultProxy.start({ targetPort: target.port });
    const { sender, receiver } = await target.meetAs(direction, proxy);
    sender.socket.resetAndDestroy();
    await receiver.sees('|ECONNRESET');
    await turns(() => proxy.connections === 0);
  });

  it('resets a new connection if the target does not listen', async () => {
    await using proxy = await FaultProxy.start({ targetPort: await findFreePort() });
    await dial(proxy.port).sees('|ECONNRESET');
  });

  it('forwards new connections to another target, and resets existing ones', async () => {
    await using first = await Target.listen();
    await using second = await Target.listen();
    await using proxy = await FaultProxy.start({ targetPort: first.port });
    const [client, server] = await first.meet(proxy);
    proxy.retarget(second.port);
    await client.sees('|ECONNRESET');
    await server.sees('|ECONNRESET');
    await second.meet(proxy);
  });

  it.each(['toTarget', 'toClient'] as const)('lets a sender %s wait for a slow receiver', async (direction) => {
    await using target = await Target.listen();
    await using proxy = await FaultProxy.start({ targetPort: target.port });
    const { sender, receiver } = await target.meetAs(direction, proxy);
    const sent = randomBytes(64 * 1_048_576);
    receiver.socket.pause();
    for (let at = 0; at < sent.length; at += 65_536) sender.socket.write(sent.subarray(at, at + 65_536));
    sender.socket.end();
    await quiet(1_000);
    expect(sender.socket.writableLength).toBeGreaterThan(0);

    const hash = createHash('sha256');
    receiver.socket.removeAllListeners('data').on('data', (bytes) => hash.update(bytes));
    receiver.socket.resume();
    await receiver.sees('|end');
    expect(hash.digest('hex')).toBe(createHash('sha256').update(sent).digest('hex'));
  });

  it('accepts many connections without a warning', async () => {
    const warnings: Error[] = [];
    const warn = (warning: Error) => warnings.push(warning);
    process.on('warning', warn);
    {
      await using target = await Target.listen();
      await using proxy = await FaultProxy.start({ targetPort: target.port });
      for (let number = 0; number < 50; number++) await target.meet(proxy);
      expect(proxy.connections).toBe(50);
    }
    await quiet();
    process.off('warning', warn);
    expect(warnings).toEqual([]);
  });

  describe('blackhole', () => {
    it('holds both directions until it heals', async () => {
      await using target = await Target.listen();
      await using proxy = await FaultProxy.start({ targetPort: target.port });
      const [client, server] = await target.meet(proxy);
      proxy.blackhole();
      client.socket.write('a');
      server.socket.write('b');
      await quiet();
      expect([client.seen, server.seen, proxy.connections]).toEqual(['', '', 1]);

      await proxy.heal();
      await Promise.all([client.sees('b'), server.sees('a')]);
      client.socket.write('c');
      await server.sees('ac');
    });

    it.each([
      ['end', 'bytes|end', (socket: Socket) => socket.end('bytes')],
      ['reset', '|ECONNRESET', (socket: Socket) => socket.resetAndDestroy()],
    ] as const)('does not let the other side notice an %s before it heals', async (_, seen, leave) => {
      for (const direction of ['toTarget', 'toClient'] as const) {
        await using target = await Target.listen();
        await using proxy = await FaultProxy.start({ targetPort: target.port });
        const { sender, receiver } = await target.meetAs(direction, proxy);
        proxy.blackhole();
        leave(sender.socket);
        // Not even when the other side sends to a peer that is gone.
        receiver.socket.write('still there?');
        await quiet();
        expect([receiver.seen, receiver.socket.closed]).toEqual(['', false]);

        await proxy.heal();
        await receiver.sees(seen);
      }
    });

    it('does not answer new connections, and does not forward them to the target', async () => {
      await using target = await Target.listen();
      await using proxy = await FaultProxy.start({ targetPort: target.port });
      proxy.blackhole();
      const client = dial(proxy.port);
      await once(client.socket, 'connect');
      client.socket.write('hello');
      await quiet();
      expect([client.seen, target.accepted]).toEqual(['', 0]);

      await proxy.heal();
      const server = await target.accept();
      await server.sees('hello');
      server.socket.write('welcome');
      await client.sees('welcome');
    });
  });

  describe('block', () => {
    it.each([
      ['toTarget', 'toClient'],
      ['toClient', 'toTarget'],
    ] as const)('holds traffic %s, but not traffic %s', async (blocked, open) => {
      await using target = await Target.listen();
      await using proxy = await FaultProxy.start({ targetPort: target.port });
      const { sender, receiver } = await target.meetAs(open, proxy);
      proxy.block(blocked);
      receiver.socket.write('unheard');
      sender.socket.write('a');
      await receiver.sees('a');
      await quiet();
      sender.socket.end('b');
      await receiver.sees('ab|end');
      expect(sender.seen).toBe('');

      await proxy.heal();
      await sender.sees('unheard');
    });

    it('lets a close pass in the open direction only', async () => {
      await using target = await Target.listen();
      await using proxy = await FaultProxy.start({ targetPort: target.port });
      const [client, server] = await target.meet(proxy);
      proxy.block('toTarget');
      client.socket.resetAndDestroy();
      server.socket.write('still there?');
      await quiet();
      expect([server.seen, server.socket.closed]).toEqual(['', false]);

      await proxy.heal();
      await server.sees('|ECONNRESET');
      const [other, otherServer] = await target.meet(proxy);
      proxy.block('toTarget');
      otherServer.socket.resetAndDestroy();
      await other.sees('|ECONNRESET');
    });

    it('accepts new connections if only the answers are blocked', async () => {
      await using target = await Target.listen();
      await using proxy = await FaultProxy.start({ targetPort: target.port });
      proxy.block('toClient');
      const [client, server] = await target.meet(proxy);
      server.socket.write('unheard');
      client.socket.write('a');
      await server.sees('a');
      await quiet();
      expect(client.seen).toBe('');
    });
  });

  describe('reset', () => {
    it('resets both sides, and accepts new connections', async () => {
      await using target = await Target.listen();
      await using proxy = await FaultProxy.start({ targetPort: target.port });
      const peers = [...(await target.meet(proxy)), ...(await target.meet(proxy))];
      proxy.reset();
      expect(proxy.connections).toBe(0);
      await Promise.all(peers.map((peer) => peer.sees('|ECONNRESET')));

      const [client, server] = await target.meet(proxy);
      client.socket.write('again');
      await server.sees('again');
    });

    it('closes a connection whose close is being forwarded', async () => {
      await using target = await Target.listen();
      await using proxy = await FaultProxy.start({ targetPort: target.port });
      const [client, server] = await target.meet(proxy);
      proxy.blackhole();
      client.socket.end();
      await quiet();
      void proxy.heal();
      proxy.reset();
      await Promise.all([client.sees('|ECONNRESET'), server.sees('|end')]);
      // It received the end first, so it notices the reset only when it writes.
      await turns(() => {
        server.socket.write('anyone?');
        return server.socket.destroyed;
      });
    });
  });

  describe('refuse', () => {
    it('resets existing connections and refuses new ones, until it heals on the same port', async () => {
      await using target = await Target.listen();
      await using proxy = await FaultProxy.start({ targetPort: target.port });
      const peers = await target.meet(proxy);
      await proxy.refuse();
      expect(proxy.connections).toBe(0);
      await Promise.all(peers.map((peer) => peer.sees('|ECONNRESET')));
      await dial(proxy.port).sees('|ECONNREFUSED');

      const { port } = proxy;
      await proxy.heal();
      expect(proxy.port).toBe(port);
      const [client, server] = await target.meet(proxy);
      client.socket.write('again');
      await server.sees('again');
    });

    it('can be called several times with heal in between', async () => {
      await using target = await Target.listen();
      await using proxy = await FaultProxy.start({ targetPort: target.port });
      await Promise.all([proxy.refuse(), proxy.refuse(), proxy.heal(), proxy.heal(), proxy.refuse(), proxy.heal()]);
      await target.meet(proxy);
    });

    it('can heal only when no other process has the port', async () => {
      await using target = await Target.listen();
      await using proxy = await FaultProxy.start({ targetPort: target.port });
      await proxy.refuse();
      {
        await using _ = await FaultProxy.start({ targetPort: target.port, port: proxy.port });
        await expect(proxy.heal()).rejects.toThrow('EADDRINUSE');
      }
      await proxy.heal();
      await target.meet(proxy);
    });
  });

  describe('delay', () => {
    it('keeps the order of bytes and close', async () => {
      await using target = await Target.listen();
      await using proxy = await FaultProxy.start({ targetPort: target.port });
      const [client, server] = await target.meet(proxy);
      proxy.delay(3);
      let sent = '';
      for (let number = 0; number < 50; number++) {
        sent += `${number} `;
        client.socket.write(`${number} `);
        server.socket.write(`${number} `);
        await nextTurn();
      }
      client.socket.end();
      await server.sees(`${sent}|end`);
      await client.sees(sent);
      server.socket.resetAndDestroy();
      await client.sees(`${sent}|ECONNRESET`);
    });

    it('delivers delayed bytes when the delay is turned off', async () => {
      await using target = await Target.listen();
      await using proxy = await FaultProxy.start({ targetPort: target.port });
      const [client, server] = await target.meet(proxy);
      proxy.delay(3_600_000);
      client.socket.write('late');
      await quiet();
      expect(server.seen).toBe('');
      proxy.delay(0);
      await server.sees('late');
    });

    it('holds delayed bytes when the network fails', async () => {
      await using target = await Target.listen();
      await using proxy = await FaultProxy.start({ targetPort: target.port });
      const [client, server] = await target.meet(proxy);
      proxy.delay(3_600_000);
      client.socket.write('late');
      await quiet();
      proxy.blackhole();
      proxy.delay(0);
      await quiet();
      expect(server.seen).toBe('');
      await proxy.heal();
      await server.sees('late');
    });

    it('makes a sender wait if too many bytes are delayed', async () => {
      await using target = await Target.listen();
      await using proxy = await FaultProxy.start({ targetPort: target.port });
      const [client, server] = await target.meet(proxy);
      proxy.delay(3_600_000);
      client.socket.end(Buffer.alloc(64 * 1_048_576));
      await quiet(1_000);
      expect(client.socket.writableLength).toBeGreaterThan(0);
      server.socket.removeAllListeners('data').resume();
      proxy.delay(0);
      await server.sees('|end');
    });
  });

  describe('dispose', () => {
    it.each([
      ['nothing', () => {}],
      ['a blackhole', (proxy: FaultProxy) => proxy.blackhole()],
      ['a delay', (proxy: FaultProxy) => proxy.delay(3_600_000)],
      ['a refusal', (proxy: FaultProxy) => proxy.refuse()],
    ] as const)('leaves no socket, no timer and a free port after %s', async (_, fault) => {
      await using target = await Target.listen();
      await quiet();
      const before = countResources();
      const proxy = await FaultProxy.start({ targetPort: target.port });
      const peers = await target.meet(proxy);
      await fault(proxy);
      for (const peer of peers) peer.socket.write('on its way');
      await quiet();
      await proxy[Symbol.asyncDispose]();
      expect(proxy.connections).toBe(0);
      await Promise.all(peers.map((peer) => peer.closed));
      await turns(() => countResources().every((count, at) => count <= (before[at] ?? 0)));

      await using _next = await FaultProxy.start({ targetPort: target.port, port: proxy.port });
    });

    it('stays disposed of', async () => {
      const proxy = await FaultProxy.start({ targetPort: 1 });
      await Promise.all([proxy.refuse(), proxy[Symbol.asyncDispose](), proxy.heal()]);
      await dial(proxy.port).sees('|ECONNREFUSED');
    });
  });

  it('fails if its port is taken', async () => {
    await using target = await Target.listen();
    await expect(FaultProxy.start({ targetPort: 1, port: target.port })).rejects.toThrow('EADDRINUSE');
  });

  it('works in front of Redis', async () => {
    await using redis = await startRedis();
    await using proxy = await FaultProxy.start({ targetPort: redis.port });
    expect(await pingRedis('127.0.0.1', proxy.port)).toEqual({ pid: redis.pid });
    proxy.blackhole();
    expect(await pingRedis('127.0.0.1', proxy.port, 50)).toBeNull();
    await proxy.heal();
    expect(await pingRedis('127.0.0.1', proxy.port)).toEqual({ pid: redis.pid });
  });
});

/** One end of a connection and everything it received: bytes as text, then `|` and how it ended. */
class Peer {
  seen = '';
  readonly closed: Promise<void>;
  readonly #wake = new EventEmitter();

  constructor(readonly socket: Socket) {
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('data', (bytes: Buffer) => this.#note(bytes.toString()));
    socket.on('end', () => this.#note('|end'));
    socket.on('error', (error: NodeJS.ErrnoException) => this.#note(`|${error.code}`));
  }

  /** Waits until it has received this many characters, and compares them. */
  async sees(expected: string): Promise<void> {
    while (this.seen.length < expected.length) await once(this.#wake, 'seen');
    expect(this.seen).toBe(expected);
  }

  #note(what: string): void {
    this.seen += what;
    this.#wake.emit('seen');
  }
}

/** The target of the proxy. */
class Target implements AsyncDisposable {
  readonly #server: Server;
  readonly #peers: Peer[] = [];
  readonly #waiting: Peer[] = [];

  static async listen(): Promise<Target> {
    const server = createServer({ allowHalfOpen: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Target(server);
  }

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket) => {
      const peer = new Peer(socket);
      this.#peers.push(peer);
      this.#waiting.push(peer);
      server.emit('met');
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The number of connections that it has accepted. */
  get accepted(): number {
    return this.#peers.length;
  }

  async accept(): Promise<Peer> {
    while (true) {
      const peer = this.#waiting.shift();
      if (peer !== undefined) return peer;
      await once(this.#server, 'met');
    }
  }

  /** A new connection through the proxy: the end of the client and the end of the target. */
  async meet(proxy: FaultProxy): Promise<[client: Peer, server: Peer]> {
    const client = dial(proxy.port);
    this.#peers.push(client);
    await once(client.socket, 'connect');
    return [client, await this.accept()];
  }

  async meetAs(direction: FaultDirection, proxy: FaultProxy): Promise<{ sender: Peer; receiver: Peer }> {
    const [client, server] = await this.meet(proxy);
    return direction === 'toTarget' ? { sender: client, receiver: server } : { sender: server, receiver: client };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.#peers) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

function dial(port: number): Peer {
  return new Peer(connect({ port, host: '127.0.0.1', allowHalfOpen: true }));
}

/** Sends bytes back and forth without the proxy, often enough that everything sent through the proxy has arrived. */
async function quiet(roundTrips = 30): Promise<void> {
  const server = createServer((socket) => socket.pipe(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  for (let trip = 0; trip < roundTrips; trip++) {
    socket.write('.');
    await once(socket, 'data');
  }
  socket.destroy();
  server.close();
  await once(server, 'close');
}

/** Runs the event loop until the condition is true, for conditions without an event. */
async function turns(isSo: () => boolean): Promise<void> {
  for (let turn = 0; !isSo(); turn++) {
    if (turn === 100_000) throw new Error(`The condition did not become true: ${isSo}`);
    await nextTurn();
  }
}

/** The number of open sockets and timers in this process. */
function countResources(): number[] {
  const open = process.getActiveResourcesInfo();
  return ['TCPSocketWrap', 'Timeout'].map((kind) => open.filter((name) => name === kind).length);
}
