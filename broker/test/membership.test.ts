/** A Redis that looks healthy and delivers nothing. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { startRedis } from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { describe, expect, it, vi } from 'vitest';
import { Metrics } from '../src/observe/metrics.js';
import { parseGeneration } from '../src/relay/generation.js';
import { Keys } from '../src/relay/keys.js';
import { KnownNodes } from '../src/relay/known-nodes.js';
import { Membership } from '../src/relay/membership.js';
import { memoryTimes } from '../src/relay/memory-times.js';
import { Partitions } from '../src/relay/partitions.js';
import { Probe } from '../src/relay/probe.js';
import { SharedTimers } from '../src/relay/shared-timers.js';
import { startCluster } from './harness.js';
import { until } from './wait.js';

describe('the probe of a heartbeat', () => {
  /** `outcome`: the answer of Redis to a probe. */
  function start(outcome: 1 | Error, { isListening = true } = {}) {
    const dead: string[] = [];
    const sent: number[] = [];
    let asked = 0;
    const { counters } = new Metrics();
    const settings = { nodeId: 'a', nodeName: 'node-1', probeIntervalMs: 20, memoryTimes };
    const probe = new Probe(
      settings,
      { noteWrite: () => undefined, report: () => undefined },
      { onSent: () => undefined, onStale: () => asked++, onDead: (reason) => dead.push(reason) },
      pino({ level: 'silent' }),
      counters,
    );
    const membership = new Membership(
      settings,
      new Keys('test', 0, new Partitions(64)),
      {
        isReady: true,
        evaluate: async ([call]) => {
          const number = call?.args[7];
          if (number !== '') sent.push(Number(number));
          return [[[], 1, 0, 0, 0, [], number === '' ? '' : outcome]];
        },
        load: async () => undefined,
        publish: async () => undefined,
      },
      [],
      { isReady: isListening, subscribe: async () => undefined },
      { generation: parseGeneration('g:0'), ask: () => asked++, onStale: () => undefined },
      probe,
      new KnownNodes(),
      () => null,
      { renew: () => undefined },
      () => undefined,
      new SharedTimers(),
    );
    const onProbe = (number: number): void => probe.onReturn(Buffer.from(String(number)));
    return { membership, probe, onProbe, dead, sent, counters, asked: () => asked };
  }

  it('shows that Redis is alive if the probe arrives, and dead if two probes in a row are missing', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
    try {
      const { membership, probe, onProbe, dead, sent, counters } = start(1);
      /** Until the next probe is missing. */
      const pass = async (): Promise<void> => {
        const before = counters.probesMissed;
        while (counters.probesMissed === before) await vi.advanceTimersByTimeAsync(1);
      };
      await vi.advanceTimersByTimeAsync(20);
      expect(sent).toEqual([1]);
      expect(probe.isLive).toBe(false);
      onProbe(1);
      expect(probe.isLive).toBe(true);
      await pass();
      expect(counters.probesMissed).toBe(1);
      expect(probe.isLive).toBe(true);
      expect(dead).toEqual([]);
      await pass();
      expect(probe.isLive).toBe(false);
      expect(dead).toEqual(['it accepts publications and does not deliver them']);
      membership.close();
    } finally {
      vi.useRealTimers();
    }
  });

  it('causes a report if Redis does not accept it', async () => {
    const { membership, dead, asked } = start(new Error('OOM command not allowed'));
    await until('Redis counts as dead', () => dead.length > 0);
    expect(new Set(dead)).toEqual(new Set(['it accepts no publications']));
    expect(asked()).toBe(0);
    membership.close();
  });

  it('makes the node read the generation if Redis is in a different one', async () => {
    const { membership, asked } = start(new Error('STALE Redis has a different generation'));
    await until('the node asks for the generation', () => asked() > 0);
    membership.close();
  });

  it('is not sent after the node has left: the others would wait for it', async () => {
    const { membership, sent } = start(1);
    await membership.leave();
    membership.onControl(Buffer.from('another node'));
    await membership.restart();
    expect(sent).toEqual([]);
    membership.close();
  });

  it('is not sent while the node is not subscribed', async () => {
    const { membership, probe, onProbe, dead, sent, counters } = start(1, { isListening: false });
    await membership.restart();
    expect(sent).toEqual([]);
    expect(counters.probesSent).toBe(0);
    expect(dead).toEqual([]);
    onProbe(1);
    expect(probe.isLive).toBe(false);
    membership.close();
  });
});

/** Forwards each new connection to the next server in `ports`, and all further connections to the last one. */
async function startSwitch(ports: number[]) {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const port = ports.length > 1 ? ports.shift() : ports[0];
    const target = connect(port ?? 0, '127.0.0.1');
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        target.destroy();
      });
    }
    client.pipe(target).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('a subscription on a server other than the one for publications', () => {
  it('fails the probe: the node replaces both connections and delivers everything that was missed', async () => {
    await using right = await startRedis();
    await using wrong = await startRedis();

    const ports = [right.port, wrong.port, right.port];
    await using way = await startSwitch(ports);
    const env = { FANFARE_PROBE_INTERVAL_MS: '200' };
    await using other = await startCluster({ nodes: 1, redis: right, env });
    const writer = await other.connect();
    await writer.publish('t', 'before');
    await using cluster = await startCluster({
      nodes: 1,
      redis: false,
      waitReady: false,
      env: { ...env, FANFARE_REDIS_URL: `redis://127.0.0.1:${way.port}` },
    });
    const node = cluster.node();
    // The first connection to arrive goes to the right server, the second to the wrong one, all others to the right
    // one.
    const isDead = (): boolean => node.log.some(({ event }) => event === 'busDead');
    await until('the node is ready', async () => (await node.readiness()).status === 200);
    const reader = await cluster.subscriber('t');
    await writer.publish('t', 'after');
    expect(await reader.take('t', 1)).toEqual(['after']);
    expect(isDead()).toBe(true);
    const admin = new Redis(wrong.url);
    expect(await admin.pubsub('CHANNELS', '*')).toEqual([]);
    await admin.quit();
  });
});
