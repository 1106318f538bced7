/**
 * Publishing over HTTP as a team would write it: Fastify with ioredis. The answer waits for Redis. It has the route of
 * a Fanfare node.
 *
 * Arguments: the URL of Redis; `--history` to keep the last 500 publications of each topic in a stream, in one
 * transaction with the PUBLISH.
 */
import type { AddressInfo } from 'node:net';
import { fastify } from 'fastify';
import { Redis } from 'ioredis';

const keptPublications = 500;

const redisUrl = process.argv[2];
if (redisUrl === undefined) throw new Error('The first argument is the URL of Redis.');
const keepsHistory = process.argv.includes('--history');
const redis = new Redis(redisUrl, { enableAutoPipelining: true });
const server = fastify({ logger: false });

server.post<{ Params: { topic: string } }>('/v1/topics/:topic/publications', async (request) => {
  const { topic } = request.params;
  const data = JSON.stringify(request.body);
  if (!keepsHistory) {
    await redis.publish(topic, data);
    return { topic };
  }
  const replies = await redis
    .multi()
    .xadd(`history:${topic}`, 'MAXLEN', '~', keptPublications, '*', 'data', data)
    .publish(topic, data)
    .exec();
  return { topic, offset: replies?.[0]?.[1] };
});

await server.listen({ host: '127.0.0.1', port: 0 });
process.stdout.write(
  `${JSON.stringify({ event: 'listening', port: (server.server.address() as AddressInfo).port })}\n`,
);
