/**
 * A server as a team would write it: the `ws` package and ioredis, with JSON messages. In Redis, a node subscribes to
 * the topics of its subscribers. Each publication is one PUBLISH of the final message, so that receiving nodes need not
 * parse it. They send it in a loop, like the broadcast example of `ws`.
 *
 *   client: {"type":"subscribe" | "unsubscribe","topics":[…]}   {"type":"publish","topic":…,"data":…}
 *   server: {"type":"subscribed" | "unsubscribed","topics":<count>}   {"type":"publication","topic":…,"data":…}
 *
 * Argument: the URL of Redis.
 */
import type { AddressInfo } from 'node:net';
import { Redis } from 'ioredis';
import { type WebSocket, WebSocketServer } from 'ws';

type Command =
  | { readonly type: 'subscribe' | 'unsubscribe'; readonly topics: readonly string[] }
  | { readonly type: 'publish'; readonly topic: string; readonly data: unknown };

/** The limit of a Fanfare node. A connection with more unread bytes is closed. */
const maxBufferedBytes = 1_048_576;

const redisUrl = process.argv[2];
if (redisUrl === undefined) throw new Error('The first argument is the URL of Redis.');
const publisher = new Redis(redisUrl, { enableAutoPipelining: true });
const subscriber = new Redis(redisUrl);

interface Topic {
  readonly sockets: Set<WebSocket>;
  /** Resolves when Redis has confirmed the subscription. */
  readonly isReady: Promise<unknown>;
}

const topics = new Map<string, Topic>();

async function subscribe(socket: WebSocket, name: string): Promise<void> {
  let topic = topics.get(name);
  if (topic === undefined) {
    topic = { sockets: new Set(), isReady: subscriber.subscribe(name) };
    topics.set(name, topic);
  }
  topic.sockets.add(socket);
  await topic.isReady;
}

function unsubscribe(socket: WebSocket, name: string): void {
  const topic = topics.get(name);
  if (topic === undefined) return;
  topic.sockets.delete(socket);
  if (topic.sockets.size > 0) return;
  topics.delete(name);
  void subscriber.unsubscribe(name);
}

subscriber.on('messageBuffer', (name: Buffer, message: Buffer) => {
  for (const socket of topics.get(name.toString())?.sockets ?? []) {
    if (socket.bufferedAmount > maxBufferedBytes) socket.terminate();
    else socket.send(message, { binary: false });
  }
});

const server = new WebSocketServer({
  host: '127.0.0.1',
  port: 0,
  perMessageDeflate: false,
  maxPayload: 16 * 1_048_576,
  clientTracking: false,
});

server.on('connection', (socket) => {
  const subscribed = new Set<string>();
  socket.on('message', async (message: Buffer) => {
    const command = JSON.parse(message.toString()) as Command;
    switch (command.type) {
      case 'publish': {
        const { topic, data } = command;
        await publisher.publish(topic, JSON.stringify({ type: 'publication', topic, data }));
        return;
      }
      case 'subscribe':
        for (const topic of command.topics) subscribed.add(topic);
        await Promise.all(command.topics.map((topic) => subscribe(socket, topic)));
        socket.send(JSON.stringify({ type: 'subscribed', topics: command.topics.length }));
        return;
      case 'unsubscribe':
        for (const topic of command.topics) {
          subscribed.delete(topic);
          unsubscribe(socket, topic);
        }
        socket.send(JSON.stringify({ type: 'unsubscribed', topics: command.topics.length }));
        return;
    }
  });
  socket.on('close', () => {
    for (const topic of subscribed) unsubscribe(socket, topic);
  });
  socket.on('error', () => socket.terminate());
});

server.on('listening', () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ event: 'listening', port })}\n`);
});
