/** One sentence explains why a broker at a URL cannot be reached. */
import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { createServer } from 'node:tls';
import { findFreePort, startNode } from '@fanfare/local-cluster';
import { expect, it } from 'vitest';
import { checkBroker } from '../src/broker-url.js';

async function refusal(url: string): Promise<string> {
  return await checkBroker(url, null).then(
    () => 'none',
    (error: Error) => error.message,
  );
}

/** It has no certificate, but it can reject connections without TLS. */
async function startTls() {
  const server: Server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, [Symbol.asyncDispose]: async () => void server.close() };
}

it('the error for an unreachable broker has the URL and the cause', async () => {
  await using node = await startNode();
  await using tls = await startTls();
  const free = await findFreePort();
  const port = new URL(node.url).port;
  expect(await refusal(node.url)).toBe('none');
  for (const [url, cause] of [
    [`ws://127.0.0.1:${free}/ws`, 'nothing listens there.'],
    [`wss://127.0.0.1:${port}/ws`, 'the server there does not speak TLS; use ws://.'],
    [`ws://127.0.0.1:${tls.port}/ws`, 'it closed the connection without an answer; is it wss://?'],
    [`ws://127.0.0.1:${port}/nope`, 'it answered "404 Not Found" and opened no WebSocket; is the path right?'],
  ] as const) {
    expect(await refusal(url)).toBe(`Cannot connect to ${url}: ${cause}`);
  }
});
