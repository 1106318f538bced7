/** The cases about latency: the same load for everybody, with the garbage collections of each server on Node. */
import { defaultWorkload, type Workload } from '../load/workload.js';
import type { Run } from '../scenarios/scenario.js';
import { crossNode, fanOut } from '../scenarios/scenarios.js';
import type { Case } from './case.js';

const seconds = 6;
const publicationBytes = 128;
const levels = ['fanfare-fast', 'fanfare', 'fanfare-durable'];

/** Subscribers of one topic, at 100 publications per second. */
function toMany(subscribers: number): Run {
  const made = fanOut.run({ subscribers, rate: 100, bytes: publicationBytes, seconds, nodes: 1 });
  return { ...made, label: `to ${subscribers.toLocaleString('en')}` };
}

function acrossNodes(rate: number, rest: Partial<Run> = {}): Run {
  const made = crossNode.run({
    ...{ nodes: 2, interested: 1, topics: 100, subscribers: 100, rate, burst: 1, bytes: publicationBytes, seconds },
  });
  return { ...made, label: `${rate.toLocaleString('en')}/s`, ...rest };
}

const idleSubscribers = 10_000;

/** A process of the generator opens at most 15,000 connections: one load for each node. */
const idle = [0, 1].map(
  (node): Workload => ({
    ...defaultWorkload,
    topicPrefix: 'idle',
    topics: 100,
    subscribers: idleSubscribers,
    subscriberServers: [node],
  }),
);

export const recentBytes = 64 * 1_048_576;

/** About how many bytes a node counts for a publication: its own, the head of its entry, and its place in a block (entry-block.ts). */
const entryBytes = publicationBytes + 30;

/** Topics keep the last 500 publications. */
const recentTopics = Math.ceil(recentBytes / entryBytes / 500);
/**
 * The rate is slow enough for level durable. Otherwise the node would refuse publications, and they would be missing.
 */
const recentPerSecond = 8_000;

/** Both nodes have a subscriber of each topic, so both keep the publications. */
const recent: Workload = {
  ...defaultWorkload,
  topicPrefix: 'recent',
  topics: recentTopics,
  subscribers: 2 * recentTopics,
  subscriberServers: Array.from({ length: 2 * recentTopics }, (_, index) => (index < recentTopics ? 0 : 1)),
  publishers: 4,
  publisherServers: [0],
  perSecond: recentPerSecond,
  burst: 20,
  publicationBytes,
  seconds: (recentTopics * 500) / recentPerSecond,
};

/** The label of the run that the other runs of `latency-held` are compared with. */
export const heldNothing = 'nothing else';

export const latencyCases: Readonly<Record<string, Case>> = {
  latency: {
    title: 'Latency across two nodes',
    about:
      'One node accepts the publications, and the other delivers each to one subscriber. 100 topics, one publisher. CPU includes both nodes, Redis and its replica.',
    servers: [...levels, 'ioredis', 'socketio', 'nats'],
    baseline: 'ioredis',
    measuresLatency: true,
    runs: [1_000, 5_000, 10_000].map((rate) => acrossNodes(rate)),
  },
  'latency-fan-out': {
    title: 'Latency on one node',
    about: '100 publications per second to 200 and to 1,000 subscribers of one topic.',
    servers: [...levels, 'raw', 'socketio', 'nats'],
    baseline: 'raw',
    measuresLatency: true,
    runs: [200, 1_000].map(toMany),
  },
  'latency-held': {
    title: 'Latency with much in memory',
    about: `Across two nodes at 10,000/s: with nothing else, with ${idleSubscribers.toLocaleString('en')} idle subscribers on each node, and with 64 MiB of recent publications on each node (not at level fast, which keeps none).`,
    servers: levels,
    baseline: 'fanfare-fast',
    measuresLatency: true,
    runs: [
      acrossNodes(10_000, { label: heldNothing }),
      acrossNodes(10_000, { label: 'idle subscribers', before: idle }),
      acrossNodes(10_000, {
        label: 'recent publications',
        before: [recent],
        // There must be room for both. Otherwise the measured publications would replace the earlier ones.
        env: { FANFARE_RECENT_BYTES: String(2 * recentBytes) },
      }),
    ],
  },
};
