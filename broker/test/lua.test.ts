/** What the scripts do with streams, in cases that need a rare coincidence between nodes. */
import { startRedis } from '@fanfare/local-cluster';
import { Writer, writeItem } from '@fanfare/protocol';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Script } from '../src/redis/redis.js';
import { groupIds, idGroupArgs } from '../src/relay/id-group.js';
import { publishScript, scripts } from '../src/relay/scripts.js';
import { decodeEntry, encodeEntry, inOnes, messageIdsOf } from '../src/relay/stream-entry.js';
import { json } from './relay.contract.js';
import { until } from './wait.js';

const epoch = '1700000000000000';
const other = '1700000000000001';
const floor = '0';
const ageMs = 60_000;

let server: Awaited<ReturnType<typeof startRedis>>;
let redis: Redis;

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});

afterAll(async () => {
  redis.disconnect();
  await server[Symbol.asyncDispose]();
});

beforeEach(async () => {
  await redis.flushall();
});

/** An entry with these publications; those named in `ids` have their text as messageId. `key`: they all have this key. */
function entryOf(texts: readonly string[], ids: readonly string[] = [], key: string | null = null): Buffer {
  const writer = new Writer();
  for (const text of texts) {
    writeItem(writer, { ...json(text), key, remove: key !== null });
  }
  const places = new Map(ids.map((id) => [id, texts.indexOf(id)]));
  return encodeEntry({ count: texts.length, bytes: writer.view(), hasKeys: key !== null }, places);
}

/** The messageIds `ids` of publications with these texts, as the scripts take them. */
function idsIn(texts: readonly string[], ids: readonly string[]): (string | number)[] {
  return idGroupArgs(groupIds(new Map(ids.map((id) => [id, texts.indexOf(id)]))));
}

function run({ source }: Script, keys: readonly string[], args: readonly (string | number | Buffer)[]) {
  return redis.call('EVAL', source, keys.length, ...keys, ...args);
}

async function publications(): Promise<string[]> {
  const rows = (await redis.callBuffer('XRANGE', 't', '-', '+')) as [Buffer, [Buffer, Buffer]][];
  return rows.flatMap(([id, [, bytes]]) => {
    const [epoch = '', offset = '0'] = id.toString().split('-');
    const entry = decodeEntry({ epoch, offset: Number(offset) }, bytes);
    if (entry === null) throw new Error('Not an entry.');
    const names = new Map([...messageIdsOf(entry)].map(([id, place]) => [place, id]));
    return inOnes(entry.run).map(({ bytes: item }, place) => {
      const id = names.get(place);
      return `${entry.first + place} ${Buffer.from(item)
        .toString()
        .replace(/[^a-z]/g, '')}${id === undefined ? '' : ` ${id}`}`;
    });
  });
}

/** The keys of the topic `t` in a call that may use messageIds. */
const withIds = ['t', 't:ids', 't:ids:old'];

describe('the script that restores what Redis lost', () => {
  const give = (first: number, texts: readonly string[], ids: readonly string[]) =>
    run(
      scripts.restore,
      ['generation', 'newest', ...withIds],
      [...[floor, ageMs, ageMs, epoch, '', epoch, first, entryOf(texts, ids)], ...idsIn(texts, ids)],
    );

  it('adds only those publications of an entry that no other node has restored', async () => {
    await give(10, ['a'], ['a']);
    await give(10, ['a', 'b', 'c'], ['a', 'c']);
    expect(await publications()).toEqual(['10 a a', '11 b', '12 c c']);
    await give(11, ['b', 'c'], ['c']);
    expect(await publications()).toHaveLength(3);
    expect(await redis.hgetall('t:ids')).toEqual({ '': `ac\n 1:${epoch}-9 2:${epoch}-10` });
    await give(13, ['d'], []);
    expect((await publications()).at(-1)).toBe('13 d');
  });

  it('keeps the keys of publications', async () => {
    await give(10, ['a'], ['a']);
    const entry = entryOf(['a', 'b', 'c'], ['c'], 'key');
    const args = [floor, ageMs, ageMs, epoch, '', epoch, 10, entry, ...idsIn(['a', 'b', 'c'], ['c'])];
    await run(scripts.restore, ['generation', 'newest', ...withIds], args);
    expect(await publications()).toEqual(['10 a a', '11 keyb', '12 keyc c']);
    // What is left of the entry still says that it has keys.
    const rows = (await redis.callBuffer('XRANGE', 't', '-', '+')) as [Buffer, [Buffer, Buffer]][];
    expect(rows.map(([, [, bytes]]) => bytes[0])).toEqual([2, 3]);
  });

  it('replaces a history that ended earlier, but not one that began later', async () => {
    await publish(['old'], '');
    const [position = ''] = await publish(['older']);
    const ended = position.split('-')[0] as string;
    const began = String(Number(ended) + 5);
    await redis.del('generation');
    const giveTo = (named: string, first: number, text: string) =>
      run(
        scripts.restore,
        ['generation', 'newest', ...withIds],
        [floor, ageMs, ageMs, named, '', named, first, entryOf([text]), 0],
      );
    expect(await giveTo(began, 3, 'new')).toEqual([`${began}-3`, 1]);
    expect(await publications()).toEqual(['3 new']);
    expect(await giveTo(ended, 2, 'late')).toEqual([`${began}-3`, 0]);
    expect(await publications()).toEqual(['3 new']);
  });

  describe('for a history that got another epoch after Redis had saved it', () => {
    const begin = async (): Promise<{ readonly saved: string; readonly renewed: string }> => {
      const [position = ''] = await publish(['a', 'b', 'c']);
      await redis.del('generation');
      const saved = position.split('-')[0] as string;
      return { saved, renewed: String(Number(saved) + 5) };
    };

    it('adds the publications that were made afterwards', async () => {
      const { renewed } = await begin();
      const args = [floor, ageMs, ageMs, renewed, 3, renewed, 4, entryOf(['d']), 0];
      expect(await run(scripts.restore, ['generation', 'newest', ...withIds], args)).toEqual([`${renewed}-4`, 1]);
      expect(await publications()).toEqual(['1 a', '2 b', '3 c', '4 d']);
    });

    it('keeps the data of Redis if nothing was published afterwards', async () => {
      const { renewed } = await begin();
      const args = [floor, renewed, 3, 3, ageMs];
      expect(await run(scripts.restorePositions, ['generation', 'newest', 't'], args)).toBe(1);
      expect(await publications()).toEqual(['1 a', '2 b', '3 c']);
      expect(await publish(['d'], renewed)).toEqual([`${renewed}-4`]);
    });

    it.each(['2', ''])(
      'replaces the data if Redis has different publications, or if the start of the epoch is unknown (begun after %s)',
      async (begun) => {
        const { renewed } = await begin();
        const args = [floor, ageMs, ageMs, renewed, begun, renewed, 3, entryOf(['d']), 0];
        expect(await run(scripts.restore, ['generation', 'newest', ...withIds], args)).toEqual([`${renewed}-3`, 1]);
        expect(await publications()).toEqual(['3 d']);
      },
    );
  });

  it('keeps the epochs of the publications of a history', async () => {
    const args = [epoch, 1, entryOf(['a']), 0, epoch, 2, entryOf(['b']), 0];
    const answer = await run(
      scripts.restore,
      ['generation', 'newest', ...withIds],
      [floor, ageMs, ageMs, other, '', ...args],
    );
    expect(answer).toEqual([`${other}-2`, 1]);
    expect((await read(1, { epoch })).ids).toEqual([]);
    expect((await read(1, { epoch: other })).ids).toEqual([`${epoch}-1`, `${epoch}-2`]);
    expect(await publish(['c'], other)).toEqual([`${other}-3`]);
  });

  it('ignores an entry whose publications are a part of what Redis has', async () => {
    await give(10, ['a', 'b'], ['a', 'b']);
    await give(10, ['a'], ['a']);
    expect(await publications()).toEqual(['10 a a', '11 b b']);
  });
});

/** Sets what a recovery leaves: the generation, and the state of the server (stream.lua). */
async function complete(server: Redis): Promise<void> {
  await server.set('generation', 'g');
  const info = `${await server.info('server')}${await server.info('replication')}`;
  await server.set('run', `${/run_id:(\w+)/.exec(info)?.[1]}:${/master_replid:(\w+)/.exec(info)?.[1]}`);
}

/** Publishes each text in an entry of its own, like a node. `epoch`: the epoch that this node knows. */
async function publish(texts: readonly string[], known = '', ids: readonly string[] = []): Promise<string[]> {
  await complete(redis);
  const positions: string[] = [];
  for (const text of texts) {
    const named = ids.includes(text) ? [text] : [];
    const args = [known, '', ageMs, 1, entryOf([text], named), '', ...idsIn([text], named)];
    const keys = ['generation', 'newest', 'run', ...(named.length > 0 ? withIds : ['t'])];
    const answer = await run(publishScript(''), keys, ['g', floor, ageMs, '', ...args]);
    positions.push(String((answer as unknown[]).flat()[0]));
  }
  return positions;
}

async function read(
  from: number,
  { epoch: named = '', renew = false, lifeMs = ageMs, publications = 1_000, bytes = 1_000_000 } = {},
) {
  await redis.set('generation', 'g');
  const args = [floor, lifeMs, named, from, publications, bytes, 'g', renew ? 1 : 0];
  const [position, ...rows] = (await run(scripts.read, ['generation', 'newest', 't'], args)) as [string, ...[string][]];
  return { position, epoch: position.split('-')[0] as string, ids: rows.map(([id]) => id) };
}

async function idsBack(from: number | '', named: string, publications = 2, bytes = 1_000_000): Promise<string[]> {
  const args = [floor, named, from, publications, bytes];
  const answer = await run(scripts.readBack, ['generation', 'newest', 't'], args);
  return (answer as [string, ...[string][]]).slice(1).map(([id = '']) => id);
}

describe('reading a history', () => {
  /** Five entries of three publications, 1 to 15. */
  const give = async (): Promise<{ readonly named: string; readonly size: number }> => {
    const texts = ['a', 'b', 'c'];
    await complete(redis);
    for (let index = 0; index < 5; index++) {
      const args = ['g', floor, ageMs, '', '', '', ageMs, texts.length, entryOf(texts), '', 0];
      await run(publishScript(''), ['generation', 'newest', 'run', 't'], args);
    }
    const { epoch: named } = await read(1);
    return { named, size: entryOf(texts).length };
  };
  const offsets = (ids: readonly string[]): number[] => ids.map((id) => Number(id.split('-')[1]));

  it('returns the entries with the requested publications, and no others', async () => {
    const { named } = await give();
    const forward = async (from: number, publications: number) =>
      offsets((await read(from, { epoch: named, publications })).ids);
    expect(await forward(1, 1)).toEqual([1]);
    expect(await forward(1, 3)).toEqual([1]);
    expect(await forward(1, 4)).toEqual([1, 4]);
    expect(await forward(3, 1)).toEqual([1]);
    expect(await forward(3, 2)).toEqual([1, 4]);
    expect(await forward(5, 100)).toEqual([4, 7, 10, 13]);
    expect(await forward(15, 100)).toEqual([13]);
    expect(await forward(16, 100)).toEqual([]);
    const back = async (from: number | '', publications: number) => offsets(await idsBack(from, named, publications));
    expect(await back('', 1)).toEqual([13]);
    expect(await back('', 3)).toEqual([13]);
    expect(await back('', 4)).toEqual([13, 10]);
    expect(await back(4, 1)).toEqual([4]);
    expect(await back(4, 2)).toEqual([4, 1]);
    expect(await back(9, 100)).toEqual([7, 4, 1]);
    expect(await back(0, 100)).toEqual([]);
    expect(await back(1_000, 4)).toEqual([13, 10]);
    // Under another epoch, only publications from its first one on.
    expect(offsets((await read(1, { epoch })).ids)).toEqual([1]);
  });

  it('begins behind a hole, and counts from there', async () => {
    const { named } = await give();
    await redis.xdel('t', `${named}-4`, `${named}-7`);
    expect(offsets((await read(5, { epoch: named, publications: 4 })).ids)).toEqual([10, 13]);
    expect(offsets((await read(2, { epoch: named, publications: 2 })).ids)).toEqual([1]);
    await redis.xdel('t', `${named}-1`);
    expect(offsets((await read(1, { epoch: named, publications: 3 })).ids)).toEqual([10]);
  });

  it('returns no more bytes than requested, but at least one entry', async () => {
    const { named, size } = await give();
    for (const [bytes, entries] of [
      [1, 1],
      [2 * size - 1, 1],
      [2 * size, 2],
      [5 * size, 5],
    ] as const) {
      expect((await read(1, { epoch: named, bytes })).ids).toHaveLength(entries);
      expect(await idsBack('', named, 100, bytes)).toHaveLength(entries);
    }
  });

  it('returns a history that has lost its oldest publications and got another epoch since', async () => {
    const { named } = await give();
    const { epoch: after } = await read(1, { epoch: named, renew: true });
    await redis.xdel('t', `${named}-1`);
    expect(offsets((await read(1, { epoch: after })).ids)).toEqual([4, 7, 10, 13]);
  });
});

describe('epochs', () => {
  it('never go back, even if the clock of Redis does', async () => {
    const [first = ''] = await publish(['a']);
    const ahead = String(Number(first.split('-')[0]) + 3_600_000_000);
    await redis.set('newest', ahead);
    await redis.del('t');
    const [second = ''] = await publish(['b']);
    expect(second).toBe(`${Number(ahead) + 1}-1`);
    await redis.del('t');
    const { position } = await read(1);
    expect(position).toBe(`${Number(ahead) + 2}-0`);
    const { epoch: renewed } = await read(1, { epoch: position.split('-')[0] as string, renew: true });
    expect(renewed).toBe(String(Number(ahead) + 3));
  });

  it('that Redis has lost and a node restores are not assigned again', async () => {
    const ahead = '9000000000000000';
    await run(
      scripts.restore,
      ['generation', 'newest', ...withIds],
      [floor, ageMs, ageMs, ahead, '', ahead, 1, entryOf(['a']), 0],
    );
    await redis.del('t');
    const [next = ''] = await publish(['b']);
    expect(next.split('-')[0]).toBe('9000000000000001');
  });

  it('change without copying the history, however long it is', async () => {
    const texts = Array.from({ length: 1_500 }, () => 'x');
    const positions = await publish(texts);
    const before = positions.at(-1)?.split('-')[0] as string;
    const { position, epoch: after, ids } = await read(1, { epoch: before, renew: true });
    expect(after > before).toBe(true);
    expect(position).toBe(`${after}-1500`);
    // No publications exist under the new one yet.
    expect(ids).toEqual([]);
    expect(await redis.xlen('t')).toBe(1_500);
    expect(await publish(['y'], before)).toEqual([`${after}-1501`]);
    // A node that knows the old epoch gets publications of the new one; a node that knows the new one gets all.
    expect((await read(3, { epoch: before })).ids).toEqual([`${after}-1501`]);
    expect((await read(1_499, { epoch: after })).ids).toEqual([`${before}-1499`, `${before}-1500`, `${after}-1501`]);
    expect((await read(1_501, { epoch: after })).ids).toEqual([`${after}-1501`]);
    expect((await read(1, { epoch: after })).ids.length).toBe(100);
    expect(await idsBack(1_501, after)).toEqual([`${after}-1501`, `${before}-1500`]);
    expect(await idsBack(7, after)).toEqual([`${before}-7`, `${before}-6`]);
    expect(await idsBack(7, before)).toEqual([]);
  });

  it('are read from the stream: a node that knows an older one publishes under the current one', async () => {
    const [first = ''] = await publish(['a']);
    const { epoch: next } = await read(1, { epoch: first.split('-')[0] as string, renew: true });
    expect(await publish(['b', 'c'], first.split('-')[0])).toEqual([`${next}-2`, `${next}-3`]);
  });
});

describe('the lifetime of a history', () => {
  it('is never shortened by a read', async () => {
    await publish(['a']);
    await redis.pexpire('t', 10 * ageMs);
    const { epoch: named } = await read(1);
    await run(scripts.positions, ['generation', 'newest', 't'], [floor, ageMs]);
    await redis.del('generation');
    await run(
      scripts.restore,
      ['generation', 'newest', ...withIds],
      [floor, ageMs, ageMs, named, '', named, 2, entryOf(['b']), 0],
    );
    expect(await redis.xlen('t')).toBe(2);
    expect(await redis.pttl('t')).toBeGreaterThan(9 * ageMs);
  });

  it('is extended by a read, if it would end earlier', async () => {
    await publish(['a']);
    await redis.pexpire('t', 1_000);
    await read(1);
    expect(await redis.pttl('t')).toBeGreaterThan(ageMs / 2);
    await redis.pexpire('t', 1_000);
    await run(scripts.positions, ['generation', 'newest', 't'], [floor, ageMs]);
    expect(await redis.pttl('t')).toBeGreaterThan(ageMs / 2);
  });
});

describe('a call with several runs', () => {
  const keys = ['generation', 'newest', 'run'];

  /** `ms`: the expiry of the stream; negative if it applies only to a new one. */
  const runOf = (epoch: string, texts: readonly string[], ids: readonly string[] = [], oldest = '', ms = -ageMs) => {
    return [epoch, oldest, ms, texts.length, entryOf(texts, ids), '', ...idsIn(texts, ids)];
  };

  it('publishes them in order, whether they need more than adding an entry or not', async () => {
    const [first = ''] = await publish(['a']);
    const epoch = first.split('-')[0] as string;
    const runs = [
      runOf(epoch, ['b', 'c', 'd']),
      runOf(epoch, ['e']),
      runOf('', ['f']),
      runOf(epoch, ['g', 'h'], ['h']),
      runOf(epoch, ['i'], [], '3'),
      runOf(epoch, ['j']),
    ];
    const subscriber = redis.duplicate();
    const received: string[] = [];
    subscriber.on('smessage', (_, message) => received.push(message.split(' ')[0] as string));
    await subscriber.ssubscribe('t');
    const answer = await run(
      publishScript(''),
      [...keys, ...runs.flatMap((run) => (run[6] === 0 ? ['t'] : withIds))],
      ['g', floor, ageMs, '', ...runs.flat()],
    );
    const positions = [2, 5, 6, 7, 9, 10].map((offset) => `${epoch}-${offset}`);
    expect(answer).toEqual(positions);
    await until('all are received', async () => received.length === positions.length);
    subscriber.disconnect();
    expect(received).toEqual(positions);
    expect((await publications()).map((text) => text.split(' ').slice(0, 2).join(' '))).toEqual([
      '1 a',
      '2 b',
      '3 c',
      '4 d',
      '5 e',
      '6 f',
      '7 g',
      '8 h',
      '9 i',
      '10 j',
    ]);
  });

  it('begins the history of a topic whose stream is gone, and leaves the other topics as they are', async () => {
    const [first = ''] = await publish(['a']);
    const epoch = first.split('-')[0] as string;
    const runs = [runOf(epoch, ['b']), runOf(epoch, ['c'])];
    const answer = await run(publishScript(''), [...keys, 't', 'gone'], ['g', floor, ageMs, '', ...runs.flat()]);
    const [known, other] = answer as string[];
    expect(known).toBe(`${epoch}-2`);
    expect(other).toMatch(/-1$/);
    expect(other).not.toBe(`${epoch}-1`);
    expect(await redis.pttl('gone')).toBeGreaterThan(0);
  });
});

describe('a repeated publication', () => {
  it('is followed by a write, so that WAIT waits for the original publication', async () => {
    await using master = await startRedis({
      args: ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '3600'],
    });
    await using _replica = await startRedis({ args: ['--replicaof', `127.0.0.1 ${master.port}`] });
    const admin = new Redis(master.url);
    const info = () => admin.info('replication');
    await until('the replica is connected', async () => (await info()).includes('state=online'));
    const offset = async () => Number(/master_repl_offset:(\d+)/.exec(await info())?.[1]);
    await complete(admin);
    const { source } = publishScript('');
    const run = ['', '', ageMs, 1, entryOf(['a'], ['a']), '', ...idsIn(['a'], ['a'])];
    const publishIt = () =>
      admin.call('EVAL', source, 6, 'generation', 'newest', 'run', ...withIds, 'g', floor, ageMs, 1, ...run);
    const [first] = (await publishIt()) as string[];
    const before = await offset();
    expect(await publishIt()).toEqual([['', first]]);
    expect(await offset()).toBeGreaterThan(before);
    admin.disconnect();
  });

  it('is recognized even if Redis accepts no writes, but not confirmed for WAIT', async () => {
    const [first] = await publish(['a'], '', ['a']);
    await redis.config('SET', 'maxmemory', '1');
    try {
      const again = (wait: string) => {
        const args = ['g', floor, ageMs, wait, '', '', ageMs, 1, entryOf(['a'], ['a']), '', ...idsIn(['a'], ['a'])];
        return run(publishScript(''), ['generation', 'newest', 'run', ...withIds], args);
      };
      expect(await again('')).toEqual([['', first]]);
      await expect(again('1')).rejects.toThrow('UNPROVEN');
    } finally {
      await redis.config('SET', 'maxmemory', '0');
    }
  });
});

describe('messageIds', () => {
  const windowMs = 60_000;

  /** Publishes a run, each publication with its text as messageId. Returns the position of each. */
  const publishRun = async (texts: readonly string[], { rotates = false, ids = texts } = {}): Promise<string[]> => {
    const args = ['', '', ageMs, texts.length, entryOf(texts, ids), rotates ? 1 : '', ...idsIn(texts, ids)];
    const keys = ['generation', 'newest', 'run', ...withIds];
    const [answer] = (await run(publishScript(''), keys, ['g', floor, windowMs, '', ...args])) as unknown[];
    if (Array.isArray(answer)) return answer.map(String);
    const [named, first] = String(answer).split('-');
    return texts.map((_, place) => `${named}-${Number(first) + place}`);
  };
  const offsets = (positions: readonly string[]) => positions.map((position) => position.split('-')[1] ?? '');

  beforeEach(async () => {
    await complete(redis);
  });

  it('of several publishers whose publications alternate each have their own position', async () => {
    await publishRun(['a0', 'b0', 'x', 'a1', 'b1'], { ids: ['a0', 'b0', 'a1', 'b1'] });
    await publishRun(['c', 'a2', 'a3', 'b2']);
    const [first, ...known] = await publishRun(['b2', 'b1', 'a3', 'a0', 'c', 'a1', 'a2', 'b0']);
    expect(first).toBe('');
    expect(offsets(known)).toEqual(['9', '5', '8', '1', '6', '4', '7', '2']);
  });

  it('that are unknown are published and remembered, in a run with known ones', async () => {
    await publishRun(['a1', 'a3']);
    const run = ['a0', 'a1', 'a2', 'x', 'a3', 'b9', 'a4'];
    const answer = await publishRun(run, { ids: run.filter((text) => text !== 'x') });
    expect(offsets(answer)).toEqual(['3', '', '1', '', '2', '', '']);
    expect(await publications()).toEqual(['1 a a1', '2 a a3', '3 a a0', '4 a a2', '5 x', '6 b b9', '7 a a4']);
    const [, ...known] = await publishRun(['a4', 'b9', 'a2', 'a0']);
    expect(offsets(known)).toEqual(['7', '6', '4', '3']);
  });

  it('are known if their history has ended, and the next one has lower offsets', async () => {
    const texts = Array.from({ length: 30 }, (_, index) => `k${String.fromCharCode(0x41 + index)}`);
    const positions = await publishRun(texts);
    await redis.del('t');
    const [next = ''] = await publishRun(['k0']);
    expect(next).toMatch(/-1$/);
    const [, ...known] = await publishRun([...texts, 'k0']);
    expect(known).toEqual([...positions, next]);
  });

  it('may contain digits and spaces, as those of authenticated publishers do', async () => {
    const texts = ['scope 1', 'scope :', 'scope -', '7', '-', 'scope x1'];
    const positions = await publishRun(texts);
    expect(
      (await publishRun(['scope 2', 'scope 0', '8', 'scope x2'])).map((position) => position.split('-')[1]),
    ).toEqual(['7', '8', '9', '10']);
    const [, ...known] = await publishRun(texts);
    expect(known).toEqual(positions);
  });

  it('are remembered for a window after the two hashes have replaced each other, and not forever', async () => {
    const [first] = await publishRun(['a0'], { rotates: true });
    const pass = async () => {
      // As if one and a half windows had passed.
      await redis.pexpire('t:ids', windowMs);
      await redis.pexpire('t:ids:old', 1);
      await until('the older hash has expired', async () => (await redis.exists('t:ids:old')) === 0);
    };
    await pass();
    const [second] = await publishRun(['a1'], { rotates: true });
    expect(await redis.pttl('t:ids:old')).toBeGreaterThan(0);
    expect(await redis.pttl('t:ids')).toBeGreaterThan(2 * windowMs);
    expect(await publishRun(['a0', 'a1'])).toEqual(['', first, second]);
    await pass();
    await publishRun(['b0'], { rotates: true });
    expect(await publishRun(['a0', 'a1'])).toEqual(['', first, second]);
    await pass();
    await publishRun(['b1'], { rotates: true });
    expect(offsets(await publishRun(['a0', 'a1']))).toEqual(['5', '6']);
  });
});

describe('proving that Redis has what was published to a replaced master', () => {
  const stream = async (named: string, ...entries: readonly [number, Buffer][]): Promise<void> => {
    await redis.del('t');
    for (const [first, entry] of entries) await redis.xadd('t', `${named}-${first}`, '', entry);
  };
  const prove = (...entries: readonly (readonly [first: number, entry: Buffer | string, ids: readonly string[]])[]) =>
    run(
      scripts.prove,
      ['generation', 'newest', ...withIds],
      [
        ...[floor, epoch],
        ...entries.flatMap(([first, bytes, ids]) => {
          return [first, bytes, ...idsIn(ids, ids)];
        }),
      ],
    );
  const [a, b] = [entryOf(['a']), entryOf(['b'])];

  it('recognizes publications by their messageIds, each of them', async () => {
    await stream(epoch, [1, a]);
    await redis.hset('t:ids', 'kx', `01\n 1:${epoch}-0`);
    await redis.hset('t:ids:old', 'ky', `0\n 1:${epoch}-2`);
    expect(await prove([1, '', ['kx0', 'kx1', 'ky0']], [3, '', ['ky0']])).toBe(0);
    expect(await prove([1, '', ['kx0', 'ky1']])).toBe(1);
    await stream(epoch, [1, a]);
    expect(await prove([1, '', ['kz0']], [2, '', ['kx0']])).toBe(1);
  });

  it('recognizes publications without messageId by their bytes', async () => {
    await stream(epoch, [1, a], [2, b]);
    expect(await prove([1, a, []], [2, b, []])).toBe(0);
    expect(await prove([2, a, []])).toBe(1);
    await stream(epoch, [1, a]);
    expect(await prove([2, b, []])).toBe(1);
    await stream(epoch, [1, a]);
    await redis.xadd('t', `${other}-8`, '', b);
    expect(await prove([1, a, []])).toBe(0);
    expect(await prove([2, b, []])).toBe(1);
  });

  it('is impossible for a publication if only its position is left', async () => {
    await stream(epoch, [1, a], [5, b]);
    expect(await prove([3, '', []])).toBe(1);
  });

  it('ignores publications older than the history, and topics without a history', async () => {
    await stream(epoch, [5, b]);
    expect(await prove([1, a, []])).toBe(0);
    await redis.del('t');
    expect(await prove([1, a, []])).toBe(0);
  });
});

describe('verifying that no publications are missing', () => {
  const verify = (named: string, offset: number) =>
    run(scripts.verify, ['generation', 'newest', 't'], [floor, named, offset]);

  it('assigns another epoch to a topic if Redis lacks publications, or a whole epoch', async () => {
    const [, position = ''] = await publish(['a', 'b']);
    const named = position.split('-')[0] as string;
    expect(await verify(named, 2)).toBe(0);
    expect(await verify(named, 1)).toBe(0);
    expect((await read(1)).epoch).toBe(named);
    expect(await verify(named, 3)).toBe(1);
    const { epoch: renewed } = await read(1);
    expect(renewed > named).toBe(true);
    expect(await verify(named, 3)).toBe(0);
    expect(await verify(String(Number(renewed) + 1), 1)).toBe(1);
    // The lost position of a deleted topic is known.
    await redis.del('t');
    await verify('9000000000000000', 1);
    expect((await read(1)).epoch).toBe('9000000000000001');
  });
});

describe('a recovery', () => {
  const control = 'control';
  const keys = ['generation', 'newest', 'run', 'recovery', 'clock', 'layout', 'nodes', 'unpublished'];
  /** Arguments of a node. It reports as a node that has just started, unless `remembers` is set. */
  interface Options {
    readonly remembers?: '1' | '0';
    /** The nodes that it knows, with the clock at their last sign of life. */
    readonly knows?: Readonly<Record<string, number>>;
    /** Those of them that have never published. */
    readonly unpublished?: readonly string[];
    /** The newest clock that it has received. */
    readonly newestClock?: number;
    readonly name?: string;
    readonly waitMs?: number;
    readonly patienceMs?: number;
    /** The fence that it has found in Redis. */
    readonly fenceFound?: number;
    /** The version of the map that it knows. */
    readonly mapVersion?: number;
  }
  const report = async (node: string, stage: number, options: Options = {}) => {
    const {
      remembers = '',
      knows = {},
      unpublished = [],
      newestClock = 0,
      name = '',
      waitMs = 0,
      patienceMs = 60_000,
      fenceFound = 0,
      mapVersion = 0,
    } = options;
    const args = [
      node,
      2_000,
      stage,
      remembers,
      newestClock,
      patienceMs,
      'next',
      control,
      name,
      5_000,
      1,
      '0',
      '',
      waitMs,
      fenceFound,
      mapVersion,
    ];
    const known = Object.entries(knows).flatMap(([id, sign]) => [id, sign, unpublished.includes(id) ? 1 : '']);
    return (await run(scripts.recover, keys, [...args, ...known])) as string[];
  };
  /** Lets nodes report in turn until they serve, or until each of them has to wait. Returns the last answer. */
  const recoverWith = async (nodes: Readonly<Record<string, Options>>): Promise<string> => {
    const stages = { listened: 1, published: 2, verify: 3 } as const;
    const done = new Map<string, number>();
    let name = '';
    for (;;) {
      let last = '';
      let isOver = true;
      for (const [node, options] of Object.entries(nodes)) {
        const [word = '', called = ''] = await report(node, done.get(node) ?? 0, { ...options, name });
        name = called;
        last = word;
        if (word === 'serving') return word;
        if (!(word in stages)) continue;
        done.set(node, stages[word as keyof typeof stages]);
        isOver = false;
      }
      if (isOver) return last;
    }
  };

  it('is complete at once for a single node', async () => {
    expect(await recoverWith({ a: {} })).toBe('serving');
  });

  it('keeps the highest fence that the data has or a node knows', async () => {
    await redis.mset('generation', 'last.7:5000000000000000', 'clock', 10_000);
    expect(await recoverWith({ a: { remembers: '1', newestClock: 10_000, mapVersion: 6 } })).toBe('serving');
    expect(await redis.get('generation')).toBe('next.7:5000000000000000');
    await redis.flushall();
    expect(await recoverWith({ a: { remembers: '1', mapVersion: 9 }, b: { remembers: '1' } })).toBe('serving');
    expect(await redis.get('generation')).toMatch(/^next\.9:/);
  });

  it('ends all epochs of data from before the copy of a partition, but not if there is no data', async () => {
    const node = { remembers: '1', newestClock: 10_000, fenceFound: 7, mapVersion: 7 } as const;
    await redis.mset('generation', 'last.7:5000000000000000', 'clock', 10_000);
    expect(await recoverWith({ a: node })).toBe('serving');
    expect(await redis.get('generation')).toBe('next.7:5000000000000000');
    await redis.del('run');
    await redis.set('generation', 'last.6:5000000000000000');
    expect(await recoverWith({ a: node })).toBe('serving');
    expect((await redis.get('generation'))?.slice(-16)).not.toBe('5000000000000000');
    await redis.flushall();
    expect(await recoverWith({ a: node })).toBe('serving');
    expect(await redis.get('generation')).toBe('next.7:0000000000000000');
  });

  it('waits for the nodes that receive its call', async () => {
    const listener = new Redis(server.url);
    await listener.ssubscribe(control);
    expect(await recoverWith({ a: {} })).toBe('wait');
    listener.disconnect();
  });

  it('begins only after the node itself has subscribed, if it is about to: otherwise the count of receivers is unknown', async () => {
    const args = ['a', 2_000, 0, '', 0, 60_000, 'next', control, '', 5_000, 1, '0', '0', 0, 0, 0];
    expect(await run(scripts.recover, keys, args)).toEqual(['listen']);
    expect(await redis.exists('recovery')).toBe(0);
  });

  it('waits for every node that takes part, even if it was unknown', async () => {
    const waitMs = 3_600_000;
    const newcomer = { waitMs };
    expect(await recoverWith({ a: newcomer })).toBe('hold');
    await report('b', 0, { remembers: '1', name: (await redis.hget('recovery', 'name')) ?? '' });
    // That node has not restored anything yet.
    expect(await recoverWith({ a: newcomer })).toBe('wait');
  });

  it('waits for the nodes that were alive when Redis lost its state', async () => {
    await redis.mset('clock', 10_000, 'newest', '5000000000000000');
    await redis.zadd('nodes', 9_000, 'b');
    expect(await recoverWith({ a: {} })).toBe('wait');
    expect(await recoverWith({ a: {}, b: { remembers: '1' } })).toBe('serving');
  });

  it('waits for the nodes that another node knows, even if the same number of other nodes take part', async () => {
    const knows = { a: 10_000, b: 9_000, c: 9_000 };
    expect(await recoverWith({ a: { remembers: '1', newestClock: 10_000, knows } })).toBe('wait');
    expect(await recoverWith({ a: { remembers: '1' }, b: { remembers: '1' }, d: {} })).toBe('wait');
    expect(await recoverWith({ c: { remembers: '1' }, a: {}, b: {}, d: {} })).toBe('serving');
  });

  it('does not wait for a node that died before the end of the data: all its publications are there', async () => {
    await redis.mset('generation', 'last:5000000000000000', 'clock', 10_000);
    await redis.zadd('nodes', 7_999, 'b');
    const knows = { a: 10_000, b: 7_999 };
    expect(await recoverWith({ a: { remembers: '1', newestClock: 10_000, knows } })).toBe('serving');
    expect(await redis.get('generation')).toBe('next:5000000000000000');
  });

  it('waits for a node that died after the end of the data', async () => {
    await redis.set('clock', 10_000);
    expect(await recoverWith({ a: { remembers: '1', newestClock: 14_000, knows: { b: 8_001 } } })).toBe('wait');
  });

  it('ends all epochs if a node that has published does not return, but not for one that never has', async () => {
    const options = { remembers: '1', newestClock: 10_000, knows: { b: 9_000 } } as const;
    expect(await recoverWith({ a: { ...options, unpublished: ['b'] } })).toBe('wait');
    await redis.flushall();
    await redis.set('newest', '5000000000000000');
    expect(await recoverWith({ a: { ...options, unpublished: ['b'], patienceMs: 0 } })).toBe('serving');
    expect(await redis.get('generation')).toBe('next:0000000000000000');
    await redis.del('generation');
    // A node that knows about a later publication is right.
    expect(await recoverWith({ a: { ...options, unpublished: ['b'], patienceMs: 0 }, c: options })).toBe('serving');
    expect(await redis.get('generation')).toBe('next:5000000000000001');
  });

  it('does not count time in which no node asked: paused machines do not end the histories that nodes remember', async () => {
    const options = { remembers: '1', newestClock: 10_000, knows: { b: 9_000 } } as const;
    expect(await recoverWith({ a: options })).toBe('wait');
    await redis.hset('recovery', 'at', Number(await redis.hget('recovery', 'at')) - 50_000);
    expect(await recoverWith({ a: options })).toBe('wait');
    expect(Number(await redis.hget('recovery', 'waited'))).toBeLessThan(10_000);
    expect(await recoverWith({ a: options, b: { remembers: '1' } })).toBe('serving');
  });

  it('reads from Redis, if the data exists, which nodes have never published', async () => {
    await redis.mset('clock', 10_000, 'newest', '5000000000000000');
    await redis.zadd('nodes', 9_000, 'b');
    await redis.zadd('unpublished', 9_000, 'b');
    expect(await recoverWith({ a: { remembers: '1', patienceMs: 0 } })).toBe('serving');
    expect(await redis.get('generation')).toBe('next:0000000000000000');
  });

  it('waits, if there is no data, for a node that may have published something newer than the restored data', async () => {
    expect(await recoverWith({ a: { remembers: '1', newestClock: 20_000, knows: { b: 13_000 } } })).toBe('serving');
    await redis.flushall();
    expect(await recoverWith({ a: { remembers: '1', newestClock: 20_000, knows: { b: 13_001 } } })).toBe('wait');
  });

  it('returns the time from which nodes restore publications: the end of the data, or the longest possible loss', async () => {
    const newestClock = 20_000;
    expect(await report('a', 0, { newestClock })).toEqual(['listened', 'next']);
    expect(await report('a', 1, { newestClock, name: 'next' })).toEqual(['published', 'next', '15000']);
    await redis.set('clock', 19_000);
    expect(await report('a', 1, { newestClock, name: 'next' })).toEqual(['published', 'next', '17000']);
  });

  it('waits, if Redis has only just started, for a node that knows its content', async () => {
    const waitMs = 3_600_000;
    expect(await recoverWith({ a: { waitMs } })).toBe('hold');
    expect(await recoverWith({ a: { waitMs }, b: { waitMs, remembers: '1' } })).toBe('serving');
    expect(await redis.get('generation')).toBe('next:0000000000000000');
  });

  it('ends all epochs if a node has forgotten too many of its publications', async () => {
    await redis.set('newest', '5000000000000000');
    expect(await recoverWith({ a: { remembers: '0' }, b: { remembers: '1' } })).toBe('serving');
    expect(await redis.get('generation')).toBe('next:5000000000000001');
  });
});

describe('the record that a node has applied a map', () => {
  const record = (node: string, version: number) => run(scripts.report, ['records', 'nodes', 'clock'], [node, version]);
  const hourMs = 3_600_000;

  it('is removed an hour after it was made if its node is gone', async () => {
    await redis.zadd('nodes', 1_000, 'alive');
    for (const node of ['alive', 'gone']) await record(node, 2);
    await redis.set('clock', 1_000);
    await record('later', 2);
    await redis.set('clock', hourMs);
    await record('starting', 3);
    expect(Object.keys(await redis.hgetall('records')).toSorted()).toEqual(['alive', 'gone', 'later', 'starting']);
    await redis.set('clock', hourMs + 500);
    await record('starting', 4);
    expect(await redis.hgetall('records')).toEqual({
      alive: '2 0',
      later: '2 1000',
      starting: `4 ${hourMs + 500}`,
    });
  });
});

describe('the clock script', () => {
  const keys = ['nodes', 'run', 'clock', 'connections', 'layout', 'unpublished', 'generation', 'heard'];
  const beat = async (
    node: string,
    clock: number,
    state: 'left' | 'unpublished' | '' = '',
    probe: number | '' = '',
  ) => {
    const args = [node, 7_000, '', 1, clock, state, 'current', probe];
    const answer = (await run(scripts.heartbeat, keys, args)) as [
      ...[string[], number, number, number, number, string[]],
      probe: unknown,
    ];
    const [living, newestClock, , , , unpublished, outcome] = answer;
    return { nodes: living.length / 2, newestClock, unpublished, probe: outcome };
  };
  const stateOfServer = async (): Promise<string> => {
    const info = await redis.info();
    return `${/run_id:(\w+)/.exec(info)?.[1]}:${/master_replid:(\w+)/.exec(info)?.[1]}`;
  };

  it('returns the clock of the node that is ahead, and does not store it before the data is verified', async () => {
    expect(await beat('a', 0)).toMatchObject({ nodes: 1, newestClock: 0 });
    await redis.set('run', await stateOfServer());
    expect(await beat('a', 5_000)).toMatchObject({ nodes: 1, newestClock: 5_000 });
    expect(await beat('b', 4_000)).toMatchObject({ nodes: 2, newestClock: 5_000 });
    expect(await beat('b', 6_000)).toMatchObject({ nodes: 2, newestClock: 6_000 });
  });

  it('counts living nodes, without nodes that are silent for long or have left', async () => {
    await beat('a', 1_000);
    await redis.set('clock', 1_000);
    expect((await beat('b', 7_999)).nodes).toBe(2);
    expect((await beat('b', 8_000)).nodes).toBe(1);
    expect((await beat('c', 8_000)).nodes).toBe(2);
    expect((await beat('c', 8_000, 'left')).nodes).toBe(1);
  });

  it('keeps running while Redis is out of memory, but the probe is refused like a publication', async () => {
    const heard: string[] = [];
    const listener = redis.duplicate();
    await listener.ssubscribe('heard');
    listener.on('smessage', (_channel, message) => heard.push(message));
    await redis.set('run', await stateOfServer());
    await redis.set('generation', 'current');
    expect(await beat('a', 1_000, '', 1)).toMatchObject({ newestClock: 1_000, probe: 1 });
    await redis.config('SET', 'maxmemory', '1');
    const { newestClock, probe } = await beat('a', 2_000, '', 2).finally(() => redis.config('SET', 'maxmemory', '0'));
    expect(newestClock).toBe(2_000);
    expect(probe).toMatchObject({ message: expect.stringMatching(/^OOM/) });
    await redis.set('generation', 'another');
    expect((await beat('a', 3_000, '', 3)).probe).toMatchObject({ message: expect.stringMatching(/^STALE/) });
    expect(await redis.get('generation')).toBe('another');
    await redis.set('generation', 'current');
    await beat('a', 4_000, '', 4);
    await until('the last probe has arrived', () => heard.at(-1) === '4');
    expect(heard).toEqual(['1', '4']);
    expect(await redis.exists('heard')).toBe(0);
    listener.disconnect();
  });

  it('returns the nodes that have never published, until they publish, leave or are silent for long', async () => {
    await redis.set('run', await stateOfServer());
    await beat('a', 1_000, 'unpublished');
    await beat('b', 1_000, 'unpublished');
    expect((await beat('c', 1_000, 'unpublished')).unpublished).toEqual(['a', 'b', 'c']);
    await beat('a', 1_000);
    expect((await beat('b', 1_000, 'left')).unpublished).toEqual(['c']);
    expect((await beat('d', 8_000)).unpublished).toEqual([]);
  });
});
