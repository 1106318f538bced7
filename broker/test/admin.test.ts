/** The admin port while a client holds many of its sockets. Issue 13, point 6. */
import { once } from 'node:events';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { Admin, type AdminSources, type AdminTimeouts } from '../src/node/admin.js';
import { maxAdminSockets } from '../src/node/admin-sockets.js';
import { startCluster } from './harness.js';
import { until, within } from './wait.js';

/** Sockets that one client holds. Each of them first sends `text`. */
class Holder implements Disposable {
  readonly sockets: readonly Socket[];

  private constructor(sockets: readonly Socket[]) {
    this.sockets = sockets;
  }

  static async open(port: number, localAddress: string, count: number, text: string): Promise<Holder> {
    const sockets = Array.from({ length: count }, () => {
      const socket = connect({ port, host: '127.0.0.1', localAddress });
      socket.on('error', () => undefined);
      socket.resume();
      return socket;
    });
    const opened = sockets.map(async (socket) => {
      await once(socket, 'connect');
      if (text !== '') socket.write(text);
    });
    await within('the sockets are open', Promise.all(opened));
    return new Holder(sockets);
  }

  get open(): number {
    return this.sockets.filter(({ closed }) => !closed).length;
  }

  [Symbol.dispose](): void {
    for (const socket of this.sockets) socket.destroy();
  }
}

/** The status, or the code of the error, of a request on a socket of its own. */
function get(port: number, path: string, localAddress = '127.0.0.1'): Promise<number | string | undefined> {
  return new Promise((resolve) => {
    const probe = request({ port, host: '127.0.0.1', localAddress, path, agent: false }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode));
    });
    probe.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code));
    probe.end();
  });
}

/** Longer than any test needs for a request. */
const patient: AdminTimeouts = { requestMs: 60_000, unreadMs: 60_000 };
const hasty: AdminTimeouts = { requestMs: 500, unreadMs: 1_000 };

/** An admin port without a node, whose /healthz answers when `answer` is called. */
async function startAdmin(
  timeouts: AdminTimeouts,
): Promise<AsyncDisposable & { readonly admin: Admin; asked(): number; answer(): void }> {
  let asked = 0;
  let answer: () => void = () => undefined;
  const answered = new Promise<null>((resolve) => {
    answer = () => resolve(null);
  });
  const sources: AdminSources = {
    about: () => ({ node: 'n', clientPort: 1, isTls: false, hasRedis: false, asksForTokens: false }),
    stuck: () => {
      asked++;
      return answered;
    },
    readiness: async () => ({ isReady: true, reason: 'serving' }),
    metrics: async () => '',
  };
  const admin = await Admin.start({ adminHost: '127.0.0.1', adminPort: 0 }, sources, timeouts);
  return { admin, asked: () => asked, answer, [Symbol.asyncDispose]: () => admin.close() };
}

describe('the admin port', () => {
  it.each([
    ['sockets that send nothing', ''],
    ['incomplete requests', 'GET /healthz HTTP/1.1\r\nHost: x\r\n'],
    ['answered requests that stay open', 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['requests without their body', 'GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n'],
  ])('answers every probe while a client holds more sockets than the limit (%s)', async (_, text) => {
    await using cluster = await startCluster();
    const { adminPort } = cluster.node().broker;
    if (adminPort === null) throw new Error('The node has no admin port.');
    for (const holderAddress of ['127.0.0.1', '127.0.0.2']) {
      using _holder = await Holder.open(adminPort, holderAddress, maxAdminSockets + 20, text);
      for (let probe = 0; probe < 20; probe++) {
        expect(await get(adminPort, probe % 2 === 0 ? '/healthz' : '/metrics')).toBe(200);
      }
    }
  });

  it('holds no more sockets than its limit', async () => {
    await using started = await startAdmin(patient);
    using holder = await Holder.open(started.admin.port, '127.0.0.1', maxAdminSockets + 20, '');
    await until('the port closes some sockets', () => holder.open === maxAdminSockets);
    expect(holder.sockets.slice(0, 20).every(({ closed }) => closed)).toBe(true);
  });

  it('sends the answer to a running request before it closes that socket, and drops other sockets without an answer', async () => {
    await using started = await startAdmin(patient);
    const { port } = started.admin;
    const probes = [get(port, '/healthz'), get(port, '/healthz', '127.0.0.2')];
    await until('both requests reach the node', () => started.asked() === 2);
    using idle = await Holder.open(port, '127.0.0.1', 2 * maxAdminSockets, '');
    await until('the port closes some sockets', () => idle.open < maxAdminSockets);
    // Each of these has sent a request, like the probes.
    using asking = await Holder.open(
      port,
      '127.0.0.3',
      2 * maxAdminSockets,
      'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n',
    );
    await until('the port closes some sockets', () => asking.open < maxAdminSockets);
    started.answer();
    expect(await within('the probes get answers', Promise.all(probes))).toEqual([200, 200]);
  });

  it.concurrent('closes a socket that sends nothing', async () => {
    await using started = await startAdmin(hasty);
    using holder = await Holder.open(started.admin.port, '127.0.0.1', 1, '');
    await until('the socket is closed', () => holder.open === 0);
  });

  it.concurrent('closes a socket that sends its request byte by byte', async () => {
    await using started = await startAdmin(hasty);
    using holder = await Holder.open(
      started.admin.port,
      '127.0.0.1',
      1,
      'GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ',
    );
    await until('the socket is closed', () => {
      // The client keeps sending, so the port cannot close the socket because it is silent.
      for (const socket of holder.sockets) socket.write('x');
      return holder.open === 0;
    });
  });

  it.concurrent('closes a socket whose client does not read the answers', async () => {
    await using started = await startAdmin(hasty);
    const { port } = started.admin;
    const socket = connect({ port, host: '127.0.0.1' });
    socket.on('error', () => undefined).pause();
    // More answers than fit into the buffers of a socket.
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2_000));
    // Only a socket that writes or reads notices that it was closed. Empty lines do not count as a request.
    await until('the socket is closed', () => {
      socket.write('\r\n');
      return socket.errored !== null;
    });
    socket.destroy();
  });
});
