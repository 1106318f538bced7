import { once } from 'node:events';
import { connect } from 'node:net';
import { closeReasons } from '@fanfare/protocol';
import { describe, expect, it } from 'vitest';
import { startCluster } from './harness.js';
import { until, within } from './wait.js';

describe('an unreadable frame', () => {
  it('gets an error, and the connection stays open', async () => {
    await using cluster = await startCluster();
    const json = await cluster.connect(0, 'json');
    json.sendRaw('{"type":');
    expect(await json.next('error')).toMatchObject({ id: null, code: 'malformed', retryable: false });
    json.sendRaw('{"type":"dance","id":3}');
    expect(await json.next('error')).toMatchObject({ id: 3, code: 'unknownCommand' });
    const msgpack = await cluster.connect(0, 'msgpack');
    msgpack.sendRaw(Uint8Array.of(0x92, 8, 5, 0xff));
    expect(await msgpack.next('pong')).toEqual({ type: 'pong', id: 5 });
    expect(await msgpack.next('error')).toMatchObject({ id: null, code: 'malformed' });
    await json.settle();
    await msgpack.settle();
  });

  it('of the wrong kind gets an error that names the expected kind', async () => {
    await using cluster = await startCluster();
    const json = await cluster.connect(0, 'json');
    json.sendRaw(Uint8Array.of(0x92, 8, 1));
    expect(await json.next('error')).toMatchObject({
      code: 'malformed',
      message: 'This connection uses fanfare.v1.json. Send text frames.',
    });
    const msgpack = await cluster.connect(0, 'msgpack');
    msgpack.sendRaw('{"type":"ping"}');
    expect(await msgpack.next('error')).toMatchObject({
      code: 'malformed',
      message: 'This connection uses fanfare.v1.msgpack. Send binary frames.',
    });
  });

  it('ends the connection with badProtocol if it is the tenth in a row', async () => {
    await using cluster = await startCluster();
    const client = await cluster.connect(0, 'json');
    for (let frame = 0; frame < 10; frame++) client.sendRaw('what?');
    expect(await within('the connection is closed', client.closed)).toEqual(closeReasons.badProtocol);
  });

  it('ends it too if ten mistakes are in one frame, without an answer to each', async () => {
    await using cluster = await startCluster();
    const client = await cluster.connect(0, 'json');
    client.sendRaw(JSON.stringify(Array.from({ length: 10_000 }, () => 1)));
    expect(await within('the connection is closed', client.closed)).toEqual(closeReasons.badProtocol);
    expect(client.inbox.waiting.length).toBe(10);
  });

  it('does not count if a valid one follows', async () => {
    await using cluster = await startCluster();
    const client = await cluster.connect(0, 'json');
    for (let round = 0; round < 3; round++) {
      for (let frame = 0; frame < 9; frame++) client.sendRaw('what?');
      await client.settle();
    }
    for (let round = 0; round < 3; round++) {
      for (let frame = 0; frame < 9; frame++) client.sendRaw('what?');
      expect(await client.subscribe('no.*')).toMatchObject({ code: 'invalidTopic' });
    }
  });
});

describe('a large frame', () => {
  it('ends the connection with frameTooLarge if it exceeds the limit', async () => {
    await using cluster = await startCluster({ env: { FANFARE_MAX_FRAME_BYTES: '2048' } });
    const client = await cluster.connect(0, 'json');
    client.sendRaw(' '.repeat(2_049));
    expect(await within('the connection is closed', client.closed)).toEqual(closeReasons.frameTooLarge);
  });

  it('is accepted if it is exactly at the limit', async () => {
    await using cluster = await startCluster({ env: { FANFARE_MAX_FRAME_BYTES: '2048' } });
    const client = await cluster.connect(0, 'json');
    client.sendRaw('{"type":"ping","id":1}'.padEnd(2_048));
    expect(await client.next('pong')).toMatchObject({ id: 1 });
  });

  it('ends the connection unread beyond twice the limit, and does not affect other connections', async () => {
    await using cluster = await startCluster({ env: { FANFARE_MAX_FRAME_BYTES: '2048' } });
    const client = await cluster.connect(0, 'json');
    const other = await cluster.connect(0, 'json');
    client.sendRaw(' '.repeat(10_000));
    expect((await within('the connection is closed', client.closed)).code).toBe(1006);
    await other.settle();
  });
});

describe.concurrent('an idle connection', () => {
  it('gets pings from the start, also if its client receives publications', async () => {
    await using cluster = await startCluster({ env: { FANFARE_PING_INTERVAL_MS: '1000' } });
    const clients = [await cluster.subscriber('quiet'), await cluster.subscriber('busy')];
    const pings = new Map(clients.map((client) => [client, 0]));
    for (const client of clients) client.socket.on('ping', () => void pings.set(client, (pings.get(client) ?? 0) + 1));
    const writer = await cluster.connect();
    // With uWebSockets' own pings the first would come after 44 s.
    await until('each client has received two pings', () => {
      writer.post('busy', 1);
      return [...pings.values()].every((count) => count >= 2);
    });
    for (const client of clients) await client.settle();
  });

  it('gets pings even if its client reads slowly: the ping is queued behind unread data', async () => {
    const env = { FANFARE_PING_INTERVAL_MS: '1000', FANFARE_MAX_BUFFERED_BYTES: '67108864' };
    await using cluster = await startCluster({ env });
    const slow = await cluster.subscriber('busy');
    const witness = await cluster.connect();
    const writer = await cluster.connect();
    const heard: unknown[] = [];
    slow.socket.on('ping', () => heard.push('ping'));
    slow.socket.on('message', () => {
      const message = slow.inbox.waiting.at(-1);
      if (message?.type === 'publications') heard.push(...message.items.map((item) => 'data' in item && item.data));
    });
    let witnessed = 0;
    witness.socket.on('ping', () => witnessed++);
    slow.socket.pause();
    await until('something is unread', async () => {
      await writer.publish('busy', 'x'.repeat(50_000));
      return (await cluster.node().metric('fanfare_buffered_bytes')) > 0;
    });
    await writer.publish('busy', 'first');
    // Pings are due at the same pace for all: by the third ping of another client, the slow client was due for one.
    const enough = witnessed + 3;
    await until('another client has received three pings', () => witnessed >= enough);
    await writer.publish('busy', 'last');
    slow.socket.resume();
    await until('all data is read', () => heard.includes('last'));
    expect(heard.slice(heard.indexOf('first'), heard.indexOf('last'))).toContain('ping');
  });

  it('ends if its peer does not even answer pings', async () => {
    await using cluster = await startCluster({ env: { FANFARE_IDLE_TIMEOUT_SECONDS: '8' } });
    // A socket that sends nothing after its handshake: it has no library to answer pings.
    const socket = connect(cluster.node().broker.port, '127.0.0.1');
    const key = 'dGhlIHNhbXBsZSBub25jZQ==';
    socket.write(
      `GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
    );
    const received: Buffer[] = [];
    socket.on('data', (data) => received.push(data));
    await until('the socket is connected', () => Buffer.concat(received).includes('101'));
    await within('the socket is cut off', once(socket, 'close'), 18_000);
    // A ping is frame 0x89 with no payload (RFC 6455 section 5.5.2).
    expect(Buffer.concat(received).subarray(-2)).toEqual(Buffer.of(0x89, 0));
    expect(await cluster.node().metric('fanfare_connections')).toBe(0);
  });

  it('stays open if the library of its client answers pings', async () => {
    await using cluster = await startCluster({ env: { FANFARE_IDLE_TIMEOUT_SECONDS: '8' } });
    const client = await cluster.connect();
    let pings = 0;
    client.socket.on('ping', () => {
      pings++;
    });
    await until('three pings have arrived', () => pings >= 3, 18_000);
    await client.settle();
  });
});
