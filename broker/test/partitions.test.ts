import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Keys } from '../src/relay/keys.js';
import { defaultPartitions, maxPartitions, minPartitions, Partitions, slotOf } from '../src/relay/partitions.js';
import { topic } from './relay.contract.js';

const partitions = new Partitions(defaultPartitions);

describe('the partitions of topics', () => {
  it('have slots as Redis Cluster counts them', () => {
    // The example of the Redis Cluster specification.
    expect(slotOf('123456789')).toBe(0x31c3);
    expect(slotOf('foo')).toBe(12_182);
  });

  it('never change: nodes of all releases must agree', () => {
    const names = ['chat.room.1', 'ticker.EURUSD', 'a', 'orders.2026.11.30', 'x'.repeat(128)];
    expect(names.map((name) => partitions.of(topic(name)))).toMatchInlineSnapshot(`
      [
        38,
        30,
        51,
        45,
        28,
      ]
    `);
    expect([0, 1, 31, 63].map((partition) => partitions.tagOf(partition))).toMatchInlineSnapshot(`
      [
        "14",
        "6q",
        "2a",
        "x",
      ]
    `);
  });

  it.each([minPartitions, 24, 64, 100, 256, maxPartitions])(
    'are spread evenly over masters with equal ranges of slots: %i partitions',
    (count) => {
      const some = new Partitions(count);
      const slots = Array.from({ length: count }, (_, partition) => some.slotOf(partition));
      expect(new Set(slots).size).toBe(count);
      for (const masters of [1, 2, 3, 4, 5, 6, 7, 8, 12, 16]) {
        const perMaster = new Array<number>(masters).fill(0);
        for (const slot of slots) {
          const master = Math.floor((slot * masters) / 16_384);
          perMaster[master] = (perMaster[master] as number) + 1;
        }
        expect(Math.max(...perMaster) - Math.min(...perMaster)).toBeLessThanOrEqual(1);
      }
    },
  );

  it.each([
    ['numbers at the end', (index: number) => `chat.room.${index}`],
    ['numbers at the beginning', (index: number) => `${index}.prices`],
    ['single letters', (index: number) => `t.${String.fromCharCode(97 + (index % 26))}${Math.floor(index / 26)}`],
  ])('get topics evenly: %s', (_, nameOf) => {
    const counts = new Array<number>(defaultPartitions).fill(0);
    const topics = 6_400;
    for (let index = 0; index < topics; index++) {
      const partition = partitions.of(topic(nameOf(index)));
      counts[partition] = (counts[partition] as number) + 1;
    }
    // 100 on average; a fair lottery stays within four standard deviations.
    expect(Math.min(...counts)).toBeGreaterThan(60);
    expect(Math.max(...counts)).toBeLessThan(140);
  });
});

describe('the name of a topic in Redis', () => {
  const segment = fc.stringMatching(/^[A-Za-z0-9_-]{1,8}$/);

  it('can be read back, and has the tag of its partition', () => {
    const segments = fc.array(segment, { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(segments, fc.constantFrom(0, 1, 15), (parts, database) => {
        const name = topic(parts.join('.'));
        const keys = new Keys('some:prefix', database, partitions);
        const text = keys.topic(name);
        const bytes = Buffer.from(`before${text}after`);
        expect(keys.topicOf(bytes, 6, 6 + text.length)).toBe(name);
        expect(/\{([^}]*)\}/.exec(text)?.[1]).toBe(partitions.tagOf(partitions.of(name)));
      }),
    );
  });

  it.each(['', 'fanfare', 'fanfare:{', 'fanfare:{0}', 'fanfare:{0}:topic', 'fanfare:{0:topic:a', 'fanfare:control'])(
    'is not "%s"',
    (text) => {
      expect(new Keys('fanfare', 0, partitions).topicOf(Buffer.from(text), 0, text.length)).toBeNull();
    },
  );

  it('is matched by the pattern of its beginning, and by no other', () => {
    const keys = new Keys('fanfare', 0, partitions);
    expect(keys.topicPattern('chat.')).toBe('fanfare:{*}:topic:chat.*');
    expect(keys.topicPattern('a*[b')).toBe('fanfare:{*}:topic:a\\*\\[b*');
  });

  it('and all other names of a partition in a Redis Cluster have its tag', () => {
    const keys = new Keys('fanfare', 0, partitions, 7);
    const tag = `{${partitions.tagOf(7)}}`;
    const { generation, newestEpoch, copy, run, clock, recovery, nodes, unpublished, connections, layout } = keys;
    const { control, questions } = keys;
    for (const name of [generation, newestEpoch, copy, run, clock, recovery, nodes, unpublished, connections, layout])
      expect(name).toContain(tag);
    for (const name of [control, questions, keys.answers('n'), keys.probe('n')]) expect(name).toContain(tag);
  });
});
