/** The process of a swarm: opens subscribers and judges them. */
import { createHistogram } from 'node:perf_hooks';
import { serve } from '@fanfare/kit/worker';
import { Balancer } from '@fanfare/local-cluster';
import type { NumberOfStream } from '../checker/subscriber-group.js';
import { Subscribers } from '../checker/subscribers.js';
import { TopicOrder } from '../checker/topic-order.js';
import type { SwarmCommands, SwarmOptions } from './swarm.js';

const progressIntervalMs = 50;
const rememberedPositions = 16_384;

let subscribers: Subscribers | null = null;
/**
 * This process does not know how much a stream has published. It would need the number twice. When a subscription is
 * confirmed, the load has not begun, so 0 is correct. A gap then covers everything up to the next delivery.
 */
let published = 0;
let faultBeganMs: number | null = null;
const resumed = new Set<number>();
const resumption = createHistogram({ lowest: 1, highest: 600_000, figures: 3 });

async function open({ name, clients, ports, topics }: SwarmOptions): Promise<null> {
  const balancer = await Balancer.start({ ports, choice: 'first' });
  const plans = topics.map((plan) => ({ ...plan, order: new TopicOrder(rememberedPositions) }));
  const opened = await Subscribers.open({
    name,
    url: balancer.url,
    topicsOfClients: Array.from({ length: clients }, (_, client) => plans.slice(client % plans.length).slice(0, 1)),
    published: () => published,
    onSubscribed: (client) => {
      if (faultBeganMs === null || resumed.has(client)) return;
      resumed.add(client);
      resumption.record(Math.max(1, Math.round(performance.now() - faultBeganMs)));
    },
  });
  subscribers = opened;
  const streams = topics.flatMap((plan) => plan.streams);
  setInterval(() => {
    report(new Map(streams.map((stream) => [stream, opened.reached(stream)])));
  }, progressIntervalMs);
  return null;
}

const report = serve<SwarmCommands, NumberOfStream>({
  open,
  loadBegins: () => {
    published = Number.MAX_SAFE_INTEGER;
    return null;
  },
  faultBegins: () => {
    faultBeganMs = performance.now();
    subscribers?.faultBegins();
    return null;
  },
  faultEnds: () => {
    subscribers?.faultEnds();
    return null;
  },
  resumption: () => ({
    count: resumed.size,
    p50Ms: resumption.percentile(50),
    p99Ms: resumption.percentile(99),
    maxMs: resumed.size === 0 ? 0 : resumption.max,
  }),
  catchUp: ({ targets, patience }) => opened().catchUp(targets, patience),
  judge: (ledgers) => opened().judge(ledgers),
});

function opened(): Subscribers {
  if (subscribers === null) throw new Error('There are no subscribers yet.');
  return subscribers;
}
