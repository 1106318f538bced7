/** `fanfare doctor` against real faults: proxies, certificates, clocks, tokens, draining nodes, a lost Redis. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child, findFreePort, startRedis } from '@fanfare/local-cluster';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CertificateFolder } from '../../broker/test/certificates.js';
import { startCluster, type TestCluster } from '../../broker/test/harness.js';
import { TestConnection } from '../../broker/test/test-connection.js';
import { until } from '../../broker/test/wait.js';
import { findProgram, missingPrograms } from '../../test/deployment/programs.js';
import { type Ended, run } from './cli.js';

interface Finding {
  readonly verdict: 'ok' | 'warning' | 'problem' | 'skipped';
  readonly check: string;
  readonly sentence: string;
  readonly cause?: string;
  readonly advice?: string;
}

interface Examination {
  readonly code: number | null;
  readonly findings: readonly Finding[];
  /** The problems and warnings, by check. */
  readonly wrong: Readonly<Record<string, Finding>>;
}

const secret = 'a secret that is known to this test only';
const secure = {
  FANFARE_AUTH: JSON.stringify({ issuers: [{ issuer: 'id', keys: [{ algorithm: 'HS256', secret }] }] }),
};

let cluster: TestCluster;
let folder: string;

beforeAll(async () => {
  cluster = await startCluster();
  folder = mkdtempSync(join(tmpdir(), 'fanfare-doctor-'));
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const doctor = (args: readonly string[], env: Record<string, string> = {}): Promise<Ended> =>
  run(['doctor', ...args], { env });

async function examine(
  url: string,
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<Examination> {
  const { code, out, err } = await doctor([url, '--json', ...args], env);
  expect(err).toBe('');
  const { findings } = JSON.parse(out) as { readonly findings: readonly Finding[] };
  const wrong = findings.filter(({ verdict }) => verdict === 'problem' || verdict === 'warning');
  // Each problem has something to do; each sentence ends.
  for (const { sentence, cause = '.', advice = '.' } of findings) {
    for (const text of [sentence, cause, advice]) expect(text).toMatch(/[.)]$/);
  }
  return { code, findings, wrong: Object.fromEntries(wrong.map((finding) => [finding.check, finding])) };
}

/** Listens on a free port of 127.0.0.1 until it is disposed of. */
async function listen(server: Server): Promise<AsyncDisposable & { readonly port: number }> {
  const sockets = new Set<{ destroy(): unknown }>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('a broker without faults', () => {
  it('is well, with a topic too, and the output says so', async () => {
    const { url } = cluster.node();
    const { code, out, err } = await doctor([url, '--topic', 'news']);
    expect([code, err]).toEqual([0, '']);
    const lines = out.split('\n');
    expect(lines.slice(0, 2)).toEqual([url, '']);
    expect(lines.slice(2, -3).filter((line) => !line.startsWith('ok       '))).toEqual([]);
    for (const sentence of [
      'Port',
      'A Fanfare node of version 0.1.0 answers',
      'The clocks',
      'Connections stay open',
      'POST requests reach the node',
      'The WebSocket handshake works',
      'The node pings every 25 s.',
      'accepts clients without a token',
      'A round trip takes',
      'One node belongs',
      'Subscribing to news works',
      'nothing buffers them',
      'A publication to news came back',
      'It arrived in the event stream too.',
    ])
      expect(out).toContain(sentence);
    expect(lines.at(-2)).toBe('All is well.');
  });

  it('publishes nothing without --topic, and keeps a connection silent with --idle', async () => {
    const { url } = cluster.node();
    const { code, findings, wrong } = await examine(url, ['--idle', '1']);
    expect([code, wrong]).toEqual([0, {}]);
    expect(findings.find(({ check }) => check === 'publish')?.verdict).toBe('skipped');
    expect(findings.find(({ check }) => check === 'idle')?.sentence).toBe(
      'A connection without publications stayed open for 1 s.',
    );
  });
});

describe('a wrong address', () => {
  it('has no host, no port, no TLS, or another server', async () => {
    expect(await examine('ws://no.such.host.invalid')).toMatchObject({
      code: 1,
      wrong: { dns: { verdict: 'problem', sentence: expect.stringMatching(/^(?:There is no host|The name)/) } },
    });
    expect(await examine('ws://127.0.0.1:1')).toMatchObject({
      code: 1,
      wrong: { tcp: { sentence: 'No connection to 127.0.0.1, port 1 (ECONNREFUSED).' } },
    });
    const tls = await examine(cluster.node().url.replace('ws:', 'wss:'));
    expect(tls).toMatchObject({ code: 1, wrong: { tls: { cause: 'The server does not speak TLS on this port.' } } });
    await using other = await listen(createHttpServer((_, response) => response.end('<!doctype html><p>Hello</p>')));
    const html = await examine(`http://127.0.0.1:${other.port}`);
    expect(html.code).toBe(1);
    expect(Object.keys(html.wrong)).toEqual(expect.arrayContaining(['http', 'webSocket']));
    expect(await doctor(['localhost:8080'])).toMatchObject({ code: 2 });
  });

  it('is a server that never answers', async () => {
    await using deaf = await listen(createTcpServer(() => undefined));
    const { code, wrong } = await examine(`ws://127.0.0.1:${deaf.port}`, ['--timeout', '1']);
    expect([code, wrong['http']?.sentence]).toEqual([
      1,
      'The server accepts the connection but gives no HTTP answer: no answer within 1 s.',
    ]);
  });

  it('is a WebSocket server that opens connections and says nothing', async () => {
    const { WebSocketServer } = await import('ws');
    const server = createHttpServer((_, response) => response.writeHead(404).end());
    new WebSocketServer({ server, handleProtocols: () => 'fanfare.v1.json' });
    await using silent = await listen(server);
    const { wrong } = await examine(`ws://127.0.0.1:${silent.port}`, ['--timeout', '1']);
    expect(wrong['firstAnswer']).toMatchObject({
      sentence: 'The WebSocket opened, but the first command got no answer: no answer within 1 s.',
    });
  });
});

describe('a certificate', () => {
  const certificate = new CertificateFolder('doctor');
  afterAll(() => certificate[Symbol.dispose]());

  /** A certificate that was valid for a day of the past. */
  function expired(): { readonly cert: Buffer; readonly key: Buffer } {
    const path = (name: string): string => join(folder, name);
    writeFileSync(
      path('ca.cnf'),
      `[ca]\ndefault_ca=own\n[own]\ndatabase=${path('index')}\nserial=${path('serial')}\nnew_certs_dir=${folder}\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n`,
    );
    writeFileSync(path('index'), '');
    writeFileSync(path('serial'), '01\n');
    const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
    openssl(
      ...['req', '-new', '-subj', '/CN=localhost', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'],
      ...['-nodes', '-keyout', path('key.pem'), '-out', path('request.pem')],
    );
    openssl(
      ...['ca', '-config', path('ca.cnf'), '-selfsign', '-batch', '-in', path('request.pem')],
      ...['-keyfile', path('key.pem'), '-out', path('cert.pem'), '-notext'],
      ...['-startdate', '20240101000000Z', '-enddate', '20240102000000Z'],
    );
    return { cert: readFileSync(path('cert.pem')), key: readFileSync(path('key.pem')) };
  }

  it('that is self-signed, for another name, or expires soon, is explained', async () => {
    await using node = await startCluster({ env: certificate.env });
    const url = node.node().url.replace('127.0.0.1', 'localhost');
    expect((await examine(url)).wrong['certificate']).toMatchObject({
      verdict: 'problem',
      sentence: 'The certificate is self-signed, so clients do not trust it.',
    });
    const trusted = await examine(url, [], { NODE_EXTRA_CA_CERTS: certificate.certFile });
    expect([trusted.code, trusted.wrong]).toEqual([0, {}]);
    const byAddress = await examine(node.node().url.replace('127.0.0.1', '127.0.0.2'), [], {
      NODE_EXTRA_CA_CERTS: certificate.certFile,
    });
    expect(byAddress.wrong['tcp'] ?? byAddress.wrong['certificate']).toBeDefined();
    using soon = new CertificateFolder('soon', 3);
    await using other = await startCluster({ env: soon.env });
    const warned = await examine(other.node().url, [], { NODE_EXTRA_CA_CERTS: soon.certFile });
    expect([warned.code, warned.wrong['certificate']?.verdict]).toEqual([0, 'warning']);
    expect(warned.wrong['certificate']?.sentence).toMatch(/^The certificate is valid until .* \(3 days\)\.$/);
  });

  it('that has expired is explained, and the checks go on', async () => {
    await using server = await listen(createHttpsServer(expired(), (_, response) => response.writeHead(404).end()));
    const { code, wrong } = await examine(`wss://localhost:${server.port}`);
    expect(code).toBe(1);
    expect(wrong['certificate']).toMatchObject({
      sentence: expect.stringMatching(/^The certificate expired \d+ days ago \(2024-01-02\)\.$/),
    });
    expect(wrong['http']?.sentence).toContain('HTTP 404');
  });
});

const missing = missingPrograms('nginx');

describe.skipIf(missing !== '')(`nginx${missing}`, () => {
  /** In front of the node. `lines`: of its location. */
  async function startNginx(lines: string, server = ''): Promise<AsyncDisposable & { readonly url: string }> {
    const port = await findFreePort();
    const own = mkdtempSync(join(folder, 'nginx-'));
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    const paths = temporary.map((kind) => `${kind}_temp_path ${join(own, kind)};`).join(' ');
    const upstream = new URL(cluster.node().url).host;
    writeFileSync(
      join(own, 'nginx.conf'),
      `daemon off; master_process off; pid ${join(own, 'pid')}; error_log stderr;
      events { worker_connections 100; }
      http { access_log off; ${paths}
        server { listen 127.0.0.1:${port}; ${server}
          location / { proxy_pass http://${upstream}; ${lines} } } }`,
    );
    const command = [findProgram('nginx') ?? '', '-p', own, '-e', 'stderr', '-c', join(own, 'nginx.conf')] as const;
    const child = new Child({ command: [...command] });
    await until('nginx answers', async () => {
      if (child.hasExited) throw new Error(child.explain('nginx ended.'));
      return fetch(`http://127.0.0.1:${port}/`).then(
        () => true,
        () => false,
      );
    });
    return {
      url: `ws://127.0.0.1:${port}/ws`,
      async [Symbol.asyncDispose]() {
        await child.kill();
      },
    };
  }

  const upgrade =
    'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";';

  it('that passes everything on is well, and is named', async () => {
    await using nginx = await startNginx(upgrade);
    const { code, findings, wrong } = await examine(nginx.url, ['--topic', 'news']);
    expect([code, wrong]).toEqual([0, {}]);
    expect(findings.find(({ check }) => check === 'http')?.sentence).toContain('Through nginx');
  });

  it('that removes the header Upgrade', async () => {
    await using nginx = await startNginx('proxy_http_version 1.1;');
    const { code, wrong } = await examine(nginx.url);
    expect([code, Object.keys(wrong)]).toEqual([1, ['webSocket']]);
    expect(wrong['webSocket']).toMatchObject({
      sentence: expect.stringContaining('HTTP 426'),
      cause: 'A proxy removes the headers Upgrade and Connection, so the node sees a plain request.',
    });
  });

  it('that speaks HTTP/1.0 with the node, as it does by default', async () => {
    await using nginx = await startNginx('');
    const { code, wrong } = await examine(nginx.url);
    expect(code).toBe(1);
    for (const check of ['http', 'webSocket'])
      expect(wrong[check]).toMatchObject({
        sentence: expect.stringContaining('HTTP 505'),
        advice: expect.stringContaining('proxy_http_version 1.1'),
      });
  });

  it('that collects event streams to compress them', async () => {
    // The node says X-Accel-Buffering: no, which otherwise makes nginx send each piece at once.
    const compressed = 'gzip on; gzip_types text/event-stream; gzip_min_length 1;';
    await using nginx = await startNginx(`${upgrade} proxy_ignore_headers X-Accel-Buffering;`, compressed);
    const { code, wrong } = await examine(nginx.url, ['--timeout', '5']);
    expect([code, Object.keys(wrong)]).toEqual([1, ['eventStream']]);
    expect(wrong['eventStream']).toMatchObject({
      sentence: expect.stringContaining('did not arrive within 5 s.'),
      cause: expect.stringContaining('A proxy buffers or compresses responses'),
      advice: expect.stringContaining('gzip off'),
    });
  });

  it('that refuses POST, and closes each connection', async () => {
    await using nginx = await startNginx(`${upgrade} limit_except GET { deny all; }`, 'keepalive_timeout 0;');
    const { code, wrong } = await examine(nginx.url);
    expect([code, Object.keys(wrong)]).toEqual([1, ['keepAlive', 'post']]);
    expect(wrong['post']?.sentence).toBe('A POST request is answered with HTTP 403, not by the node.');
  });

  it('that closes silent connections', async () => {
    await using nginx = await startNginx(`${upgrade} proxy_read_timeout 2s;`);
    const { code, wrong } = await examine(nginx.url, ['--idle', '20']);
    expect(code).toBe(1);
    expect(wrong['idle']?.sentence).toMatch(/^A connection without publications was closed after \d+ ms: code 1006\.$/);
  });

  it('that has no node', async () => {
    await using nginx = await startNginx(upgrade);
    const conf = await startNginxWithoutNode();
    await using _ = conf;
    const { code, wrong } = await examine(conf.url);
    expect(code).toBe(1);
    expect(wrong['http']).toMatchObject({
      sentence: expect.stringContaining('HTTP 502'),
      cause: 'The proxy has no node that answers.',
    });
    expect(nginx.url).not.toBe(conf.url);
  });

  async function startNginxWithoutNode() {
    const dead = await findFreePort();
    return startNginx(
      `${upgrade}`,
      `location /ws { proxy_pass http://127.0.0.1:${dead}; } location /v1 { proxy_pass http://127.0.0.1:${dead}; }`,
    );
  }
});

describe('a node that requires tokens', () => {
  let guarded: TestCluster;
  beforeAll(async () => {
    guarded = await startCluster({ env: secure });
  });
  afterAll(() => guarded[Symbol.asyncDispose]());

  const now = (): number => Math.floor(Date.now() / 1_000);

  function sign(claims: object, key = secret): Promise<string> {
    return new SignJWT({ iss: 'id', sub: 'ada', fanfare: { subscribe: ['chat.a'], publish: ['chat.>'] }, ...claims })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.from(key));
  }

  it('says what a valid token permits, and uses a topic that it names', async () => {
    const token = await sign({ exp: now() + 3_600 });
    const { code, findings, wrong } = await examine(guarded.node().url, [], { FANFARE_TOKEN: token });
    expect([code, wrong]).toEqual([0, {}]);
    const found = (check: string): string | undefined => findings.find((finding) => finding.check === check)?.sentence;
    expect(found('token')).toMatch(
      /^The node accepts the token\. Expires .* May publish to: chat\.>\. May subscribe to and read: chat\.a\.$/,
    );
    expect(found('subscribe')).toContain('Subscribing to chat.a works');
  });

  it.each([
    ['none', async () => null, 'The node refuses a client without a token', /FANFARE_TOKEN/],
    [
      'an expired one',
      () => sign({ exp: now() - 3_600 }),
      'The node refuses the token',
      /It has expired: .* \(60 min ago\)\./,
    ],
    [
      'one of a machine with a wrong clock',
      () => sign({ iat: now() + 1_800, exp: now() + 3_600 }),
      'The node refuses the token',
      /issued in the future: the clock of the issuer or of this machine is wrong\./,
    ],
    [
      'one with another key',
      () => sign({ exp: now() + 3_600 }, 'another secret that the node does not know'),
      'The node refuses the token',
      /does not know the key.* issuer "id"\./,
    ],
    ['no token at all', async () => 'abc', 'The node refuses the token', /neither a JWT/],
  ])('explains %s', async (_name, make, sentence, explanation) => {
    const token = await make();
    const { code, wrong } = await examine(guarded.node().url, [], token === null ? {} : { FANFARE_TOKEN: token });
    expect(code).toBe(1);
    expect(Object.keys(wrong)).toEqual(['token']);
    expect(wrong['token']?.sentence).toContain(sentence);
    expect(`${wrong['token']?.cause ?? ''} ${wrong['token']?.advice ?? ''}`).toMatch(explanation);
  });

  it('says that a topic is not permitted', async () => {
    const token = await sign({ exp: now() + 3_600 });
    const { code, wrong } = await examine(guarded.node().url, ['--topic', 'news'], { FANFARE_TOKEN: token });
    expect(code).toBe(1);
    expect(wrong['subscribe']).toMatchObject({ cause: 'The token does not permit it.' });
  });
});

it('a server with a wrong clock is noticed', async () => {
  const openapi = JSON.stringify({ info: { title: 'Fanfare', version: '0.1.0' } });
  const server = createHttpServer({ keepAlive: true }, (_, response) => {
    const late = new Date(Date.now() - 600_000).toUTCString();
    response.writeHead(200, { Date: late, 'Content-Type': 'application/json' }).end(openapi);
  });
  await using listening = await listen(server);
  const { wrong } = await examine(`ws://127.0.0.1:${listening.port}`, ['--timeout', '2']);
  expect(wrong['clock']?.sentence).toBe('The clock of the server is 10 min behind the clock of this machine.');
});

it('a node that drains says so', async () => {
  const draining = await startCluster({ nodes: 2, env: { FANFARE_DRAIN_WINDOW_MS: '60000' } });
  const { broker, url } = draining.node();
  // It waits for this client.
  const client = await TestConnection.open(url);
  const drained = broker.drain();
  await client.next('goaway');
  // It accepts no new connections.
  const { code, wrong } = await examine(url);
  expect(code).toBe(1);
  expect(wrong['tcp']?.cause).toContain('is shutting down');
  await client.close();
  await drained;
  await draining[Symbol.asyncDispose]();
});

it('a node without Redis says so', async () => {
  const redis = await startRedis();
  await using lonely = await startCluster({ redis });
  await redis[Symbol.asyncDispose]();
  await until('the node has noticed', async () => (await lonely.node().readiness()).status === 503);
  const { code, wrong } = await examine(lonely.node().url, ['--topic', 'news']);
  expect(code).toBe(1);
  expect(wrong['subscribe']).toMatchObject({
    cause: 'The node cannot reach Redis, so it cannot reach the other nodes.',
  });
});
