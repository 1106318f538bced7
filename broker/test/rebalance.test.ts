/** After new nodes join, nodes with more than their share of the connections invite some of them to move. */
import { startRedis } from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import type { Connection } from '../src/connection/connection.js';
import { loadOf, Rebalance } from '../src/node/rebalance.js';
import { createLog } from '../src/observe/log.js';
import type { Spread } from '../src/relay/relay.js';
import { startCluster } from './harness.js';
import { until } from './wait.js';

const log = createLog({ logLevel: 'silent', logFormat: null, nodeName: 'test' });

/** The number of connections that are invited at each check, of this number of connections. */
function invitations(own: number, of: Omit<Spread, 'own' | 'open'> | null, looks = 1, rebalanceRate = 10): number[] {
  const connections = Array.from({ length: own }, () => ({
    isBrief: false,
    isInvited: false,
    invite() {
      this.isInvited = true;
    },
  })) as unknown as Connection[];
  const counters = { connectionsRebalanced: 0 };
  const rebalance = new Rebalance(
    { rebalanceRate, rebalanceAfterMs: 0 },
    {
      connections,
      spread: () => of && { ...of, open: of.nodes, own },
      counters,
      log,
    },
  );
  const counts = Array.from({ length: looks }, () => {
    const before = counters.connectionsRebalanced;
    rebalance.check();
    return counters.connectionsRebalanced - before;
  });
  rebalance.close();
  return counts;
}

describe('a node that has more connections than its share', () => {
  it('waits until the number of nodes has been stable for a while', () => {
    let nodes = 2;
    const connections = Array.from({ length: 20 }, () => ({ isInvited: false, invite: () => {} }));
    const counters = { connectionsRebalanced: 0 };
    const rebalance = new Rebalance(
      { rebalanceRate: 1, rebalanceAfterMs: 30_000 },
      {
        connections: connections as unknown as Connection[],
        spread: () => ({ nodes, open: nodes, connections: 20, own: 20 }),
        counters,
        log,
      },
    );
    const invitedAt = (now: number): number => {
      rebalance.check(now);
      return counters.connectionsRebalanced;
    };
    expect(invitedAt(50_000)).toBe(0);
    expect(invitedAt(79_999)).toBe(0);
    nodes = 3;
    expect(invitedAt(80_000)).toBe(0);
    expect(invitedAt(109_999)).toBe(0);
    expect(invitedAt(110_000)).toBe(1);
    rebalance.close();
  });

  it('invites as many as the setting allows, and no more than its excess', () => {
    expect(invitations(1_000, { nodes: 4, connections: 2_000 })).toEqual([10]);
    expect(invitations(1_000, { nodes: 4, connections: 2_000 }, 1, 900)).toEqual([500]);
  });

  it('invites each connection once, even if it does not move', () => {
    expect(invitations(25, { nodes: 4, connections: 25 }, 4)).toEqual([10, 10, 5, 0]);
  });

  it('invites no client that polls, and does not count it as one that did not move', () => {
    const invited: boolean[] = [];
    const counters = { connectionsRebalanced: 0 };
    const connectionOf = (isBrief: boolean) => ({ isBrief, isInvited: false, invite: () => invited.push(isBrief) });
    const rebalance = new Rebalance(
      { rebalanceRate: 10, rebalanceAfterMs: 0 },
      {
        // Polls that have returned, and one WebSocket.
        get connections() {
          return Array.from({ length: 20 }, (_, index) => connectionOf(index > 0)) as unknown as Connection[];
        },
        spread: () => ({ nodes: 2, open: 2, connections: 20, own: 20 }),
        counters,
        log,
      },
    );
    for (let look = 0; look < 20; look++) rebalance.check();
    rebalance.close();
    expect(invited).toEqual(Array.from({ length: 20 }, () => false));
    expect(counters.connectionsRebalanced).toBe(20);
  });

  it('gives up if moving does not help, until the number of nodes changes', () => {
    let nodes = 2;
    const counters = { connectionsRebalanced: 0 };
    const connections: { isInvited: boolean; invite(): void }[] = [];
    const rebalance = new Rebalance(
      { rebalanceRate: 10, rebalanceAfterMs: 0 },
      {
        connections: connections as unknown as Connection[],
        spread: () => ({ nodes, open: nodes, connections: 20, own: 20 }),
        counters,
        log,
      },
    );
    const looks = (count: number): number => {
      for (let look = 0; look < count; look++) {
        // All clients return, as new connections.
        connections.splice(
          0,
          connections.length,
          ...Array.from({ length: 20 }, () => ({ isInvited: false, invite() {} })),
        );
        rebalance.check();
      }
      return counters.connectionsRebalanced;
    };
    // An excess of 10, and five times as many invitations.
    expect(looks(5)).toBe(50);
    expect(looks(20)).toBe(50);
    nodes = 4;
    expect(looks(1)).toBe(60);
    rebalance.close();
  });

  it('gives up even if another node is full from time to time, and starts again ten minutes later', () => {
    const counters = { connectionsRebalanced: 0 };
    let isOver = false;
    const rebalance = new Rebalance(
      { rebalanceRate: 10, rebalanceAfterMs: 0 },
      {
        // New connections at each check: all clients return.
        get connections() {
          return Array.from({ length: 20 }, () => ({ isInvited: false, invite() {} })) as unknown as Connection[];
        },
        spread: () => ({ nodes: 2, open: isOver ? 1 : 2, connections: 20, own: 20 }),
        counters,
        log,
      },
    );
    let now = 0;
    const lookAfter = (ms: number): number => {
      now += ms;
      rebalance.check(now);
      return counters.connectionsRebalanced;
    };
    for (let round = 0; round < 20; round++) {
      isOver = false;
      lookAfter(1_000);
      isOver = true;
      lookAfter(1_000);
    }
    // An excess of 10, and five times as many invitations.
    expect(counters.connectionsRebalanced).toBe(50);
    isOver = false;
    expect(lookAfter(599_999)).toBe(50);
    isOver = true;
    lookAfter(1_000);
    isOver = false;
    expect(lookAfter(600_000)).toBe(60);
    rebalance.close();
  });

  it('sends up to five invitations for each excess connection, even if the excess grows in the meantime', () => {
    const counters = { connectionsRebalanced: 0 };
    let own = 12;
    const rebalance = new Rebalance(
      { rebalanceRate: 1_000, rebalanceAfterMs: 0 },
      {
        get connections() {
          return Array.from({ length: own }, () => ({ isInvited: false, invite() {} })) as unknown as Connection[];
        },
        spread: () => ({ nodes: 2, open: 2, connections: 20, own }),
        counters,
        log,
      },
    );
    for (let look = 0; look < 4; look++) rebalance.check();
    expect(counters.connectionsRebalanced).toBe(4 * 2);
    own = 20;
    for (let look = 0; look < 10; look++) rebalance.check();
    expect(counters.connectionsRebalanced).toBe(5 * 10);
    // It has given up: further growth does not change that.
    own = 40;
    for (let look = 0; look < 10; look++) rebalance.check();
    expect(counters.connectionsRebalanced).toBe(5 * 10);
    rebalance.close();
  });

  it('compares numbers of the same moment: a node that grows together with all others has its share', () => {
    const counters = { connectionsRebalanced: 0 };
    const connections = Array.from({ length: 500 }, () => ({ isInvited: false, invite() {} }));
    const rebalance = new Rebalance(
      { rebalanceRate: 10, rebalanceAfterMs: 0 },
      {
        connections: connections as unknown as Connection[],
        spread: () => ({ nodes: 2, open: 2, connections: 500, own: 250 }),
        counters,
        log,
      },
    );
    rebalance.check();
    expect(counters.connectionsRebalanced).toBe(0);
    rebalance.close();
  });

  it.each([
    ['it has less than its share', 100, { nodes: 2, connections: 300 }],
    ['it has its share and a tenth', 110, { nodes: 2, connections: 200 }],
    ['its excess is less than one connection', 1, { nodes: 2, connections: 1 }],
    ['it is the only node', 100, { nodes: 1, connections: 100 }],
    ['it does not know the other nodes', 100, null],
    ['no node counts', 100, { nodes: 0, connections: 0 }],
  ])('invites no connection if %s', (_, own, spread) => {
    expect(invitations(own, spread)).toEqual([0]);
  });
});

it('a node is full at 95 % of its limit, and has room again below 85 %', () => {
  const counts = [0, 94, 95, 94, 86, 85, 84, 85, 94, 95];
  let isFull = false;
  const full = counts.filter((count) => {
    ({ isFull } = loadOf(count, 100, isFull));
    return isFull;
  });
  expect(full).toEqual([95, 94, 86, 85, 95]);
});

// Concurrent: they wait for checks, one a second.
describe.concurrent('nodes with FANFARE_REBALANCE_RATE', () => {
  it('invite clients to a new node until they have only their share, and close no connection', async () => {
    await using redis = await startRedis();
    const env = { FANFARE_REBALANCE_RATE: '5', FANFARE_REBALANCE_AFTER_MS: '0', FANFARE_PROBE_INTERVAL_MS: '100' };
    await using full = await startCluster({ redis, env });
    const clients = await Promise.all(Array.from({ length: 8 }, () => full.connect()));
    const reader = await full.subscriber('t');
    await using empty = await startCluster({ redis, env });
    for (const client of [...clients, reader]) expect((await client.next('goaway')).delayMs).toBeLessThan(1_000);
    expect(await full.node().metric('fanfare_connections_rebalanced_total')).toBe(9);
    expect(await full.node().metric('fanfare_connections')).toBe(9);
    expect(await empty.node().metric('fanfare_connections_rebalanced_total')).toBe(0);
    expect(full.node().log).toContainEqual(
      expect.objectContaining({ event: 'rebalancing', share: 5, connections: 9, state: 'begun' }),
    );
    // They stay connected, and the node serves them.
    expect(await reader.publish('t', 1)).toMatchObject({ type: 'published' });
    expect(await reader.take('t', 1)).toEqual([1]);
  });

  it('invite nobody to a node that is full, until it has room', async () => {
    await using redis = await startRedis();
    const env = { FANFARE_REBALANCE_RATE: '5', FANFARE_REBALANCE_AFTER_MS: '0', FANFARE_PROBE_INTERVAL_MS: '100' };
    await using small = await startCluster({ redis, env: { ...env, FANFARE_MAX_CONNECTIONS: '2' } });
    const few = await Promise.all([small.connect(), small.connect()]);
    const heard = new Redis(redis.url);
    await until('the small node reports that it is full', async () =>
      (await heard.hvals('fanfare:connections')).includes('+2 node-0'),
    );
    await heard.quit();
    // A single node: all its connections are its share, however old the numbers are.
    await using large = await startCluster({ redis, env });
    await Promise.all(Array.from({ length: 6 }, () => large.connect()));
    // Half of 8 connections on two nodes is 4. The node checks once a second, which is at most ten probes.
    const probes = await large.node().metric('fanfare_probe_seconds_count');
    await until(
      'the node has checked',
      async () => (await large.node().metric('fanfare_probe_seconds_count')) > probes + 15,
    );
    const invited = (): Promise<number> => large.node().metric('fanfare_connections_rebalanced_total');
    expect(await invited()).toBe(0);
    for (const client of few) await client.close();
    await until('the node invites a client', async () => (await invited()) > 0);
  });

  it('invite clients even if they are full themselves', async () => {
    await using redis = await startRedis();
    const env = { FANFARE_REBALANCE_RATE: '5', FANFARE_REBALANCE_AFTER_MS: '0', FANFARE_PROBE_INTERVAL_MS: '100' };
    await using full = await startCluster({ redis, env: { ...env, FANFARE_MAX_CONNECTIONS: '4' } });
    const clients = await Promise.all(Array.from({ length: 4 }, () => full.connect()));
    await using _empty = await startCluster({ redis, env });
    for (const client of clients) await client.next('goaway');
    expect(full.node().log).toContainEqual(
      expect.objectContaining({ event: 'rebalancing', share: 2, connections: 4, state: 'begun' }),
    );
  });

  it('do not count a node that is stopping', async () => {
    await using redis = await startRedis();
    const env = {
      FANFARE_REBALANCE_AFTER_MS: '0',
      FANFARE_PROBE_INTERVAL_MS: '100',
      FANFARE_DRAIN_WINDOW_MS: '8000',
    };
    await using staying = await startCluster({ redis, env: { ...env, FANFARE_REBALANCE_RATE: '5' } });
    const leaving = await startCluster({ redis, env });
    await using _client = await leaving.connect();
    for (let count = 0; count < 3; count++) await staying.connect();
    // Otherwise its share would be 2 of 4.
    await until(
      'the node invites a client',
      async () => (await staying.node().metric('fanfare_connections_rebalanced_total')) === 1,
    );
    const drained = leaving.node().broker.drain();
    await until('the node invites no more clients', () =>
      staying.node().log.some((line) => line.event === 'rebalancing' && line.state === 'over'),
    );
    await leaving[Symbol.asyncDispose]().catch(() => undefined);
    await drained;
  });
});
