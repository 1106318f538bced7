/** The map of partitions: its text, where partitions are first, and which move when shards come and go. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseGeneration, withFence } from '../src/relay/generation.js';
import {
  abandonMove,
  advanceMove,
  afterMoves,
  beginMove,
  countOf,
  firstMap,
  formatMap,
  formatRanges,
  mapOfOne,
  newestMap,
  parseMap,
  parseRanges,
  planAddition,
  planRemoval,
  type ShardMap,
  ShardMapError,
  shardsOf,
} from '../src/relay/shard-map.js';

const names = fc.uniqueArray(
  fc
    .tuple(fc.constantFrom('a', 'redis-1.example.com', '[::1]'), fc.integer({ min: 1, max: 65_535 }))
    .map(([host, port]) => `${host}:${port}`),
  { minLength: 1, maxLength: 9 },
);
const partitionCounts = fc.integer({ min: 16, max: 256 });

/** A map after any moves, perhaps with unfinished ones. */
const maps = fc
  .tuple(
    names,
    partitionCounts,
    fc.array(fc.tuple(fc.nat(), fc.nat(), fc.integer({ min: 0, max: 4 })), { maxLength: 20 }),
  )
  .map(([shards, partitions, moves]) => {
    let map = firstMap(shards, partitions);
    for (const [partitionSeed, shardSeed, steps] of moves) {
      const partition = partitionSeed % partitions;
      const to = shards[shardSeed % shards.length] as string;
      if (map.shards[partition] === to || map.moves.has(partition)) continue;
      map = beginMove(map, partition, to);
      for (let step = 0; step < steps; step++) map = advanceMove(map, partition);
    }
    return { shards, map };
  });

/** The numbers of partitions of these shards. */
function numbersOf(map: ShardMap, members: readonly string[]): readonly number[] {
  return members.map((name) => countOf(map, name));
}

function carryOut(map: ShardMap, plan: ReturnType<typeof planAddition>): ShardMap {
  return plan.reduce((before, { partition, to }) => afterMoves(beginMove(before, partition, to)), map);
}

describe('the text of a map', () => {
  it('names the partitions of each shard as ranges', () => {
    const map = advanceMove(beginMove(mapOfOne('a:6379', 16), 3, 'b:6379'), 3);
    expect(JSON.parse(formatMap(map))).toEqual({
      version: 3,
      partitions: 16,
      shards: { 'a:6379': '0-15' },
      moving: { 3: { from: 'a:6379', to: 'b:6379', step: 'copy' } },
    });
    expect(JSON.parse(formatMap(advanceMove(map, 3)))).toMatchObject({
      shards: { 'a:6379': '0-2,4-15', 'b:6379': '3' },
      moving: { 3: { step: 'switch' } },
    });
  });

  it('is read back as the same map', () => {
    fc.assert(
      fc.property(maps, ({ map }) => {
        expect(parseMap(formatMap(map))).toEqual(map);
      }),
    );
  });

  it('is read back as the same ranges', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(1_023), { minLength: 1 }), (numbers) => {
        const partitions = numbers.toSorted((one, other) => one - other);
        expect(parseRanges(formatRanges(partitions))).toEqual(partitions);
      }),
    );
    expect(formatRanges([0, 1, 2, 4, 6, 7])).toBe('0-2,4,6-7');
    for (const wrong of ['', '1-', '2-1', 'a', '1,,2', '-1', '1 2']) expect(parseRanges(wrong)).toBeNull();
  });

  it.each([
    ['', /not JSON/],
    ['[]', /a map is not an object/],
    ['{"version":0,"partitions":2,"shards":{"a":"0-1"}}', /version is not a positive number/],
    ['{"version":1,"partitions":"2","shards":{"a":"0-1"}}', /number of partitions/],
    ['{"version":1,"partitions":1000000000,"shards":{"a":"0-1"}}', /number of partitions .* up to 1024/],
    ['{"version":1,"partitions":2}', /list of shards is not an object/],
    ['{"version":1,"partitions":1,"shards":{"a\\u001b[31m":"0"}}', /name that is not printable/],
    ['{"version":1,"partitions":2,"shards":{"a":"0"}}', /partition 1 is in no shard/],
    ['{"version":1,"partitions":2,"shards":{"a":"0-1","b":"1"}}', /partition 1 is in two shards/],
    ['{"version":1,"partitions":2,"shards":{"a":"0-2"}}', /a has partition 2, and there are 2/],
    ['{"version":1,"partitions":2,"shards":{"a":[0,1]}}', /partitions of a are not ranges/],
    ['{"version":1,"partitions":1,"shards":{"a":"0"},"moving":{"1":{}}}', /moves partition 1, and there are 1/],
    [
      '{"version":1,"partitions":1,"shards":{"a":"0"},"moving":{"0":{"from":"a","to":"b","step":"fly"}}}',
      /^A newer release of Fanfare moves partition 0,/,
    ],
    [
      '{"version":1,"partitions":1,"shards":{"a":"0"},"moving":{"0":{"from":"a","to":"b","step":"switch"}}}',
      /does not fit its shard/,
    ],
  ])('is refused with a clear sentence: %s', (text, message) => {
    expect(() => parseMap(text)).toThrow(ShardMapError);
    expect(() => parseMap(text)).toThrow(message);
  });
});

describe('the first map', () => {
  it('gives all shards equal numbers, in whatever order they are listed', () => {
    fc.assert(
      fc.property(names, partitionCounts, (shards, partitions) => {
        const map = firstMap(shards, partitions);
        const numbers = numbersOf(map, shards);
        expect(numbers.reduce((sum, number) => sum + number)).toBe(partitions);
        expect(Math.max(...numbers) - Math.min(...numbers)).toBeLessThanOrEqual(1);
        expect(firstMap(shards.toReversed(), partitions)).toEqual(map);
      }),
    );
  });
});

describe('the map that counts', () => {
  it('is the one with the highest version', () => {
    const old = mapOfOne('a', 16);
    const next = beginMove(old, 1, 'b');
    expect(newestMap([])).toBeNull();
    expect(newestMap([old, next, old])).toBe(next);
  });

  it('is unknown if two maps have the same version', () => {
    expect(() => newestMap([mapOfOne('a', 16), mapOfOne('b', 16)])).toThrow(/different maps of version 1/);
  });
});

describe('a plan to add a shard', () => {
  it('makes all numbers equal with the fewest moves', () => {
    fc.assert(
      fc.property(maps, names, ({ map: unfinished }, [shard = '']) => {
        const map = afterMoves(unfinished);
        const members = [...new Set([...map.shards, shard])];
        const plan = planAddition(map, shard);
        const after = carryOut(map, plan);
        const numbers = numbersOf(after, members);
        expect(numbers.reduce((sum, number) => sum + number)).toBe(map.shards.length);
        expect(Math.max(...numbers) - Math.min(...numbers)).toBeLessThanOrEqual(1);
        // Each member loses no more than it has too many, and gives away only if others lack.
        const least = Math.floor(map.shards.length / members.length);
        const more = map.shards.length % members.length;
        const before = numbersOf(map, members).toSorted((one, other) => other - one);
        const kept = before.reduce((sum, number, at) => sum + Math.min(number, at < more ? least + 1 : least), 0);
        expect(plan).toHaveLength(map.shards.length - kept);
        expect(planAddition(after, shard)).toEqual([]);
      }),
    );
  });

  it('does not move partition 0 to a new shard', () => {
    const map = firstMap(['a', 'b'], 16);
    expect(planAddition(map, 'c').some(({ partition }) => partition === 0)).toBe(false);
  });
});

describe('a plan to remove a shard', () => {
  it('moves only its partitions, to the shards that have fewest', () => {
    fc.assert(
      fc.property(maps, fc.nat(), ({ map: unfinished, shards }, seed) => {
        const map = afterMoves(unfinished);
        const shard = shards[seed % shards.length] as string;
        const others = [...new Set(map.shards)].filter((name) => name !== shard);
        if (others.length === 0) {
          expect(() => planRemoval(map, shard)).toThrow(`${shard} has all partitions.`);
          return;
        }
        const plan = planRemoval(map, shard);
        expect(plan).toHaveLength(countOf(map, shard));
        expect(plan.every(({ partition, from }) => from === shard && map.shards[partition] === shard)).toBe(true);
        const after = carryOut(map, plan);
        expect(countOf(after, shard)).toBe(0);
        const fewest = Math.min(...numbersOf(after, others));
        for (const to of new Set(plan.map(({ to }) => to))) expect(countOf(after, to)).toBeLessThanOrEqual(fewest + 1);
      }),
    );
  });

  it('keeps what the operator has moved by hand, and moves partition 0 last', () => {
    // 12 partitions in a, 2 in b, 2 in c.
    const shards = Array.from({ length: 16 }, (_, partition) => (partition < 2 ? 'c' : partition < 4 ? 'b' : 'a'));
    const plan = planRemoval({ ...mapOfOne('a', 16), shards }, 'c');
    expect(plan).toEqual([
      { partition: 1, from: 'c', to: 'b' },
      { partition: 0, from: 'c', to: 'b' },
    ]);
  });

  it('is empty if the shard has no partitions', () => {
    expect(planRemoval(mapOfOne('a', 16), 'b')).toEqual([]);
  });
});

describe('the map after all moves', () => {
  it('has each partition where it moves to', () => {
    fc.assert(
      fc.property(maps, ({ map }) => {
        const after = afterMoves(map);
        expect(after.moves.size).toBe(0);
        expect(after.shards).toEqual(map.shards.map((shard, partition) => map.moves.get(partition)?.to ?? shard));
      }),
    );
  });
});

describe('a move', () => {
  it('serves the partition in the old shard until all is copied', () => {
    let map = beginMove(mapOfOne('a', 16), 5, 'b');
    const seen = [];
    while (map.moves.has(5)) {
      seen.push([map.version, map.moves.get(5)?.step, map.shards[5]]);
      map = advanceMove(map, 5);
    }
    expect(seen).toEqual([
      [2, 'prepare', 'a'],
      [3, 'copy', 'a'],
      [4, 'switch', 'b'],
      [5, 'clean', 'b'],
    ]);
    expect([map.version, map.shards[5], shardsOf(map)]).toEqual([6, 'b', ['a', 'b']]);
  });

  it('can be taken back until the nodes use the new shard', () => {
    const prepared = beginMove(mapOfOne('a', 16), 5, 'b');
    const copied = advanceMove(prepared, 5);
    for (const map of [prepared, copied])
      expect(abandonMove(map, 5)).toEqual({ ...mapOfOne('a', 16), version: map.version + 1 });
    expect(() => abandonMove(advanceMove(copied, 5), 5)).toThrow(/cannot be taken back/);
  });

  it('is refused with a clear sentence if it is impossible', () => {
    const map = beginMove(mapOfOne('a', 16), 5, 'b');
    expect(() => beginMove(map, 16, 'b')).toThrow('There is no partition 16. Partitions are 0-15.');
    expect(() => beginMove(map, 5, 'b')).toThrow('Partition 5 is moving already.');
    expect(() => beginMove(map, 4, 'a')).toThrow('Partition 4 is in a already.');
    expect(() => advanceMove(map, 4)).toThrow('Partition 4 is not moving.');
  });

  it('involves its new shard from the beginning, and its old one to the end', () => {
    const map = beginMove(firstMap(['a'], 16), 5, 'b');
    expect(shardsOf(map)).toEqual(['a', 'b']);
  });
});

describe('the name of a generation', () => {
  it('has a fence after a partition has moved', () => {
    expect(parseGeneration('ab12:0017')).toEqual({ name: 'ab12:0017', recovery: 'ab12', fence: 0, minEpoch: '0017' });
    expect(parseGeneration('ab12.7:0017')).toEqual({
      name: 'ab12.7:0017',
      recovery: 'ab12',
      fence: 7,
      minEpoch: '0017',
    });
  });

  it('gets a higher fence, never a lower one', () => {
    const generation = parseGeneration('ab12:0017');
    expect(withFence(generation, 0)).toBe(generation);
    expect(withFence(generation, 7).name).toBe('ab12.7:0017');
    expect(withFence(withFence(generation, 7), 5).name).toBe('ab12.7:0017');
  });
});
