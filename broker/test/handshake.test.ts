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

/** Sends a request unchanged and resolves with the head and body of the answer. */
async function ask(
  lines: readonly string[],
  of = cluster,
): Promise<{ status: string; headers: Map<string, string>; body: string }> {
  const socket = connect(of.node().broker.port, '127.0.0.1');
  let text = '';
  socket.on('data', (data) => {
    text += data.toString('latin1');
    // A node that has accepted the upgrade keeps the connection open.
    if (text.includes(' 101 ')) socket.end();
  });
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  await within('the node answers and closes the connection', once(socket, 'close'));
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
  it('is accepted in the form of RFC 6455 section 1.3, and selects JSON if no subprotocol was offered', async () => {
    const { status, headers } = await ask(without());
    expect(status).toBe('101 Switching Protocols');
    expect(headers.get('sec-websocket-accept')).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    expect(headers.has('sec-websocket-protocol')).toBe(false);
  });

  it('selects the first subprotocol that the node knows, and returns only that', async () => {
    const { headers } = await ask([
      ...without(),
      'Sec-WebSocket-Protocol: other.v9, fanfare.v1.json, fanfare.v1.msgpack',
    ]);
    expect(headers.get('sec-websocket-protocol')).toBe('fanfare.v1.json');
  });

  it('is refused for unknown subprotocols, with a list of the known ones', async () => {
    const { status, body } = await ask([...without(), 'Sec-WebSocket-Protocol: fanfare.v9.msgpack']);
    expect(status).toBe('400 Bad Request');
    expect(body).toContain(
      'Unsupported subprotocol "fanfare.v9.msgpack". Offer one of fanfare.v1.msgpack, fanfare.v1.json',
    );
  });

  it('gets status 426 with the supported version if it asks for another version of WebSocket', async () => {
    const { status, headers, body } = await ask([...without('version'), 'Sec-WebSocket-Version: 8']);
    expect(status).toBe('426 Upgrade Required');
    expect(headers.get('sec-websocket-version')).toBe('13');
    expect(body).toBe('Sec-WebSocket-Version must be 13, not "8".\n');
  });

  it('gets status 426 if the version is missing', async () => {
    expect((await ask(without('version'))).status).toBe('426 Upgrade Required');
  });

  it.each([
    '',
    'Sec-WebSocket-Key: short',
    'Sec-WebSocket-Key: ########################',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTEyMw==',
  ])('gets status 400 for a bad key: "%s"', async (key) => {
    const { status, body } = await ask([...without('key'), ...(key === '' ? [] : [key])]);
    expect(status).toBe('400 Bad Request');
    expect(body).toBe('Sec-WebSocket-Key must be 16 random bytes in base64.\n');
  });

  it('gets status 426 if it is a plain GET', async () => {
    const { status, headers } = await ask(without('upgrade', 'connection', 'key', 'version'));
    expect(status).toBe('426 Upgrade Required');
    expect(headers.get('upgrade')).toBe('websocket');
  });

  it.each([
    ['Upgrade: h2c', 'Connection: Upgrade'],
    ['Upgrade: websocket', 'Connection: close'],
  ])('gets status 400 if it upgrades to something else: %s, %s', async (upgrade, connection) => {
    const { status } = await ask([...without('upgrade', 'connection'), upgrade, connection]);
    expect(status).toBe('400 Bad Request');
  });

  it.each(['POST', 'PUT', 'OPTIONS', 'DELETE'])(
    'gets status 405 with the permitted methods if the method is %s',
    async (method) => {
      const { status, headers } = await ask([`${method} /ws HTTP/1.1`, ...without('request'), 'Content-Length: 0']);
      expect(status).toBe('405 Method Not Allowed');
      expect(headers.get('allow')).toBe('GET, HEAD');
    },
  );

  it.each(['/', '/wss', '/ws/', '/ws/chat'])('gets status 404 with the right path if the path is %s', async (path) => {
    const { status, body } = await ask([`GET ${path} HTTP/1.1`, ...without('request')]);
    expect(status).toBe('404 Not Found');
    expect(body).toContain('The WebSocket endpoint is /ws');
  });

  it('ignores the query string', async () => {
    expect((await ask(['GET /ws?x=1 HTTP/1.1', ...without('request')])).status).toBe('101 Switching Protocols');
  });

  it('treats several lines of a header as one list', async () => {
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

  it('works in JSON with any WebSocket tool', async () => {
    const socket = new WebSocket(cluster.node().url);
    await within('the connection opens', once(socket, 'open'));
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
