import { FaultProxy, type RedisProcess, startRedis } from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { AuthError } from '../src/auth/auth-error.js';
import type { AuthStore } from '../src/auth/auth-store.js';
import { MemoryAuthStore } from '../src/auth/memory-auth-store.js';
import { RedisAuthStore } from '../src/auth/redis-auth-store.js';
import { forever, keptForMs, maxRevocations, type Revocation, Revocations } from '../src/auth/revocations.js';
import { isTicket, Tickets } from '../src/auth/tickets.js';
import { Metrics } from '../src/observe/metrics.js';
import { StoreLink } from '../src/redis/redis.js';
import { Keys } from '../src/relay/keys.js';
import type { FollowHome, Home } from '../src/relay/open-relay.js';
import { Partitions } from '../src/relay/partitions.js';
import { newNodeId } from '../src/relay/redis-message.js';
import { authStoreContract, type OpenedStore } from './auth-store.contract.js';
import { until } from './wait.js';

let redis: RedisProcess;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(async () => {
  await redis[Symbol.asyncDispose]();
});

const opened: AuthStore[] = [];
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

let prefixes = 0;

/** Like a heartbeat, this also works if Redis is full. */
async function addNode(redisPrefix: string, nodeId: string, redisUrl = redis.url): Promise<void> {
  const direct = new Redis(redisUrl);
  const beat = `#!lua flags=allow-oom\nredis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])`;
  await direct.eval(beat, 1, `${redisPrefix}:nodes`, Date.now(), nodeId);
  direct.disconnect();
}

/** Longer than any test takes. */
const hourMs = 3_600_000;

interface Opening {
  readonly redisUrl?: string;
  readonly rememberedMs?: number;
  readonly maxRevocationLagSeconds?: number;
  /** Calls the listener again when the store moves. */
  readonly followHome?: FollowHome;
}

interface OpenedRedisStore extends OpenedStore {
  readonly known: Revocations;
}

function homeAt(redisUrl: string, prefix: string, mapVersion = 1): Home {
  const keys = new Keys(prefix, 0, new Partitions(64));
  const settings = { redisUrl, redisTimeoutMs: 5_000, nodeName: 'test' };
  return {
    open: (events) => new StoreLink(settings, pino({ level: 'silent' }), new Metrics().counters, events),
    prefix,
    nodes: keys.nodes,
    generation: keys.generation,
    mapVersion,
  };
}

async function openRedisStore(redisPrefix = `p${++prefixes}`, opening: Opening = {}): Promise<OpenedRedisStore> {
  const { redisUrl = redis.url, rememberedMs = hourMs, maxRevocationLagSeconds = 3_600 } = opening;
  const { followHome = (listener) => listener(homeAt(redisUrl, redisPrefix)) } = opening;
  const known = new Revocations(rememberedMs);
  const revoked: Revocation[] = [];
  const nodeId = newNodeId();
  await addNode(redisPrefix, nodeId, redisUrl);
  const store = new RedisAuthStore({ nodeId, maxRevocationLagSeconds }, followHome, known, (news) => {
    for (const revocation of news) known.add(revocation);
    revoked.push(...news);
  });
  opened.push(store);
  await until('Redis answers', async () => (await store.take('nothing').catch(() => undefined)) === null);
  return { store, revoked, known };
}

async function openMemoryStore(): Promise<OpenedStore> {
  const revoked: Revocation[] = [];
  const store = new MemoryAuthStore((news) => revoked.push(...news));
  opened.push(store);
  return { store, revoked };
}

authStoreContract('the store in memory', openMemoryStore);
authStoreContract('the store in Redis', () => openRedisStore());

const later = { atMs: Date.now(), untilMs: Date.now() + hourMs };
/** The entries of the stream. */
async function entriesOf(redisPrefix: string, redisUrl = redis.url): Promise<readonly (readonly string[])[]> {
  const direct = new Redis(redisUrl);
  const entries = await direct.xrange(`${redisPrefix}:revocations`, '-', '+');
  direct.disconnect();
  return entries.map(([, fields]) => fields);
}

describe('a store whose partition moves to another Redis', () => {
  it('takes its revocations and its key along, and continues there', async () => {
    await using other = await startRedis();
    const prefix = `p${++prefixes}`;
    let move: (home: Home) => void = () => undefined;
    const followHome: FollowHome = (listener) => {
      move = listener;
      listener(homeAt(redis.url, prefix));
    };
    const { store } = await openRedisStore(prefix, { followHome });
    const [key] = await store.clusterKeys();
    await store.revoke({ kind: 'subject', value: 'before', ...later });
    move(homeAt(other.url, prefix));
    await until('the revocation is there', async () => (await entriesOf(prefix, other.url)).length === 1);
    await until(
      'it is served',
      async () =>
        store.isCurrent &&
        (await store.keep('t', 'v', 1_000).then(
          () => true,
          () => false,
        )),
    );
    expect(await store.take('t')).toBe('v');
    const { store: next, revoked } = await openRedisStore(prefix, { redisUrl: other.url });
    await until('a new node knows the revocation', () => revoked.some(({ value }) => value === 'before'));
    await until('it has the same key', async () => (await next.clusterKeys())[0].equals(key));
    await store.revoke({ kind: 'subject', value: 'after', ...later });
    await until('it learns the next one', () => revoked.some(({ value }) => value === 'after'));
    expect(await entriesOf(prefix)).toHaveLength(1);
  });

  it('reads once more what another node has written there before it left, also if that node dies', async () => {
    await using other = await startRedis();
    const prefix = `p${++prefixes}`;
    let move: (home: Home) => void = () => undefined;
    const { store, revoked } = await openRedisStore(prefix, {
      followHome: (listener) => {
        move = listener;
        listener(homeAt(redis.url, prefix));
      },
    });
    await until('it has read', () => store.isCurrent);
    const { store: dying } = await openRedisStore(prefix);
    await dying.revoke({ kind: 'subject', value: 'last', ...later });
    move(homeAt(other.url, prefix));
    await dying.close();
    await until('it knows the revocation', () => revoked.some(({ value }) => value === 'last'));
    await until('it is in the new Redis', async () => (await entriesOf(prefix, other.url)).length === 1);
  });

  it('takes no revocations from a node that does not know of the move', async () => {
    const prefix = `p${++prefixes}`;
    const { store } = await openRedisStore(prefix, {
      followHome: (listener) => listener(homeAt(redis.url, prefix, 6)),
    });
    const direct = new Redis(redis.url);
    await direct.set(`${prefix}:generation`, 'ab.6:0000000000000000');
    await store.revoke({ kind: 'subject', value: 'before', ...later });
    await direct.set(`${prefix}:generation`, 'ab.7:0000000000000000');
    await expect(store.revoke({ kind: 'subject', value: 'after', ...later })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('Repeat the request until the answer is 202'),
    });
    expect(await entriesOf(prefix)).toHaveLength(1);
    direct.disconnect();
  });

  it('answers unavailable before it is known', async () => {
    const known = new Revocations(hourMs);
    const settings = { nodeId: newNodeId(), maxRevocationLagSeconds: 1 };
    const store = new RedisAuthStore(
      settings,
      () => undefined,
      known,
      () => undefined,
    );
    opened.push(store);
    await expect(store.take('t')).rejects.toMatchObject({ code: 'unavailable' });
    await expect(store.revoke({ kind: 'subject', value: 'a', ...later })).rejects.toMatchObject({
      code: 'unavailable',
    });
    expect(store.isCurrent).toBe(false);
  });
});

/** Each once: a store may receive an entry several times. */
const valuesOf = (revoked: readonly Revocation[]): readonly string[] => [...new Set(revoked.map(({ value }) => value))];

describe('the store in Redis', () => {
  it('emits a revocation on all nodes, also on those that start later', async () => {
    const one = await openRedisStore('shared');
    const other = await openRedisStore('shared');
    await one.store.revoke({ kind: 'subject', value: 'ada', ...later });
    await until('the other node has the revocation', () => other.revoked.length > 0);
    await one.store.revoke({ kind: 'tokenId', value: 't', ...later });
    await until('the other node has the revocation', () => valuesOf(other.revoked).length > 1);
    expect(valuesOf(other.revoked)).toEqual(['ada', 't']);
    const late = await openRedisStore('shared');
    await until('a node that starts later has the revocation', () => valuesOf(late.revoked).length > 1);
    expect(valuesOf(late.revoked)).toEqual(valuesOf(other.revoked));
  });

  it('restores revocations that Redis has lost', async () => {
    const one = await openRedisStore('lossy');
    await one.store.revoke({ kind: 'subject', value: 'ada', ...later });
    await until('the store has read its own revocation', () => one.revoked.length > 1);
    const direct = new Redis(redis.url);
    await direct.del('lossy:revocations');
    // Another revocation is written before any node checks the stream.
    await direct.xadd('lossy:revocations', '*', 'subject', 'bob', 'at', later.atMs, 'until', later.untilMs);
    direct.disconnect();
    const late = await openRedisStore('lossy');
    await until('a node that starts later has both revocations', () => valuesOf(late.revoked).length === 2);
    expect(new Set(valuesOf(late.revoked))).toEqual(new Set(['ada', 'bob']));
  });

  it('keeps one entry for repeated revocations of the same thing: the latest', async () => {
    const one = await openRedisStore('again', { rememberedMs: 1 });
    const other = await openRedisStore('again', { rememberedMs: 1 });
    for (let times = 0; times < 5; times++) {
      await one.store.revoke({ kind: 'subject', value: 'ada', atMs: later.atMs + times, untilMs: later.untilMs });
    }
    await until('one entry is left', async () => (await entriesOf('again')).length === 1);
    expect(await entriesOf('again')).toEqual([
      ['subject', 'ada', 'at', `${later.atMs + 4}`, 'until', `${later.untilMs}`],
    ]);
    // It was the last entry that others had read.
    await other.store.revoke({ kind: 'subject', value: 'bob', ...later });
    await until('the other node still receives revocations', () => valuesOf(one.revoked).includes('bob'));
  });

  it('forgets expired revocations, and does not emit them', async () => {
    const one = await openRedisStore('old', { rememberedMs: 1 });
    await one.store.revoke({ kind: 'subject', value: 'ada', atMs: 1, untilMs: 2 });
    await one.store.revoke({ kind: 'subject', value: 'bob', ...later });
    const late = await openRedisStore('old', { rememberedMs: 1 });
    await until('a node that starts later has the valid one', () => late.revoked.length > 0);
    expect(valuesOf(late.revoked)).toEqual(['bob']);
    await until('Redis has deleted the expired entry', async () => (await entriesOf('old')).length === 1);
    // The other clock is ahead: entries that either node reads again in the meantime must be deleted again.
    await until('Redis has deleted the other entry too', async () => {
      for (const { store, known } of [one, late]) store.forget(known.removeExpired(later.untilMs));
      return (await entriesOf('old')).length === 0;
    });
  });

  it('extends an entry of an older release, or of a node with shorter-lived tokens, to the lifetime that it needs', async () => {
    const direct = new Redis(redis.url);
    const at = Date.now() - 2_000;
    await direct.xadd('short:revocations', '*', 'subject', 'ada', 'at', at, 'until', at + 1_000);
    await direct.xadd('short:revocations', '*', 'subject', 'key:lifted', 'at', at, 'until', at + 1_000);
    await direct.xadd('short:revocations', '*', 'subject', 'key:orders', 'at', at, 'until', at + hourMs);
    direct.disconnect();
    const { revoked } = await openRedisStore('short', { rememberedMs: 2 * hourMs });
    await openRedisStore('short', { rememberedMs: hourMs });
    const untils = async () => (await entriesOf('short')).map(([, value, , , , until]) => [value, Number(until)]);
    await until('each has one entry', async () => (await untils()).length === 2);
    expect(await untils()).toEqual([
      ['ada', at + 2 * hourMs],
      ['key:orders', forever],
    ]);
    expect(valuesOf(revoked)).not.toContain('key:lifted');
  });

  it('revokes on all nodes, and enforces the limits of a subject, while Redis is full', async () => {
    await using full = await startRedis();
    const one = await openRedisStore('full', { redisUrl: full.url });
    const other = await openRedisStore('full', { redisUrl: full.url });
    const direct = new Redis(full.url);
    await direct.config('SET', 'maxmemory', '1');
    await expect(direct.set('any', '1')).rejects.toThrow('OOM');
    direct.disconnect();
    await one.store.revoke({ kind: 'subject', value: 'ada', ...later });
    await until('the other node has the revocation', () => other.revoked.length > 0);
    const late = await openRedisStore('full', { redisUrl: full.url });
    await until('a node that starts later has the revocation', () => late.revoked.length > 0);
    const spending = [{ name: 'ada', perSecond: 0.001, burst: 10, amount: 7 }];
    expect((await one.store.spend(spending)).map(Math.round)).toEqual([3]);
    expect((await other.store.spend(spending)).map(Math.round)).toEqual([-4]);
    expect(await one.store.admit('ada', 1, 1)).toBe(true);
    expect(await other.store.admit('ada', 1, 1)).toBe(false);
    one.store.report([['ada', 0]]);
    await until('a connection slot is free', () => other.store.admit('ada', 1, 1));
    // A ticket is large, and a client that is refused one can retry.
    await expect(one.store.keep('a', 'v', 1_000)).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('limits the revocations that it writes to a full Redis, and sends the rest to the other nodes when Redis has room', async () => {
    const one = await openRedisStore('cap');
    const other = await openRedisStore('cap');
    const direct = new Redis(redis.url);
    // Of a kind that these nodes do not know.
    const fill = `for i = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], '*', 'k', i) end`;
    await direct.eval(fill, 1, 'cap:revocations', maxRevocations);
    await expect(one.store.revoke({ kind: 'subject', value: 'ada', ...later })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/^Revoked on this node, .*Repeat the request until the answer is 202\.$/),
    });
    expect(valuesOf(one.revoked)).toEqual(['ada']);
    expect(await direct.xlen('cap:revocations')).toBe(maxRevocations);
    await direct.xtrim('cap:revocations', 'MAXLEN', 0);
    direct.disconnect();
    await until('the other node has the revocation', () => valuesOf(other.revoked).includes('ada'));
  });

  it('revokes on its own node while Redis is unavailable, and sends the revocation to the others afterwards', async () => {
    await using gone = await startRedis();
    await using way = await FaultProxy.start({ targetPort: gone.port });
    const cutOff = await openRedisStore('back', { redisUrl: `redis://${way.address}` });
    const other = await openRedisStore('back', { redisUrl: gone.url });
    await way.refuse();
    const revocation: Revocation = { kind: 'subject', value: 'ada', ...later };
    await expect(cutOff.store.revoke(revocation)).rejects.toMatchObject({ code: 'unavailable' });
    expect(cutOff.revoked).toEqual([revocation]);
    await way.heal();
    await until('the other node has the revocation', () => other.revoked.length > 0);
    expect(other.revoked).toEqual([revocation]);
    await until('the revocation is stored once', async () => (await entriesOf('back', gone.url)).length === 1);
  });

  it('is no longer current if it cannot reach Redis for too long, and is current again afterwards', async () => {
    await using way = await FaultProxy.start({ targetPort: redis.port });
    const redisUrl = `redis://${way.address}`;
    const cutOff = await openRedisStore('lag', { redisUrl, maxRevocationLagSeconds: 2 });
    const other = await openRedisStore('lag');
    await until('the store is current', () => cutOff.store.isCurrent);
    way.blackhole();
    await until('the store is not current any more', async () => {
      // An answer that arrived while this process was busy is read first.
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
      return cutOff.store.revocationLagMs > 2_000 && !cutOff.store.isCurrent;
    });
    await other.store.revoke({ kind: 'subject', value: 'ada', ...later });
    await way.heal();
    await until('the store is current again', () => cutOff.store.isCurrent);
    // It has read the revocations that it missed before.
    expect(valuesOf(cutOff.revoked)).toEqual(['ada']);
  });

  it('shares budgets: if one node takes from a budget, other nodes have less, and the budget refills with time', async () => {
    const one = await openRedisStore('budget');
    const other = await openRedisStore('budget');
    const left = async (amount: number, { store }: OpenedStore): Promise<number> => {
      const [ada = Number.NaN] = await store.spend([{ name: 'ada', perSecond: 0.001, burst: 10, amount }]);
      return Math.round(ada);
    };
    expect(await left(7, one)).toBe(3);
    expect(await left(7, other)).toBe(-4);
    const full = { perSecond: 1_000, burst: 10 };
    const [ada = 0, ...others] = await other.store.spend([
      { name: 'ada', perSecond: 0.001, burst: 10, amount: 1 },
      { name: 'bob', ...full, amount: 0 },
      { name: 'eve', ...full, amount: 20 },
    ]);
    expect([Math.round(ada), ...others]).toEqual([-5, 10, -10]);
    await until('the budget is full again', async () => {
      const [eve] = await one.store.spend([{ name: 'eve', ...full, amount: 0 }]);
      return eve === 10;
    });
  });

  it('remembers the whole debt of a budget, however large it is', async () => {
    const { store } = await openRedisStore('owed');
    const spend = (amount: number) => store.spend([{ name: 'ada', perSecond: 0.001, burst: 10, amount }]);
    await spend(1_000);
    expect((await spend(0)).map(Math.round)).toEqual([-990]);
    const direct = new Redis(redis.url);
    // As long as it takes to pay off the debt.
    expect(await direct.pttl('owed:budget:ada')).toBeGreaterThan(900_000_000);
    direct.disconnect();
  });

  it('stores nothing about a budget that was only queried', async () => {
    const { store } = await openRedisStore('asked');
    expect(await store.spend([{ name: 'ada', perSecond: 1, burst: 10, amount: 0 }])).toEqual([10]);
    const direct = new Redis(redis.url);
    expect(await direct.keys('asked:budget:*')).toEqual([]);
    direct.disconnect();
  });

  it('keeps budgets usable if the clock is set back', async () => {
    const { store } = await openRedisStore('clock');
    const direct = new Redis(redis.url);
    await direct.hset('clock:budget:ada', { left: 5, at: Date.now() + 600_000 });
    direct.disconnect();
    const left = await store.spend([{ name: 'ada', perSecond: 1, burst: 10, amount: 0 }]);
    expect(left.map(Math.round)).toEqual([5]);
  });

  it('counts the connections of a subject over all nodes', async () => {
    const one = await openRedisStore('count');
    const other = await openRedisStore('count');
    expect(await one.store.admit('ada', 1, 3)).toBe(true);
    expect(await one.store.admit('ada', 2, 3)).toBe(true);
    expect(await other.store.admit('ada', 1, 3)).toBe(true);
    expect(await other.store.admit('ada', 2, 3)).toBe(false);
    expect(await other.store.admit('bob', 1, 3)).toBe(true);
    one.store.report([['ada', 1]]);
    await until('a connection slot is free', () => other.store.admit('ada', 2, 3));
    one.store.report([['ada', 0]]);
    await until('another slot is free', () => other.store.admit('ada', 3, 3));
    expect(await one.store.admit('ada', 1, 3)).toBe(false);
  });

  it('does not count connections of a node that has sent no heartbeat for long', async () => {
    const { store } = await openRedisStore('gone');
    const direct = new Redis(redis.url);
    await direct.hset('gone:connections:ada', 'a-node-that-was-killed', `3:${Date.now() - 1}`);
    expect(await store.admit('ada', 1, 3)).toBe(true);
    expect(await direct.hlen('gone:connections:ada')).toBe(1);
    await direct.hset('gone:connections:ada', 'nobody', 'writes so');
    expect(await store.admit('ada', 1, 3)).toBe(true);
    await direct.hset('gone:connections:ada', 'a-node', `3:${Date.now() + 60_000}`);
    direct.disconnect();
    await addNode('gone', 'a-node');
    expect(await store.admit('ada', 1, 3)).toBe(false);
  });

  it('does not count connections of a node without heartbeats, and counts them again when heartbeats return', async () => {
    const { store } = await openRedisStore('silent');
    const direct = new Redis(redis.url);
    await direct.hset('silent:connections:ada', 'a-node', `3:${Date.now() + 60_000}`);
    expect(await store.admit('ada', 1, 3)).toBe(true);
    await addNode('silent', 'a-node');
    expect(await store.admit('ada', 1, 3)).toBe(false);
    direct.disconnect();
  });

  it('knows all revocations once it is current, however many there are', async () => {
    const one = await openRedisStore('many');
    const direct = new Redis(redis.url);
    const pipeline = direct.pipeline();
    for (let index = 0; index < 2_500; index++) {
      pipeline.xadd('many:revocations', '*', 'subject', `s${index}`, 'at', later.atMs, 'until', later.untilMs);
    }
    await pipeline.exec();
    direct.disconnect();
    const late = await openRedisStore('many');
    await until('the store is current', () => late.store.isCurrent);
    expect(late.revoked).toHaveLength(2_500);
    expect(one.store.isCurrent).toBe(true);
  });

  it('rejects a ticket that something else has written to Redis', async () => {
    const { store } = await openRedisStore('foreign');
    const tickets = new Tickets(store);
    const ticket = await tickets.issue('a token');
    const direct = new Redis(redis.url);
    const [key = ''] = await direct.keys('foreign:ticket:*');
    await direct.set(key, 'AAAA');
    direct.disconnect();
    await expect(tickets.redeem(ticket)).rejects.toThrow('The ticket was not issued by this broker.');
  });

  it('returns an error while Redis is unavailable', async () => {
    await using gone = await startRedis();
    const { store } = await openRedisStore('away', { redisUrl: gone.url });
    await gone.stop();
    const refused = await store.keep('a', 'v', 1_000).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(AuthError);
    expect(refused).toMatchObject({ code: 'unavailable' });
  });

  it('stores neither tickets nor tokens in plain text', async () => {
    const { store } = await openRedisStore('clear');
    const ticket = await new Tickets(store).issue('secret.token.here');
    const direct = new Redis(redis.url);
    const keys = await direct.keys('clear:*');
    const values = await direct.mget(keys.filter((key) => key.startsWith('clear:ticket:')));
    direct.disconnect();
    expect(values).toHaveLength(1);
    const stored = JSON.stringify([keys, values]);
    expect(stored).not.toContain(ticket);
    expect(Buffer.from(values[0] ?? '', 'base64').toString('latin1')).not.toContain('secret');
  });
});

describe('tickets', () => {
  it('can be used once', async () => {
    const { store } = await openMemoryStore();
    const tickets = new Tickets(store);
    const ticket = await tickets.issue('a token');
    expect(isTicket(ticket)).toBe(true);
    expect(await tickets.issue('a token')).not.toBe(ticket);
    expect(await tickets.redeem(ticket)).toBe('a token');
    await expect(tickets.redeem(ticket)).rejects.toThrow('The ticket is unknown, already used, or older than 30 s.');
  });

  it.each(['', 'x', '../../etc', 'A'.repeat(43), `${'A'.repeat(42)}\n`])(
    'that the broker did not issue are refused: %j',
    async (text) => {
      const { store } = await openMemoryStore();
      await expect(new Tickets(store).redeem(text)).rejects.toThrow(AuthError);
    },
  );
});

describe('revocations', () => {
  const identity = {
    subject: 'ada',
    tokenId: 't1',
    issuedAtMs: 5_000,
    expiresAtMs: null,
    isService: false,
    isAdmin: false,
  };
  const has = (revocation: Omit<Revocation, 'untilMs'>, change: Partial<typeof identity> = {}, connection = 'c1') => {
    const revocations = new Revocations(hourMs);
    revocations.add({ ...revocation, untilMs: 9_000 });
    return revocations.has({ ...identity, ...change } as never, connection);
  };

  it('of a subject apply to tokens issued before, not to later ones', () => {
    expect(has({ kind: 'subject', value: 'ada', atMs: 6_000 })).toBe(true);
    expect(has({ kind: 'subject', value: 'ada', atMs: 5_500 })).toBe(true);
    expect(has({ kind: 'subject', value: 'ada', atMs: 4_999 })).toBe(false);
    expect(has({ kind: 'subject', value: 'bob', atMs: 6_000 })).toBe(false);
    expect(has({ kind: 'subject', value: 'ada', atMs: 1 }, { issuedAtMs: null as never })).toBe(true);
  });

  it('of a token or a connection apply to nothing else', () => {
    expect(has({ kind: 'tokenId', value: 't1', atMs: 1 })).toBe(true);
    expect(has({ kind: 'tokenId', value: 't2', atMs: 1 })).toBe(false);
    expect(has({ kind: 'connection', value: 'c1', atMs: 1 })).toBe(true);
    expect(has({ kind: 'connection', value: 'c1', atMs: 1 }, {}, 'c2')).toBe(false);
  });

  it('are forgotten when they have expired', () => {
    const revocations = new Revocations(10);
    revocations.add({ kind: 'subject', value: 'ada', atMs: 1, untilMs: 100 });
    revocations.add({ kind: 'subject', value: 'ada', atMs: 1, untilMs: 50 });
    expect(revocations.removeExpired(99)).toEqual([]);
    expect(revocations.removeExpired(100)).toEqual([{ kind: 'subject', value: 'ada', atMs: 1, untilMs: 100 }]);
    expect(revocations.size).toBe(0);
  });

  it('last as long as any token that they revoke, with the clocks of all nodes', () => {
    const day = { maxLifetimeSeconds: 86_400, clockSkewSeconds: 5 };
    const year = { maxLifetimeSeconds: 31_536_000, clockSkewSeconds: 300 };
    expect(keptForMs([day])).toBe((86_400 + 2 * 5 + 60) * 1_000);
    // A subject can be a user or an API key.
    expect(keptForMs([day, year, day])).toBe((31_536_000 + 2 * 300 + 60) * 1_000);
    expect(keptForMs([{ maxLifetimeSeconds: 60, clockSkewSeconds: 0 }])).toBe(3_660_000);
    expect(keptForMs([])).toBe(3_660_000);
  });

  it('of an API key do not expire', () => {
    const revocations = new Revocations(10);
    expect(revocations.create('subject', 'key:orders', 1_000)).toMatchObject({ atMs: 1_000, untilMs: forever });
    expect(revocations.create('subject', 'ada', 1_000)).toMatchObject({ atMs: 1_000, untilMs: 1_010 });
    // No token can have this subject.
    expect(revocations.create('tokenId', 'key:orders', 1_000)).toMatchObject({ untilMs: 1_010 });
  });
});
