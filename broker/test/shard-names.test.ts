/** Other names of shards in the map of partitions. */
import { describe, expect, it } from 'vitest';
import { beginMove, firstMap, formatMap, mapOfOne, parseMap, shardsOf } from '../src/relay/shard-map.js';
import { nameInMap, renameShard, withNamesOf } from '../src/relay/shard-names.js';

const map = firstMap(['a:1', 'b:1'], 16);
const renamed = renameShard(map, 'a:1', 'c:1');

describe('a map with another name of a shard', () => {
  it('has the same partitions in the next version', () => {
    expect(renamed.version).toBe(map.version + 1);
    expect(renamed.shards).toEqual(map.shards.map((shard) => (shard === 'a:1' ? 'c:1' : shard)));
    expect(shardsOf(renamed)).toEqual(['b:1', 'c:1']);
  });

  it('is read back as the same map', () => {
    expect(parseMap(formatMap(renamed))).toEqual(renamed);
    expect(() => parseMap(formatMap(map).replace('}}', '},"renamed":{"a:1":1}}'))).toThrow(
      'a shard has a name that is not printable ASCII',
    );
  });

  it('is the same to lists with the new name and with the earlier one', () => {
    expect(withNamesOf(['a:1', 'b:1'], renamed).shards).toEqual(map.shards);
    expect(withNamesOf(['c:1', 'b:1'], renamed).shards).toEqual(renamed.shards);
    const moving = beginMove(renamed, renamed.shards.indexOf('c:1'), 'b:1');
    expect([...withNamesOf(['a:1', 'b:1'], moving).moves.values()]).toEqual([
      { from: 'a:1', to: 'b:1', step: 'prepare' },
    ]);
  });

  it('knows all earlier names', () => {
    const again = renameShard(renamed, 'c:1', 'd:1');
    for (const name of ['a:1', 'c:1', 'd:1']) {
      expect(withNamesOf([name, 'b:1'], again).shards).toEqual(
        map.shards.map((shard) => (shard === 'a:1' ? name : shard)),
      );
      expect(nameInMap(again, name, [name, 'b:1'])).toBe('d:1');
    }
    const back = renameShard(again, 'd:1', 'a:1');
    expect(back.shards).toEqual(map.shards);
    expect(back.renamed).toEqual(
      new Map([
        ['c:1', 'a:1'],
        ['d:1', 'a:1'],
      ]),
    );
  });

  it('lets another Redis have the earlier name', () => {
    const both = ['a:1', 'b:1', 'c:1'];
    expect(withNamesOf(both, renamed).shards).toEqual(renamed.shards);
    const moved = beginMove(renamed, renamed.shards.indexOf('c:1'), 'a:1');
    expect(moved.renamed.size).toBe(0);
    expect(withNamesOf(['a:1', 'b:1'], moved)).toEqual(moved);
  });

  it('is refused with a clear sentence if it is impossible', () => {
    expect(() => renameShard(map, 'a:1', 'b:1')).toThrow('The map of partitions already has a shard b:1.');
    expect(() => renameShard(mapOfOne('b:1', 16), 'a:1', 'c:1')).toThrow('does not use a:1');
    const moving = beginMove(map, 3, map.shards[3] === 'a:1' ? 'b:1' : 'a:1');
    expect(() => renameShard(moving, 'a:1', 'c:1')).toThrow(
      'Partition 3 is moving, so no shard can get another name now.',
    );
  });
});
