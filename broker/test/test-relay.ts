/** Relays with a real Redis, without the rest of a node. */
import { pino } from 'pino';
import { Metrics } from '../src/observe/metrics.js';
import { memoryTimes } from '../src/relay/memory-times.js';
import { openRelay, type RelaySettings } from '../src/relay/open-relay.js';
import { newNodeId } from '../src/relay/redis-message.js';
import type { Relay } from '../src/relay/relay.js';
import type { RoutedRelay } from '../src/relay/routed-relay.js';
import { RecordedDelivery, type RelayFixture, topics } from './relay.contract.js';
import { until } from './wait.js';

/** Its disposal closes the relay. */
export interface TestRelay extends AsyncDisposable {
  readonly relay: RoutedRelay;
  readonly delivery: RecordedDelivery;
  readonly counters: Metrics['counters'];
}

export function startRelay(
  settings: Pick<RelaySettings, 'redisUrl' | 'redisPrefix'> & Partial<RelaySettings>,
): TestRelay {
  const delivery = new RecordedDelivery();
  const { counters } = new Metrics();
  const { relay, close } = openRelay(
    {
      // Tests of a Redis that hangs notice it earlier.
      redisTimeoutMs: 5_000,
      nodeName: 'test',
      nodeId: newNodeId(),
      redisPartitions: 64,
      unsubscribeLingerMs: 20,
      flushWindowMs: 0,
      maxRelayBytes: 1_000_000,
      topics,
      recentBytes: 1_000_000,
      idempotencyWindowSeconds: 60,
      probeIntervalMs: 1_000,
      newNodeWaitMs: 0,
      memoryTimes,
      durableReplicas: 1,
      durableTimeoutMs: 100,
      ...settings,
    },
    delivery,
    pino({ level: 'silent' }),
    counters,
    () => null,
  );
  return {
    relay,
    delivery,
    counters,
    async [Symbol.asyncDispose]() {
      await relay.close();
      close();
    },
  };
}

/** For the relay's contract: relays of one broker, connected to all their Redis. */
export async function startRelays(count: number, settings: Parameters<typeof startRelay>[0]): Promise<RelayFixture> {
  const nodes = Array.from({ length: count }, () => startRelay(settings));
  for (const { relay } of nodes) await untilConnected(relay);
  return {
    relays: nodes.map(({ relay }) => relay),
    deliveries: nodes.map(({ delivery }) => delivery),
    async [Symbol.asyncDispose]() {
      await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()));
    },
  };
}

/** Resolves when the relay can use every Redis. */
export async function untilConnected(relay: Relay): Promise<void> {
  await until('the relay is connected', () => relay.shards.every(({ isConnected }) => isConnected));
}
