/**
 * Plain ioredis behind the thinnest possible WebSocket layer. It shows the cost of publications that cross Redis one by
 * one. Its sockets work as in the raw server (raw-server.ts): the path of a subscriber has its topics, and a published
 * message begins with its topic. Each publication is one `publish` of ioredis, with automatic pipelines. Messages from
 * Redis arrive as `messageBuffer`, the cheapest of its events.
 *
 * Argument: the URL of Redis.
 */

import uWebSockets from 'uWebSockets.js';
import { Redis } from 'ioredis';

const settings = {
  compression: uWebSockets.DISABLED,
  idleTimeout: 60,
  maxBackpressure: 1_048_576,
  maxPayloadLength: 16 * 1_048_576,
} as const;

const redisUrl = process.argv[2];
if (redisUrl === undefined) throw new Error('The first argument is the URL of Redis.');
const publisher = new Redis(redisUrl, { enableAutoPipelining: true });
const subscriber = new Redis(redisUrl);
const app = uWebSockets.App();

/** The number of sockets for each topic. Redis is subscribed to topics with sockets. */
const sockets = new Map<string, number>();

/** Resolves once Redis has confirmed the subscriptions. The handshake of a socket waits for it. */
async function enter(topics: readonly string[]): Promise<void> {
  for (const topic of topics) sockets.set(topic, (sockets.get(topic) ?? 0) + 1);
  // Also existing topics: their subscriptions may not be confirmed yet.
  await subscriber.subscribe(...topics);
}

function leave(topics: readonly string[]): void {
  for (const topic of topics) {
    const left = (sockets.get(topic) ?? 0) - 1;
    if (left > 0) {
      sockets.set(topic, left);
      continue;
    }
    sockets.delete(topic);
    void subscriber.unsubscribe(topic);
  }
}

subscriber.on('messageBuffer', (topic: Buffer, message: Buffer) => {
  app.publish(topic.toString('latin1'), message, true);
});

app.ws<{ readonly topics: readonly string[] }>('/subscribe/*', {
  ...settings,
  upgrade: async (response, request, context) => {
    const topics = request.getUrl().slice('/subscribe/'.length).split(',');
    const key = request.getHeader('sec-websocket-key');
    const protocol = request.getHeader('sec-websocket-protocol');
    const extensions = request.getHeader('sec-websocket-extensions');
    let isAborted = false;
    response.onAborted(() => {
      isAborted = true;
    });
    await enter(topics);
    if (isAborted) leave(topics);
    else response.cork(() => response.upgrade({ topics }, key, protocol, extensions, context));
  },
  open: (socket) => {
    for (const topic of socket.getUserData().topics) socket.subscribe(topic);
  },
  close: (socket) => leave(socket.getUserData().topics),
});

app.ws('/publish', {
  ...settings,
  message: (_socket, message) => {
    // A copy: the bytes are the socket's again when the handler returns, and a pipeline leaves later.
    const bytes = Buffer.from(message.slice(0));
    const start = 1 + bytes.readUInt8(0);
    void publisher.publish(bytes.toString('latin1', 1, start), bytes.subarray(start));
  },
});

app.listen('127.0.0.1', 0, (listening) => {
  if (!listening) throw new Error('The ioredis server cannot listen on 127.0.0.1.');
  const port = uWebSockets.us_socket_local_port(listening);
  process.stdout.write(`${JSON.stringify({ event: 'listening', port })}\n`);
});
