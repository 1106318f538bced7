/** The cases about HTTP: publications as requests, and subscribers over event streams. */
import { run } from '../scenarios/scenario.js';
import type { Case } from './case.js';

const seconds = 3;
const publicationBytes = 128;

/** 16 kept-alive connections. In a burst of all, each has the same number of publications. */
const publishers = 16;
const topics = 10 * publishers;
const batch = 100;

const publishing = { topics, publishers, publicationBytes, subscribers: 0, seconds } as const;

/** In the tables of idle subscribers. */
export const httpSubscribers = ['fanfare-sse-fast', 'fanfare-sse', 'fanfare-long-poll', 'nchan-sse', 'nchan-long-poll'];

export const httpCases: Readonly<Record<string, Case>> = {
  'http-publish': {
    title: 'HTTP: publishing, in memory',
    about: `10,000 requests per second with one publication each, over ${publishers} kept-alive connections. Nobody subscribes. \`raw-http\` parses and answers, and delivers nothing.`,
    servers: ['fanfare-http-fast', 'fanfare-http', 'raw-http', 'nchan-http'],
    baseline: 'raw-http',
    ours: 'fanfare-http-fast',
    runs: [run('128 B', { ...publishing, perSecond: 10_000 })],
  },
  'http-redis': {
    title: 'HTTP: publishing through Redis',
    about: `4,000 requests per second with one publication each, over ${publishers} kept-alive connections. Each answer waits for Redis. Nobody subscribes. CPU includes Redis. \`fastify\` keeps no history, like level fast; \`fastify-history\` does.`,
    servers: ['fanfare-http-redis-fast', 'fanfare-http-redis', 'fastify', 'fastify-history'],
    baseline: 'fastify',
    ours: 'fanfare-http-redis-fast',
    runs: [run('128 B', { ...publishing, perSecond: 4_000 })],
  },
  'http-batch': {
    title: `HTTP: batches of ${batch} in memory`,
    about: `16,000 publications per second over ${publishers} kept-alive connections, ${batch} together on each: in one request (\`fanfare-batch-fast\`), or in requests one after the other. Nobody subscribes.`,
    servers: ['fanfare-batch-fast', 'fanfare-http-fast'],
    baseline: 'fanfare-http-fast',
    ours: 'fanfare-batch-fast',
    runs: [run(`${batch} together`, { ...publishing, perSecond: 16_000, burst: batch * publishers })],
  },
  'http-batch-redis': {
    title: `HTTP: batches of ${batch} through Redis`,
    about: 'The same at level recoverable, with Redis. CPU includes Redis.',
    servers: ['fanfare-batch-redis', 'fanfare-http-redis'],
    baseline: 'fanfare-http-redis',
    ours: 'fanfare-batch-redis',
    runs: [run(`${batch} together`, { ...publishing, perSecond: 8_000, burst: batch * publishers })],
  },
  'event-streams': {
    title: 'Fan-out to event streams',
    about:
      '1,000 subscribers of one topic, 40 publications per second, each a POST. `fanfare-fast` and `nchan` have WebSockets instead.',
    servers: ['fanfare-sse-fast', 'fanfare-sse', 'fanfare-fast', 'fanfare', 'nchan-sse', 'nchan'],
    baseline: 'fanfare-fast',
    ours: 'fanfare-sse-fast',
    runs: [run('128 B', { subscribers: 1_000, publicationBytes, perSecond: 40, seconds })],
  },
};
