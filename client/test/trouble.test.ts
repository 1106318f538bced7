/** No server, another port, another path: what the application is told, and how often. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { createClient, type FanfareError, type WebSocketConstructor } from '@fanfare/client';
import { expect, it } from 'vitest';
import { NodeWebSocket } from '../src/websocket-node.js';
import { failure, quick, record } from './harness.js';
import { startTestNode, until } from './test-node.js';

/** Nobody listens there. */
const nobody = 'ws://127.0.0.1:1/ws?ticket=secret';

it('says why there is no connection, where, and after how many attempts', async () => {
  await using client = createClient(nobody, { ...quick, timeoutMs: 1_000 });
  const errors = record(client, 'error');
  for (const waiting of [client.publish('a', 1), client.history('a')]) {
    const error = (await failure(waiting)) as FanfareError & { cause: FanfareError };
    const why = /No connection to ws:\/\/127\.0\.0\.1:1\/ws after \d+ attempts: connect ECONNREFUSED 127\.0\.0\.1:1$/;
    expect(error).toMatchObject({ code: 'timeout', maybeDelivered: false, message: expect.stringMatching(why) });
    expect(error.message).toMatch(/^No answer in time \(1000 ms\)\. /);
    expect(error.cause).toMatchObject({ code: 'connectFailed', message: expect.stringMatching(why) });
    expect(error.cause.cause).toMatchObject({ code: 'ECONNREFUSED' });
    expect(JSON.stringify([error.message, error.cause.message])).not.toContain('secret');
  }
  // Once, at the first attempt.
  expect(errors).toEqual([
    expect.objectContaining({
      code: 'connectFailed',
      message: 'No connection to ws://127.0.0.1:1/ws after 1 attempt: connect ECONNREFUSED 127.0.0.1:1',
    }),
  ]);
});

it('says what the server says', async () => {
  await using node = await startTestNode();
  node.refuseWith = 404;
  node.sentence = 'There is nothing here; the WebSocket endpoint is /ws.';
  await using client = createClient(node.url, quick);
  const states = record(client, 'state');
  const errors = record(client, 'error');
  client.subscribe('a');
  await until(() => errors.length > 0);
  const reason = `HTTP 404: ${node.sentence}`;
  expect(errors[0]?.message).toBe(`No connection to ${node.url} after 1 attempt: ${reason}`);
  expect(states[1]).toMatchObject({ name: 'connecting', code: 'connectFailed', reason });
  node.refuseWith = null;
  await client.connect();
  (await node.connection()).cut();
  node.refuseWith = 503;
  await until(() => states.filter(({ name }) => name === 'connecting').length >= 4);
  // That a connection is lost later is a state, and no error.
  expect(errors).toHaveLength(1);
});

it('writes one warning to the console if nobody listens', async () => {
  const script = `
    const { createClient } = await import('@fanfare/client');
    const client = createClient('${nobody}', { reconnectMaxDelayMs: 5 });
    client.publish('a', 1, { timeoutMs: 200 }).catch(() => client.close());
  `;
  const args = ['--input-type=module', '--eval', script];
  const { stderr } = await promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname });
  expect(stderr.split('Fanfare: ')).toHaveLength(2);
  expect(stderr).toContain('No connection to ws://127.0.0.1:1/ws after 1 attempt: connect ECONNREFUSED 127.0.0.1:1');
  expect(stderr).not.toContain('secret');
});

/** As browsers have it, and Node since version 22. */
class SilentWebSocket extends NodeWebSocket {
  constructor(url: string, protocols: string) {
    super(url, protocols);
    const told = { onerror: null as NodeWebSocket['onerror'] };
    Object.defineProperty(this, 'onerror', {
      get: () => told.onerror && (() => told.onerror?.({})),
      set: (listener) => {
        told.onerror = listener;
      },
    });
  }
}

it('asks with a plain request why, if the WebSocket does not tell', async () => {
  const webSocket: WebSocketConstructor = SilentWebSocket;
  await using node = await startTestNode();
  const messageOf = async (url: string): Promise<string | undefined> => {
    await using client = createClient(url, { ...quick, webSocket });
    const errors = record(client, 'error');
    client.subscribe('a');
    await until(() => errors.length > 0);
    return errors[0]?.message;
  };
  const { url: gone } = await startTestNode().then(async (other) => {
    const { url } = other;
    await other[Symbol.asyncDispose]();
    return { url };
  });
  expect(await messageOf(gone)).toMatch(/after \d+ attempts?: connect ECONNREFUSED 127\.0\.0\.1:\d+$/);
  node.refuseWith = 404;
  node.sentence = 'There is nothing here.';
  expect(await messageOf(node.url)).toMatch(/attempts?: HTTP 404: There is nothing here\.$/);
  node.refuseWith = 426;
  expect(await messageOf(node.url)).toMatch(/A node answers there, and does not accept the WebSocket/);
});
