/** Faults with many clients, or with one client that does not read. */
import { setTimeout as delay } from 'node:timers/promises';
import { readMemory } from '@fanfare/kit/process-usage';
import { becomes } from '@fanfare/kit/within';
import { Balancer, readCommandCalls } from '@fanfare/local-cluster';
import { httpPlace } from '../checker/http-exchange.js';
import { HttpSubscribers } from '../checker/http-subscribers.js';
import { Subscribers } from '../checker/subscribers.js';
import type { ClusterUnderTest } from '../cluster/cluster-under-test.js';
import { placements } from '../cluster/placement.js';
import { Swarm } from '../swarm/swarm.js';
import type { Fault } from './fault.js';
import { firstNode } from './victim.js';

/**
 * A client needs three sockets in its process (its own and two of the balancer), and many machines allow 20,000 in a
 * process.
 */
const maxClientsOfProcess = 2_500;
const stormClients = 5_000;
const stormTopics = 4;
const stormPublicationsPerSecond = 0.5;
const resumeTimeoutMs = 60_000;
const baselineMs = 1_000;

export const storm: Fault = {
  name: 'storm',
  about: `A node that holds ${stormClients.toLocaleString('en')} more subscribers (--clients) of ${stormTopics} quiet topics is killed. It restarts after all of them have reconnected to other nodes.`,
  addsClients: true,
  resets: 'none',
  placements,
  async prepare({ addGroup, addTopic, clients, cluster, reportProblem, note }) {
    const count = clients ?? stormClients;
    const topics = Array.from({ length: stormTopics }, (_, index) =>
      addTopic(`storm${index}`, 100, stormPublicationsPerSecond),
    );
    const plans = topics.map(({ topic, streams }) => ({ topic, streams }));
    const processes = Math.ceil(count / maxClientsOfProcess);
    const swarms: Swarm[] = [];
    for (let index = 0; index < processes; index++) {
      const share = Math.floor(count / processes) + (index < count % processes ? 1 : 0);
      const name = `storm ${index}`;
      const swarm = await Swarm.open({ name, clients: share, ports: cluster.clientPorts, topics: plans });
      addGroup(swarm, name);
      await swarm.loadBegins();
      swarms.push(swarm);
    }
    for (const { load } of topics) load.start();
    return {
      async strike() {
        const node = firstNode(cluster);
        const baseline = await readCalls(cluster);
        await delay(baselineMs);
        const before = await readCalls(cluster);
        const beganMs = performance.now();
        await node.process.kill();
        const isResumed = await becomes(resumeTimeoutMs, async () => {
          const resumed = await Promise.all(swarms.map((swarm) => swarm.resumption()));
          return resumed.reduce((sum, { count: some }) => sum + some, 0) === count;
        });
        const elapsedMs = performance.now() - beganMs;
        const after = await readCalls(cluster);
        if (!isResumed) reportProblem(`not all ${count} clients were back within ${resumeTimeoutMs} ms`);
        for (const [index, swarm] of swarms.entries()) {
          const { p50Ms, p99Ms, maxMs } = await swarm.resumption();
          const killedMs = Math.round(baselineMs);
          note(
            `storm ${index}: subscribed again after ${[p50Ms, p99Ms, maxMs].map((ms) => ms - killedMs).join(' / ')} ms (p50 / p99 / max).`,
          );
        }
        note(
          `Redis commands for each client, beyond the usual load: ${perClient(baseline, before, after, elapsedMs, count)}.`,
        );
        await node.startAgain();
      },
    };
  },
};

/** Calls of each Redis command, over all masters. */
async function readCalls({ redis }: ClusterUnderTest): Promise<ReadonlyMap<string, number>> {
  const sums = new Map<string, number>();
  for (const { port } of await redis.masters()) {
    for (const [name, calls] of await readCommandCalls(port)) sums.set(name, (sums.get(name) ?? 0) + calls);
  }
  return sums;
}

/** Redis commands for each client, beyond the number that is expected from the time before the fault. */
function perClient(
  baseline: ReadonlyMap<string, number>,
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
  elapsedMs: number,
  clients: number,
): string {
  const words = [...after].flatMap(([name, calls]) => {
    const usual = ((before.get(name) ?? 0) - (baseline.get(name) ?? 0)) * (elapsedMs / baselineMs);
    const each = (calls - (before.get(name) ?? 0) - usual) / clients;
    return each < 0.005 ? [] : [`${name} ${each.toFixed(2)}`];
  });
  return words.join(', ') || 'none';
}

const stalledBytes = 2_000;
const stalledPerSecond = 300;
/** Publications that are sent together: 300 frames a second to each of many subscribers would be a load test. */
const stalledBurst = 6;
const stalledClients = 200;
const cutTimeoutMs = 40_000;
const closeTimeoutMs = 10_000;
const slowSubscriber = 4002;

export const stalledSubscriber: Fault = {
  name: 'stalled-subscriber',
  about: `One of ${stalledClients} more subscribers (--clients) of a topic with ${stalledPerSecond} publications/s of 2 kB stops reading until the node closes the connection (4002).`,
  addsClients: true,
  resets: 'none',
  placements,
  // The kernel buffers some bytes for the stalled subscriber, and more are published until the node closes it.
  historySize: 20_000,
  async prepare({ addGroup, addTopic, clients, cluster, reportProblem, note, published, use }) {
    const others = Math.max(1, (clients ?? stalledClients) - 1);
    const plan = addTopic('stalled', stalledBytes, stalledPerSecond, stalledBurst);
    const ports = cluster.clientPorts;
    const topics = [{ topic: plan.topic, streams: plan.streams }];
    const swarm = await Swarm.open({ name: 'the others', clients: others, ports, topics });
    addGroup(swarm, 'the others');
    const balancer = use(await Balancer.start({ ports, choice: 'first' }));
    const stalled = await Subscribers.open({
      name: 'the stalled one',
      url: balancer.url,
      topicsOfClients: [[plan]],
      published,
      // The node must close the connection; the client must not give up before.
      clientOptions: { pongTimeoutMs: 2 * cutTimeoutMs },
    });
    addGroup(stalled, 'the stalled one');
    await swarm.loadBegins();
    plan.load.start();
    return {
      async strike() {
        const node = firstNode(cluster);
        const { pid, adminUrl } = node.process;
        const beganMs = performance.now();
        const before = await readMemory(pid);
        let highest = before.rssBytes;
        balancer.stall();
        const isCut = await becomes(cutTimeoutMs, async () => {
          highest = Math.max(highest, (await readMemory(pid)).rssBytes);
          return (await readMetric(adminUrl, 'fanfare_slow_subscribers_total')) > 0;
        });
        const cutMs = Math.round(performance.now() - beganMs);
        balancer.resume();
        if (!isCut) return reportProblem(`the node did not cut the stalled subscriber within ${cutTimeoutMs} ms`);
        const isClosed = await becomes(closeTimeoutMs, () => stalled.closeCodes.size > 0);
        const codes = [...stalled.closeCodes.keys()];
        if (!isClosed || !codes.includes(slowSubscriber))
          reportProblem(`the stalled subscriber was closed with ${codes.join(', ') || 'nothing'}, not 4002`);
        const growth = ((highest - before.rssBytes) / 2 ** 20).toFixed(1);
        note(`The node cut the stalled subscriber after ${cutMs} ms; its memory grew by ${growth} MiB (RSS) at most.`);
      },
    };
  },
};

const pausedMs = 5_000;

export const stalledStream: Fault = {
  name: 'stalled-stream',
  about: `The client of an event stream of a topic with ${stalledPerSecond} publications/s of 2 kB reads nothing until the node pauses the stream, and for ${pausedMs / 1_000} s more. It gets the rest from the history.`,
  resets: 'none',
  placements,
  // The kernel buffers some bytes for it, and more are published while it is paused.
  historySize: 20_000,
  async prepare({ addGroup, addTopic, cluster, reportProblem, note, published, use }) {
    const plan = addTopic('stalled', stalledBytes, stalledPerSecond, stalledBurst);
    const balancer = use(await Balancer.start({ ports: cluster.clientPorts, choice: 'first' }));
    const place = httpPlace([balancer.url], null);
    const name = 'the stalled stream';
    // The client must not give up before.
    const silenceMs = 2 * cutTimeoutMs;
    addGroup(
      await HttpSubscribers.open({
        ...{ kind: 'event-stream', place, name, silenceMs, topicsOfClients: [[plan]], published },
      }),
      name,
    );
    plan.load.start();
    return {
      async strike() {
        const { pid, adminUrl } = firstNode(cluster).process;
        const pauses = (): Promise<number> => readMetric(adminUrl, 'fanfare_stream_pauses_total');
        const [before, memory] = [await pauses(), await readMemory(pid)];
        balancer.stall();
        const isPaused = await becomes(cutTimeoutMs, async () => (await pauses()) > before);
        await delay(pausedMs);
        const growth = (((await readMemory(pid)).rssBytes - memory.rssBytes) / 2 ** 20).toFixed(1);
        balancer.resume();
        if (!isPaused) return reportProblem(`the node did not pause the stream within ${cutTimeoutMs} ms`);
        note(`The memory of the node had grown by ${growth} MiB (RSS) when the client read again.`);
      },
    };
  },
};

async function readMetric(adminUrl: string, name: string): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`, { signal: AbortSignal.timeout(5_000) })).text();
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1] ?? 0);
}
