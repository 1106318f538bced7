/** What the scripts do with streams, where nodes would have to meet in a rare moment to show it. */
import { startRedis } from '@fanfare/local-cluster';
import { Writer, writeItem } from '@fanfare/protocol';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Script, scripts } from '../src/relay/scripts.js';
import { decodeEntry, encodeEntry, inOnes, messageIdsOf } from '../src/relay/stream-entry.js';

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

/** An entry of these publications; those named in `ids` have a messageId like their text. */
function entryOf(texts: readonly string[], ids: readonly string[] = []): Buffer {
  const writer = new Writer();
  for (const text of texts) {
    const bytes = Buffer.from(JSON.stringify(text));
    writeItem(writer, { encoding: 'json', bytes, start: 0, end: bytes.length });
  }
  const places = new Map(ids.map((id) => [id, texts.indexOf(id)]));
  return encodeEntry({ count: texts.length, bytes: writer.view() }, places);
}

function run({ source }: Script, keys: readonly string[], args: readonly (string | number | Buffer)[]) {
  return redis.call('EVAL', source, keys.length, ...keys, ...args);
}

async function publications(): Promise<string[]> {
  const rows = (await redis.callBuffer('XRANGE', 't', '-', '+')) as [Buffer, [Buffer, Buffer]][];
  return rows.flatMap(([id, [, bytes]]) => {
    const [, offset = '0'] = id.toString().split('-');
    const entry = decodeEntry(Number(offset), bytes);
    if (entry === null) throw new Error('Not an entry.');
    const names = new Map(messageIdsOf(entry));
    return inOnes(entry.run).map(({ bytes: item }, place) => {
      const id = names.get(place);
      return `${entry.first + place} ${Buffer.from(item)
        .toString()
        .replace(/[^a-z]/g, '')}${id === undefined ? '' : ` ${id}`}`;
    });
  });
}

describe('giving back what Redis lost', () => {
  const give = (first: number, texts: readonly string[], ids: readonly string[]) =>
    run(
      scripts.restore,
      ['t', 'generation'],
      [
        ...[floor, ageMs, ageMs, epoch, first, entryOf(texts, ids), ids.length],
        ...ids.flatMap((id) => [texts.indexOf(id), id]),
      ],
    );

  it('takes of an entry what another node has not given back', async () => {
    await give(10, ['a'], ['a']);
    await give(10, ['a', 'b', 'c'], ['a', 'c']);
    expect(await publications()).toEqual(['10 a a', '11 b', '12 c c']);
    await give(11, ['b', 'c'], ['c']);
    expect(await publications()).toHaveLength(3);
    expect(await redis.hgetall('t:ids')).toEqual({ a: `${epoch}-10`, c: `${epoch}-12` });
    await give(13, ['d'], []);
    expect((await publications()).at(-1)).toBe('13 d');
  });

  it('the other way round too', async () => {
    await give(10, ['a', 'b'], ['a', 'b']);
    await give(10, ['a'], ['a']);
    expect(await publications()).toEqual(['10 a a', '11 b b']);
  });
});

describe('proving what was published to a master that was replaced', () => {
  const stream = async (named: string, ...entries: readonly [number, Buffer][]): Promise<void> => {
    await redis.del('t');
    for (const [first, entry] of entries) await redis.xadd('t', `${named}-${first}`, '', entry);
  };
  const prove = (...entries: readonly (readonly [first: number, entry: Buffer | string, ids: readonly string[]])[]) =>
    run(
      scripts.prove,
      ['t'],
      [floor, epoch, ...entries.flatMap(([first, bytes, ids]) => [first, bytes, ids.length, ...ids])],
    );
  const [a, b] = [entryOf(['a']), entryOf(['b'])];

  it('knows publications by their messageIds, each of them', async () => {
    await stream(epoch, [1, a]);
    await redis.hset('t:ids', 'x', 'p');
    await redis.hset('t:ids:old', 'y', 'p');
    expect(await prove([1, '', ['x', 'y']], [3, '', ['y']])).toBe(0);
    expect(await prove([1, '', ['x', 'z']])).toBe(1);
    await stream(epoch, [1, a]);
    expect(await prove([1, '', ['z']], [2, '', ['x']])).toBe(1);
  });

  it('knows those without by their bytes', async () => {
    await stream(epoch, [1, a], [2, b]);
    expect(await prove([1, a, []], [2, b, []])).toBe(0);
    expect(await prove([2, a, []])).toBe(1);
    await stream(epoch, [1, a]);
    expect(await prove([2, b, []])).toBe(1);
    await stream(other, [8, a]);
    expect(await prove([1, a, []])).toBe(0);
    expect(await prove([1, b, []])).toBe(1);
  });

  it('says nothing of what a history does not reach back to, nor where there is none', async () => {
    await stream(epoch, [5, b]);
    expect(await prove([1, a, []])).toBe(0);
    await redis.del('t');
    expect(await prove([1, a, []])).toBe(0);
  });
});
