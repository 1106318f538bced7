/** The comparisons: each case has a few loads, the servers that can carry them, and a server as the baseline. */
import { type Run, run } from '../scenarios/scenario.js';
import type { Case } from './case.js';
import { httpCases } from './http-cases.js';
import { latencyCases } from './latency-cases.js';

/** All servers that can carry a load alone, in the order of the tables. */
export const everyone = [
  'fanfare-fast',
  'fanfare',
  'fanfare-fast-json',
  'raw',
  'raw-deferred',
  'ws-redis',
  'socketio',
  'nats',
  'nchan',
  'mosquitto',
  'aedes',
];
const ours = ['fanfare-fast', 'fanfare', 'fanfare-fast-json'];
const clustered = [...ours, 'ws-redis', 'ioredis', 'socketio', 'socketio-sharded', 'nats'];

/**
 * Deliveries per second, for any number of subscribers. This is far below the limit of each server, so all have the
 * same load.
 */
const deliveriesPerSecond = 40_000;
const burstDeliveriesPerSecond = 320_000;
const burstPublications = 64;
const seconds = 3;

/** The generator must read all deliveries, on one CPU. */
const bytesPerSecond = 80_000_000;

function fanOut(subscribers: number, publicationBytes: number, burst: number): Run {
  const wanted = burst === 1 ? deliveriesPerSecond : burstDeliveriesPerSecond;
  const perSecond = Math.min(wanted, bytesPerSecond / publicationBytes) / subscribers;
  return run(`${publicationBytes} B`, { subscribers, publicationBytes, perSecond, burst, seconds });
}

function crossNode(perSecond: number, topics: number, burst = 1): Run {
  return run(
    `${perSecond.toLocaleString('en')}/s, ${topics} topics${burst > 1 ? `, ${burst} together` : ''}`,
    {
      topics,
      subscribers: topics,
      perSecond,
      burst,
      publishers: 4,
      seconds,
      publisherServers: [0],
      subscriberServers: [1],
    },
    { nodes: 2 },
  );
}

const sizes = [128, 1_024, 8_192] as const;

export const cases: Readonly<Record<string, Case>> = {
  'fan-out': {
    title: 'Fan-out, one publication at a time',
    about: '1,000 subscribers of one topic, 40 publications per second (10 of 8 KiB), each sent on its own.',
    servers: everyone,
    baseline: 'raw',
    runs: sizes.map((bytes) => fanOut(1_000, bytes, 1)),
  },
  burst: {
    title: 'Fan-out, 64 publications together',
    about:
      '1,000 subscribers of one topic, 64 publications in one write of the publisher, 5 times per second (with 1 KiB: once).',
    servers: everyone,
    baseline: 'raw',
    runs: sizes.slice(0, 2).map((bytes) => fanOut(1_000, bytes, burstPublications)),
  },
  'point-to-point': {
    title: 'Point to point',
    about: '1,000 topics with one subscriber each, 5,000 publications per second from 4 publishers.',
    servers: everyone,
    baseline: 'raw',
    runs: [run('128 B', { topics: 1_000, subscribers: 1_000, publishers: 4, perSecond: 5_000, seconds })],
  },
  'cross-node': {
    title: 'Across two nodes',
    about:
      'One node accepts the publications, and the other delivers each to one subscriber. 100 topics, or 10 hot topics. CPU includes both nodes and Redis.',
    servers: clustered,
    baseline: 'ioredis',
    runs: [crossNode(1_000, 100), crossNode(10_000, 100), crossNode(20_000, 100, 20), crossNode(40_000, 10)],
  },
  shards: {
    title: 'Several Redis',
    about:
      'One node accepts the publications, and the other delivers each to one subscriber. 1,000 topics, divided between the Redis servers.',
    servers: ['fanfare', 'fanfare-shards-2', 'fanfare-shards-4'],
    baseline: 'fanfare',
    runs: [crossNode(10_000, 1_000, 10), crossNode(20_000, 1_000, 200)],
  },
  storm: {
    title: 'Reconnect storm',
    about: '5,000 connections break at once and reconnect as fast as permitted.',
    servers: ['fanfare-fast', 'fanfare', 'raw', 'ws-redis', 'socketio', 'nats', 'nchan', 'mosquitto', 'aedes'],
    baseline: 'raw',
    runs: [
      run('5,000', {
        topics: 100,
        subscribers: 5_000,
        perSecond: 100,
        seconds: 6,
        disturbances: [{ name: 'storm', atSeconds: 1, share: 1 }],
      }),
    ],
  },
  subscribers: {
    title: 'Scaling: subscribers of one topic',
    about: '40,000 deliveries per second in each row.',
    servers: ['fanfare-fast', 'fanfare', 'raw'],
    baseline: 'raw',
    runs: [10, 100, 1_000, 10_000].map((subscribers) => ({
      ...fanOut(subscribers, 128, 1),
      label: subscribers.toLocaleString('en'),
    })),
  },
  topics: {
    title: 'Scaling: topics',
    about:
      '2,000 publications per second, spread over all topics. Each topic has one subscriber. There are at most 1,000 subscribers; with more topics, each subscribes to several.',
    servers: ['fanfare-fast', 'fanfare', 'raw'],
    baseline: 'raw',
    runs: [10, 100, 1_000, 10_000, 100_000].map((topics) => {
      const subscribers = Math.min(topics, 1_000);
      return run(
        topics.toLocaleString('en'),
        {
          topics,
          subscribers,
          subscriptions: { name: 'some', topics: topics / subscribers },
          perSecond: 2_000,
          seconds,
          publishers: 4,
        },
        { env: { FANFARE_MAX_SUBSCRIPTIONS: '1000' } },
      );
    }),
  },
  nodes: {
    title: 'Scaling: nodes',
    about:
      'The first node accepts 2,000 publications per second over 100 topics. One other node has the subscribers; the rest have none.',
    servers: ['fanfare-fast', 'fanfare', 'ws-redis', 'socketio'],
    baseline: 'ws-redis',
    runs: [2, 4, 8].map((nodes) =>
      run(
        String(nodes),
        { topics: 100, subscribers: 100, perSecond: 2_000, seconds, publisherServers: [0], subscriberServers: [1] },
        { nodes },
      ),
    ),
  },
  ...httpCases,
  ...latencyCases,
};
