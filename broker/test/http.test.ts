/** Answers of a node to plain HTTP requests: HEAD, and requests that uWebSockets.js itself never answers. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { maxOpenRequests, maxOpenRequestsOfOwner } from '../src/http/open-requests.js';
import { CertificateFolder } from './certificates.js';
import { startCluster, type TestCluster } from './harness.js';
import { until, within } from './wait.js';

const key = 'fk_shop_Vd2rV1cW0e5vG8hJ3kM6nP9qS2tU5wX8';
const sha256 = '04a950661f0547c9cb1baf0e60601a6bc92efac423fa8e2d3a91ec20d5e8a3e9';

interface Answer {
  readonly status: string;
  /** In lower case; a header that occurs twice has both values. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

function read(text: string): Answer {
  const end = text.indexOf('\r\n\r\n');
  const [status = '', ...fields] = text.slice(0, end).split('\r\n');
  const headers: Record<string, string> = {};
  for (const field of fields) {
    const colon = field.indexOf(':');
    const name = field.slice(0, colon).toLowerCase();
    headers[name] = [headers[name], field.slice(colon + 2)].filter(Boolean).join(', ');
  }
  return { status, headers, body: text.slice(end + 4) };
}

/** Resolves with everything received until the node closes the connection. */
async function whole(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('latin1');
  socket.on('data', (piece) => {
    text += piece;
  });
  await within('the node closes the connection', once(socket, 'close'));
  return text;
}

interface Port {
  readonly dial: () => Socket;
  /** Additional header lines. */
  readonly lines: readonly string[];
}

async function ask({ dial, lines }: Port, method: string, path: string): Promise<Answer> {
  const socket = dial();
  socket.write([`${method} ${path} HTTP/1.1`, 'Host: localhost', ...lines, '', ''].join('\r\n'));
  return read(await whole(socket));
}

describe('a HEAD request', () => {
  const certificate = new CertificateFolder('http');
  let plain: TestCluster;
  let secure: TestCluster;
  const auth = { FANFARE_AUTH: JSON.stringify({ apiKeys: [{ id: 'shop', sha256, permissions: {} }] }) };

  beforeAll(async () => {
    plain = await startCluster({ env: auth });
    secure = await startCluster({ env: { ...auth, ...certificate.env } });
  });
  afterAll(async () => {
    await plain[Symbol.asyncDispose]();
    await secure[Symbol.asyncDispose]();
    certificate[Symbol.dispose]();
  });

  const ports = {
    'the client port': { dial: () => connect(plain.node().broker.port, '127.0.0.1'), lines: [] },
    'the client port with TLS': {
      dial: () => connectTls({ port: secure.node().broker.port, host: '127.0.0.1', ca: certificate.ca }),
      lines: [],
    },
    'the admin port': {
      dial: () => connect(plain.node().broker.adminPort ?? 0, '127.0.0.1'),
      // Without this header, the connection would stay open for a while.
      lines: ['Connection: close'],
    },
  } as const satisfies Readonly<Record<string, Port>>;
  const clientPaths = ['/', '/ws', '/ws/'];
  const routes: readonly (readonly [keyof typeof ports, string])[] = [
    ...clientPaths.map((path) => ['the client port', path] as const),
    ...clientPaths.map((path) => ['the client port with TLS', path] as const),
    ...['/', '/node.json', '/healthz', '/readyz', '/nothing'].map((path) => ['the admin port', path] as const),
  ];

  it.each(routes)('gets the answer to GET without the body: %s, %s', async (port, path) => {
    const get = await ask(ports[port], 'GET', path);
    const head = await ask(ports[port], 'HEAD', path);
    expect(get.body).not.toBe('');
    expect(Number(get.headers['content-length'])).toBe(get.body.length);
    const { date: _, ...headers } = get.headers;
    expect(head).toEqual({ status: get.status, headers: expect.objectContaining(headers), body: '' });
  });

  it('gets the answer to GET from /metrics too, although its values change', async () => {
    const { status, headers, body } = await ask(ports['the admin port'], 'HEAD', '/metrics');
    expect([status, body]).toEqual(['HTTP/1.1 200 OK', '']);
    expect(Number(headers['content-length'])).toBeGreaterThan(1_000);
  });

  it('is not refused if a load balancer uses it for health checks', async () => {
    const refused = (): Promise<number> => plain.node().metric('fanfare_connections_refused_total');
    const before = await refused();
    await ask(ports['the client port'], 'HEAD', '/ws');
    expect(await refused()).toBe(before);
    await ask(ports['the client port'], 'GET', '/ws');
    expect(await refused()).toBe(before + 1);
  });

  it('does not open a WebSocket', async () => {
    const lines = [
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ];
    const { status, body } = await ask({ ...ports['the client port'], lines }, 'HEAD', '/ws');
    expect([status, body]).toEqual(['HTTP/1.1 426 Upgrade Required', '']);
  });
});

// Concurrent: they wait for the deadlines of the node and of uWebSockets.
describe.concurrent('a POST request', () => {
  const env = {
    FANFARE_AUTH: JSON.stringify({ apiKeys: [{ id: 'shop', sha256, permissions: {} }] }),
    FANFARE_HANDSHAKES_PER_SECOND: '100000',
  };
  const dial = (cluster: TestCluster): Socket =>
    connect({ port: cluster.node().broker.port, host: '127.0.0.1', noDelay: true });
  const head = `POST /v1/tickets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\n`;

  it.each([
    ['whose Content-Length: 0 arrives in a second segment', [head, 'Content-Length: 0\r\n\r\n']],
    ['with a chunk extension', [`${head}Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n`]],
    ['without its body', [`${head}Content-Length: 10\r\n\r\n`]],
  ])('that uWebSockets never answers gets an answer: %s', async (_, segments) => {
    await using cluster = await startCluster({ env });
    const socket = dial(cluster);
    for (const segment of segments) {
      await new Promise((resolve) => socket.write(segment, resolve));
      // Another request is answered in between, so that the node has read the segment on its own.
      await fetch(cluster.node().url.replace('ws:', 'http:'));
    }
    expect(read(await whole(socket))).toMatchObject({
      status: 'HTTP/1.1 408 Request Timeout',
      headers: { 'content-type': 'application/problem+json', connection: 'close' },
      body: expect.stringContaining(
        'The node did not receive the whole body within 5 s. Send it with Content-Length and without chunk extensions.',
      ),
    });
  });

  it('is refused if too many others are open, and accepted again once those have been answered', async () => {
    await using cluster = await startCluster({ env });
    const refused = 'HTTP/1.1 503 Service Unavailable';
    const answers: string[] = [];
    const stranger = head.replace(key, 'fk_nobody_0000');
    const sockets = Array.from({ length: maxOpenRequests + 1 }, () => {
      const socket = dial(cluster);
      socket.setEncoding('latin1').on('data', (piece) => answers.push(read(String(piece)).status));
      socket.write(`${stranger}Content-Length: 10\r\n\r\n{`);
      return socket;
    });
    await until('one request is refused', () => answers.includes(refused));
    // A service has its own limit.
    const service = dial(cluster);
    service.write(`${head}Connection: close\r\nContent-Length: 2\r\n\r\n{}`);
    expect(read(await whole(service)).status).toBe('HTTP/1.1 201 Created');
    await until('the other requests are answered', () => answers.length === sockets.length);
    expect(answers.filter((status) => status === refused)).toHaveLength(1);
    expect(new Set(answers)).toEqual(new Set([refused, 'HTTP/1.1 408 Request Timeout']));
    const socket = dial(cluster);
    socket.write(`${head}Connection: close\r\nContent-Length: 2\r\n\r\n{}`);
    expect(read(await whole(socket)).status).toBe('HTTP/1.1 201 Created');
  });

  it('is refused if too many others of its address are open, while those of other addresses are served', async () => {
    await using proxied = await startCluster({ env: { ...env, FANFARE_TRUSTED_PROXIES: '127.0.0.1' } });
    const { port } = proxied.node().broker;
    const post = async (client: string, token: string, rest: string): Promise<string> => {
      const lines = [`X-Forwarded-For: ${client}`, `Authorization: Bearer ${token}`, 'Connection: close'];
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      socket.write(['POST /v1/tickets HTTP/1.1', 'Host: x', ...lines, rest].join('\r\n'));
      return read(await whole(socket)).status;
    };
    const complete = (client: string): Promise<string> => post(client, key, 'Content-Length: 2\r\n\r\n{}');
    const refused = 'HTTP/1.1 429 Too Many Requests';
    const answers: string[] = [];
    const slow = Array.from({ length: maxOpenRequestsOfOwner + 1 }, async () => {
      // Not a valid key: the node checks it when the body is complete.
      answers.push(await post('192.0.2.1', 'fk_nobody_0000', 'Content-Length: 10\r\n\r\n{'));
    });
    await until('one request is refused', () => answers.includes(refused));
    expect(await complete('192.0.2.2')).toBe('HTTP/1.1 201 Created');
    await Promise.all(slow);
    expect(answers.filter((status) => status === refused)).toHaveLength(1);
    expect(await complete('192.0.2.1')).toBe('HTTP/1.1 201 Created');
  });
});

describe('a request that was refused before its body arrived', () => {
  it('no longer counts for its address', async () => {
    await using cluster = await startCluster({
      env: {
        FANFARE_AUTH: JSON.stringify({ apiKeys: [{ id: 'shop', sha256, permissions: { publish: ['>'] } }] }),
        FANFARE_HANDSHAKES_PER_SECOND: '100000',
        FANFARE_TRUSTED_PROXIES: '127.0.0.1',
      },
    });
    const { port } = cluster.node().broker;
    const begin = (token: string): Socket => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      const lines = ['Host: x', 'X-Forwarded-For: 192.0.2.1', 'Content-Type: application/json', 'Connection: close'];
      const head = ['POST /v1/topics/t/publications HTTP/1.1', ...lines, `Authorization: Bearer ${token}`];
      socket.write([...head, 'Content-Length: 2', '', '1'].join('\r\n'));
      return socket;
    };
    const refused = Array.from({ length: maxOpenRequestsOfOwner }, async () => {
      const socket = begin('fk_nobody_0000');
      const [answer] = await once(socket, 'data');
      expect(read(String(answer)).status).toBe('HTTP/1.1 401 Unauthorized');
      return socket;
    });
    const sockets = await Promise.all(refused);
    const socket = begin(key);
    // Another request is answered in between, so that the node has read the first part of the body on its own.
    await fetch(cluster.node().url.replace('ws:', 'http:'));
    socket.write('1');
    expect(read(await whole(socket)).status).toBe('HTTP/1.1 200 OK');
    for (const each of sockets) each.destroy();
  });
});

describe.concurrent('a request that uWebSockets neither answers nor passes on', () => {
  it.each([
    ['no Host', 'GET /ws HTTP/1.1\r\n\r\n'],
    ['a folded header', 'GET /ws HTTP/1.1\r\nHost: x\r\nX-Long: a\r\n b\r\n\r\n'],
    ['a bare line feed', 'GET /ws HTTP/1.1\r\nHost: x\n\r\n'],
    ['no end', 'GET /ws HTTP/1.1\r\nHost: x\r\n'],
    ['nothing at all', ''],
  ])('counts against the limit of sockets, and its connection is closed: %s', async (_, text) => {
    // One connection, and 128 more sockets that are not WebSockets yet.
    await using cluster = await startCluster({ env: { FANFARE_MAX_CONNECTIONS: '1' } });
    const { port } = cluster.node().broker;
    const closed = Array.from({ length: 129 }, () => {
      const socket = connect(port, '127.0.0.1');
      socket.write(text);
      socket.resume();
      return once(socket, 'close');
    });
    // A socket beyond the limit is closed at once, which is counted.
    const metric = (): Promise<number> => cluster.node().metric('fanfare_connections_over_capacity_total');
    await until('the next socket is refused', async () => {
      connect(port, '127.0.0.1').resume();
      return (await metric()) > 0;
    });
    await within('all sockets are closed', Promise.all(closed), 18_000);
    await cluster.connect();
  });
});
