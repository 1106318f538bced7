/** A Redis that looks well and delivers nothing. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { startRedis } from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { Metrics } from '../src/observe/metrics.js';
import { Probe } from '../src/relay/probe.js';
import { startCluster } from './harness.js';
import { until } from './wait.js';

describe('Probe', () => {
  function start(outcome: boolean | null) {
    const dead: string[] = [];
    const sent: number[] = [];
    const { counters } = new Metrics();
    const probe = new Probe(
      { probeIntervalMs: 20 },
      {
        send: async (number) => {
          sent.push(number);
          return outcome;
        },
        onDead: (reason) => dead.push(reason),
      },
      pino({ level: 'silent' }),
      counters,
    );
    return { probe, dead, sent, counters };
  }

  it('is live when it comes back, and dead when two in a row do not', async () => {
    const { probe, dead, sent, counters } = start(true);
    await until('it is sent', () => sent.length === 1);
    expect(probe.isLive).toBe(false);
    probe.receive(1);
    expect(probe.isLive).toBe(true);
    await until('one is missed', () => counters.probesMissed === 1);
    expect(probe.isLive).toBe(true);
    expect(dead).toEqual([]);
    await until('another is missed', () => counters.probesMissed === 2);
    expect(probe.isLive).toBe(false);
    expect(dead).toEqual(['it accepts publications and does not deliver them']);
    probe.close();
  });

  it('says so where Redis does not even accept it', async () => {
    const { probe, dead } = start(false);
    await until('it is dead', () => dead.length === 1);
    expect(dead).toEqual(['it accepts no publications']);
    probe.close();
  });

  it('does not count what could not be sent at all, nor take one that is late', async () => {
    const { probe, dead, sent, counters } = start(null);
    await until('several were tried', () => sent.length > 5);
    expect(counters.probesMissed).toBe(0);
    expect(dead).toEqual([]);
    probe.receive(1);
    expect(probe.isLive).toBe(false);
    probe.close();
  });
});

/** Leads each new connection to the server that stands first in `ports`, or next where there are more. */
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

describe('a subscription that hangs on another server than what is published', () => {
  it('is found by the probe; both connections are made anew, and everything that was missed is delivered', async () => {
    await using right = await startRedis();
    await using wrong = await startRedis();
    // The publishing connection comes first.
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
    // Whichever of the two connected first: in one case nothing is wrong, in the other the probe finds it.
    const isDead = (): boolean => node.log.some(({ event }) => event === 'busDead');
    await until('it is ready', async () => (await node.readiness()).status === 200);
    const reader = await cluster.subscriber('t');
    await writer.publish('t', 'after');
    expect(await reader.take('t', 1)).toEqual(['after']);
    expect(isDead()).toBe(true);
    const admin = new Redis(wrong.url);
    expect(await admin.pubsub('CHANNELS', '*')).toEqual([]);
    await admin.quit();
  });
});
