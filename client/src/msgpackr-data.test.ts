/** Data as msgpackr writes it: which values it carries, which it refuses, and that bad input only causes an error. */
import { runInNewContext } from 'node:vm';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createMsgpackData } from './msgpack-data.js';
import { createMsgpackrData } from './msgpackr-data.js';

const data = createMsgpackrData();
const copy = (bytes: Uint8Array): Uint8Array => Uint8Array.from(bytes);
/** Written by one codec, and read by one that has read nothing before. */
const through = (value: unknown): unknown => createMsgpackrData().decode(copy(data.encode(value)));

const buffer = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8).buffer;

const values: readonly (readonly [string, unknown])[] = [
  [
    'a map',
    new Map<unknown, unknown>([
      [1, 'one'],
      ['two', { a: [2] }],
      [null, new Map([[new Date(5), 3]])],
    ]),
  ],
  ['an empty map', new Map()],
  ['objects of many shapes next to a map', [new Map(), ...Array.from({ length: 200 }, (_, n) => ({ [`key${n}`]: n }))]],
  ['a map and an object with the same content', { map: new Map([['a', 1]]), object: { a: 1 } }],
  ['a set', new Set([1, 'two', new Set([3]), { four: 4 }])],
  ['dates', [new Date(0), new Date(1_790_000_000_123), new Date(-62_135_596_800_000), new Date(Number.NaN)]],
  ['bytes', Uint8Array.of(0, 1, 255)],
  ['an ArrayBuffer', buffer],
  ['a DataView', new DataView(buffer)],
  ['a part of an array', new Uint16Array(buffer, 2, 2)],
  ...[Int8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array].map(
    (kind) => [kind.name, new kind(buffer)] as const,
  ),
  ['BigInt64Array', new BigInt64Array(buffer)],
  ['BigUint64Array', new BigUint64Array(buffer)],
  ['an error', new RangeError('too far', { cause: { code: 7 } })],
  ['a regular expression', /a+/giu],
  ['bigints', [2n ** 63n, -(2n ** 63n), 2n ** 64n, 2n ** 200n, -(2n ** 200n)]],
  ['numbers', [0, 1.5, -1, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY, Number.NaN]],
  ['undefined in an array', [undefined, null]],
  ['text', 'ä€😀'.repeat(100)],
  ['an object of 100 fields', Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`field${n}`, n]))],
];

describe('the codec with msgpackr', () => {
  it.each(values)('carries %s', (_name, value) => {
    expect(through(value)).toStrictEqual(value);
    expect(through({ value })).toStrictEqual({ value });
    expect(through(new Map([['value', value]]))).toStrictEqual(new Map([['value', value]]));
  });

  it('leaves out fields that are undefined, functions or symbols', () => {
    const given = { a: undefined, b: () => 1, c: Symbol('c'), d: 1 };
    expect(through(given)).toStrictEqual({ d: 1 });
  });

  it('reads a bigint that fits into a number as a number, also if another client wrote 64 bits', () => {
    expect(through([5n, -5n, 2n ** 53n - 1n])).toEqual([5, -5, 2 ** 53 - 1]);
    expect(data.decode(Uint8Array.of(0xcf, 0, 0, 0, 0, 0, 0, 0, 5))).toBe(5);
  });

  it('writes instances as plain objects, subclasses of Map as maps, and the result of toJSON', () => {
    class Price {
      readonly bid = 1;
    }
    class Prices extends Map<string, number> {}
    class Amount {
      toJSON(): string {
        return 'EUR 1';
      }
    }
    expect(through([new Price(), new Prices([['BTC', 1]]), new Amount()])).toStrictEqual([
      ...[{ bid: 1 }, new Map([['BTC', 1]]), 'EUR 1'],
    ]);
  });

  it.each([
    ['Promise', Promise.resolve(1)],
    ['WeakMap', new WeakMap()],
    ['SharedArrayBuffer', new SharedArrayBuffer(8)],
  ])('refuses a %s, and still works afterwards', (kind, value) => {
    for (const nested of [value, [value], { value }, new Map([['value', value]])])
      expect(() => data.encode(nested)).toThrow(`msgpackr cannot carry ${kind}. Convert it first.`);
    expect(through(new Map([[1, 2]]))).toEqual(new Map([[1, 2]]));
  });

  it.each(['new Map()', 'new Set()', 'new Date(0)', '/a/', 'new Error()', 'new Uint8Array(2)', 'new Uint16Array(2)'])(
    'refuses %s of another realm, which msgpackr would change',
    (source) => {
      const value: unknown = runInNewContext(source);
      expect(() => data.encode([value])).toThrow('of a subclass or of another realm');
    },
  );

  it('refuses a subclass of a typed array, but takes a Buffer and subclasses of the other classes', () => {
    class Samples extends Uint16Array {}
    class Tags extends Set<string> {}
    expect(() => data.encode(new Samples(2))).toThrow('of a subclass or of another realm');
    expect(through([Buffer.of(1, 2), new Tags(['a'])])).toEqual([Uint8Array.of(1, 2), new Set(['a'])]);
  });

  it('refuses data that contains itself, and still works afterwards', () => {
    const loop: { self?: unknown; map: Map<string, unknown> } = { map: new Map() };
    loop.map.set('loop', loop);
    expect(() => data.encode(loop)).toThrow('It contains itself, or is nested too deep.');
    loop.self = loop;
    expect(() => data.encode(loop)).toThrow('It contains itself, or is nested too deep.');
    expect(through(new Map([[1, 2]]))).toEqual(new Map([[1, 2]]));
  });

  it('writes plain data, dates and nested objects so that the strict codec reads them, and reads its bytes', () => {
    const strict = createMsgpackData();
    const plain = {
      a: [1, -1, 2 ** 40, 1.5, 'text', null, true],
      b: { at: new Date(1_790_000_000_123) },
      c: undefined,
    };
    expect(strict.decode(copy(data.encode(plain)))).toEqual(plain);
    expect(data.decode(copy(strict.encode({ ...plain, bytes: Uint8Array.of(1) })))).toEqual({
      ...plain,
      bytes: Uint8Array.of(1),
    });
  });

  it('writes values that only msgpackr reads so that the strict codec refuses them', () => {
    const strict = createMsgpackData();
    for (const value of [new Map(), new Set(), new Float64Array(1), /a/, new Error('e'), [undefined], 2n ** 64n])
      expect(() => strict.decode(copy(data.encode({ value })))).toThrow();
  });

  it('never replaces a prototype', () => {
    const hostile = JSON.parse('{"__proto__":{"isAdmin":true}}');
    for (const value of [hostile, [new Map(), hostile]]) {
      const read = createMsgpackrData().decode(copy(createMsgpackrData().encode(value)));
      const object = (Array.isArray(read) ? read[1] : read) as { isAdmin?: unknown };
      expect(object.isAdmin).toBeUndefined();
    }
    expect(({} as { isAdmin?: unknown }).isAdmin).toBeUndefined();
  });

  it('throws an error for bytes that are not one value, and still works afterwards', () => {
    const bad = [
      [],
      [0x01, 0x02],
      [0x92, 0x01],
      [0xc9, 0, 0, 0, 9, 0x4d],
      [0xc7, 1, 0x4e, 0],
      [0xd4, 0x70, 0],
      [0xdd, 0xff, 0xff, 0xff, 0xff],
      Array.from({ length: 60_000 }, () => 0x91),
    ];
    for (const bytes of bad) expect(() => data.decode(Uint8Array.from(bytes))).toThrow(Error);
    expect(through({ fine: new Set([1]) })).toEqual({ fine: new Set([1]) });
  });

  it('reads or refuses any change of any payload', () => {
    const payloads = values.map(([, value]) => copy(data.encode(value)));
    const change = fc.record({
      payload: fc.constantFrom(...payloads),
      at: fc.nat(),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 4 }),
      length: fc.nat(),
    });
    fc.assert(
      fc.property(change, ({ payload, at, bytes, length }) => {
        const changed = copy(payload);
        changed.set(bytes.subarray(0, changed.length), at % Math.max(1, changed.length - bytes.length + 1));
        try {
          data.decode(changed.subarray(0, 1 + (length % changed.length)));
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
        expect(data.decode(payload)).toStrictEqual(createMsgpackrData().decode(payload));
      }),
      { numRuns: 500 },
    );
  });
});
