import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { startCluster, type TestCluster } from './harness.js';
import { within } from './wait.js';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster();
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

/** Sends a request as it stands and resolves with the head and body of the answer. */
async function ask(
  lines: readonly string[],
  of = cluster,
): Promise<{ status: string; headers: Map<string, string>; body: string }> {
  const socket = connect(of.node().broker.port, '127.0.0.1');
  let text = '';
  socket.on('data', (data) => {
    text += data.toString('latin1');
    // A node that has upgraded keeps the connection open.
    if (text.includes(' 101 ')) socket.end();
  });
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  await within('the node answers and closes', once(socket, 'close'));
  const [head = '', body = ''] = text.split('\r\n\r\n', 2);
  const [status = '', ...fields] = head.split('\r\n');
  const headers = new Map(
    fields.map((field) => [field.slice(0, field.indexOf(':')).toLowerCase(), field.slice(field.indexOf(':') + 2)]),
  );
  return { status: status.slice('HTTP/1.1 '.length), headers, body };
}

const handshake = {
  request: 'GET /ws HTTP/1.1',
  host: 'Host: localhost',
  upgrade: 'Upgrade: websocket',
  connection: 'Connection: keep-alive, Upgrade',
  key: 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  version: 'Sec-WebSocket-Version: 13',
};

function without(...names: (keyof typeof handshake)[]): string[] {
  return Object.entries(handshake).flatMap(([name, line]) =>
    names.includes(name as keyof typeof handshake) ? [] : [line],
  );
}

describe('the opening handshake', () => {
  it('is accepted as RFC 6455 section 1.3 shows it, and speaks JSON where no subprotocol was offered', async () => {
    const { status, headers } = await ask(without());
    expect(status).toBe('101 Switching Protocols');
    expect(headers.get('sec-websocket-accept')).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    expect(headers.has('sec-websocket-protocol')).toBe(false);
  });

  it('takes the first subprotocol that it knows, and repeats only that', async () => {
    const { headers } = await ask([
      ...without(),
      'Sec-WebSocket-Protocol: other.v9, fanfare.v1.json, fanfare.v1.msgpack',
    ]);
    expect(headers.get('sec-websocket-protocol')).toBe('fanfare.v1.json');
  });

  it('refuses subprotocols that it does not know, and lists those it does', async () => {
    const { status, body } = await ask([...without(), 'Sec-WebSocket-Protocol: fanfare.v9.msgpack']);
    expect(status).toBe('400 Bad Request');
    expect(body).toContain(
      'Unsupported subprotocol "fanfare.v9.msgpack". Offer one of fanfare.v1.msgpack, fanfare.v1.json',
    );
  });

  it('answers another version of WebSocket with 426 and the version that it speaks', async () => {
    const { status, headers, body } = await ask([...without('version'), 'Sec-WebSocket-Version: 8']);
    expect(status).toBe('426 Upgrade Required');
    expect(headers.get('sec-websocket-version')).toBe('13');
    expect(body).toBe('Sec-WebSocket-Version must be 13, not "8".\n');
  });

  it('answers a missing version likewise', async () => {
    expect((await ask(without('version'))).status).toBe('426 Upgrade Required');
  });

  it.each([
    '',
    'Sec-WebSocket-Key: short',
    'Sec-WebSocket-Key: ########################',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTEyMw==',
  ])('answers a bad key with 400: "%s"', async (key) => {
    const { status, body } = await ask([...without('key'), ...(key === '' ? [] : [key])]);
    expect(status).toBe('400 Bad Request');
    expect(body).toBe('Sec-WebSocket-Key must be 16 random bytes in base64.\n');
  });

  it('answers a plain GET with 426', async () => {
    const { status, headers } = await ask(without('upgrade', 'connection', 'key', 'version'));
    expect(status).toBe('426 Upgrade Required');
    expect(headers.get('upgrade')).toBe('websocket');
  });

  it.each([
    ['Upgrade: h2c', 'Connection: Upgrade'],
    ['Upgrade: websocket', 'Connection: close'],
  ])('answers an upgrade to something else with 400: %s, %s', async (upgrade, connection) => {
    const { status } = await ask([...without('upgrade', 'connection'), upgrade, connection]);
    expect(status).toBe('400 Bad Request');
  });

  it.each(['POST', 'PUT', 'OPTIONS', 'DELETE'])('answers %s with 405 and the methods that it takes', async (method) => {
    const { status, headers } = await ask([`${method} /ws HTTP/1.1`, ...without('request'), 'Content-Length: 0']);
    expect(status).toBe('405 Method Not Allowed');
    expect(headers.get('allow')).toBe('GET, HEAD');
  });

  it.each(['/', '/wss', '/ws/', '/ws/chat'])('answers the path %s with 404 and the path that it has', async (path) => {
    const { status, body } = await ask([`GET ${path} HTTP/1.1`, ...without('request')]);
    expect(status).toBe('404 Not Found');
    expect(body).toContain('The WebSocket endpoint is /ws');
  });

  it('ignores a query behind the path', async () => {
    expect((await ask(['GET /ws?x=1 HTTP/1.1', ...without('request')])).status).toBe('101 Switching Protocols');
  });

  it('takes several lines of a header for one list', async () => {
    const split = await ask([
      ...without('connection', 'upgrade'),
      ...['Upgrade: h2c', 'Upgrade: websocket', 'Connection: keep-alive', 'Connection: Upgrade'],
      ...['Sec-WebSocket-Protocol: other.v9', 'Sec-WebSocket-Protocol: fanfare.v1.msgpack'],
    ]);
    expect(split.status).toBe('101 Switching Protocols');
    expect(split.headers.get('sec-websocket-protocol')).toBe('fanfare.v1.msgpack');
    const twoKeys = await ask([...without(), handshake.key]);
    expect(twoKeys.status).toBe('400 Bad Request');
    await using open = await startCluster({
      env: { FANFARE_ORIGINS: 'https://app.example.com', FANFARE_COMPRESSION: 'shared' },
    });
    const extensions = ['Sec-WebSocket-Extensions: x-other', 'Sec-WebSocket-Extensions: permessage-deflate'];
    const compressed = await ask([...without(), ...extensions], open);
    expect(compressed.headers.get('sec-websocket-extensions')).toContain('permessage-deflate');
    const page = 'Origin: https://app.example.com';
    expect((await ask([...without(), page], open)).status).toBe('101 Switching Protocols');
    for (const origins of [
      [page, 'Origin: https://evil.example'],
      ['Origin: https://evil.example', page],
    ]) {
      expect((await ask([...without(), ...origins], open)).status).toBe('403 Forbidden');
    }
  });

  it('works with any WebSocket tool by hand, in JSON', async () => {
    const socket = new WebSocket(cluster.node().url);
    await within('it opens', once(socket, 'open'));
    socket.send('{"type":"subscribe","id":1,"topic":"news"}');
    const [subscribed] = await within('a reply', once(socket, 'message'));
    const { epoch } = JSON.parse(String(subscribed)) as { epoch: string };
    expect(String(subscribed)).toBe(
      `{"type":"subscribed","id":1,"topic":"news","epoch":"${epoch}","offset":0,"recovered":false,"publications":[]}`,
    );
    socket.send('{"type":"publish","topic":"news","data":"hello"}');
    const [publications] = await within('a publication', once(socket, 'message'));
    expect(String(publications)).toBe(
      `{"type":"publications","topic":"news","epoch":"${epoch}","offset":1,"items":[{"data":"hello"}]}`,
    );
    socket.close();
    await once(socket, 'close');
  });
});
