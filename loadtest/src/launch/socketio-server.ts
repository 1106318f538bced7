/**
 * Socket.IO as its documentation recommends for many connections: WebSocket only, topics are rooms, nodes behind the
 * Redis adapter. A single node has the adapter too, because people deploy it that way. As its pages "Performance
 * tuning" and "Memory usage" recommend, ws uses its native addon (bufferutil), and each connection releases its first
 * request. Data is a string: a Buffer would be a separate frame after that of the event.
 *
 * Arguments: the URL of Redis; `--sharded` for the sharded adapter; `--uws` for uWebSockets.js instead of ws.
 */

import uWebSockets from 'uWebSockets.js';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdapter, createShardedAdapter } from '@socket.io/redis-adapter';
import { Redis } from 'ioredis';
import { Server } from 'socket.io';

interface ClientEvents {
  subscribe(topics: string[], done: (topics: number) => void): void;
  unsubscribe(topics: readonly string[], done: (topics: number) => void): void;
  publish(topic: string, data: unknown): void;
}

interface ServerEvents {
  publication(data: unknown): void;
}

const redisUrl = process.argv[2];
if (redisUrl === undefined) throw new Error('The first argument is the URL of Redis.');
const publisher = new Redis(redisUrl);
const subscriber = publisher.duplicate();
const newAdapter = process.argv.includes('--sharded') ? createShardedAdapter : createAdapter;

const io = new Server<ClientEvents, ServerEvents>({
  adapter: newAdapter(publisher, subscriber),
  transports: ['websocket'],
  serveClient: false,
  perMessageDeflate: false,
  httpCompression: false,
  maxHttpBufferSize: 16 * 1_048_576,
});

io.on('connection', (socket) => {
  socket.on('subscribe', async (topics, done) => {
    await socket.join(topics);
    done(topics.length);
  });
  socket.on('unsubscribe', async (topics, done) => {
    await Promise.all(topics.map((topic) => socket.leave(topic)));
    done(topics.length);
  });
  socket.on('publish', (topic, data) => {
    io.to(topic).emit('publication', data);
  });
});

function announce(port: number): void {
  process.stdout.write(`${JSON.stringify({ event: 'listening', port })}\n`);
}

if (process.argv.includes('--uws')) {
  const app = uWebSockets.App();
  io.attachApp(app);
  app.listen('127.0.0.1', 0, (listening) => {
    if (!listening) throw new Error('Socket.IO cannot listen on 127.0.0.1.');
    announce(uWebSockets.us_socket_local_port(listening));
  });
} else {
  const server = createServer();
  io.attach(server);
  io.engine.on('connection', (connection: { request: unknown }) => {
    connection.request = null;
  });
  server.listen(0, '127.0.0.1', () => announce((server.address() as AddressInfo).port));
}
