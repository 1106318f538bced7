/**
 * Data as MessagePack: which values it carries, which it refuses, and that the widespread library msgpackr reads the
 * same values.
 */
import * as fc from 'fast-check';
import { Packr } from 'msgpackr';
import { expect, it } from 'vitest';
import { createMsgpackData } from './msgpack-data.js';

const data = createMsgpackData();
const copy = (bytes: Uint8Array): Uint8Array => Uint8Array.from(bytes);
const through = (value: unknown): unknown => data.decode(copy(data.encode(value)));

const wellFormed = fc.string({ unit: 'grapheme', maxLength: 100 });
const value = fc.anything({
  withBigInt: false,
  withDate: false,
  withNullPrototype: false,
  key: wellFormed.filter((key) => key !== '__proto__'),
  values: [
    fc.boolean(),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double().map((number) => (Object.is(number, -0) ? 0 : number)),
    wellFormed,
    fc.constant(null),
    fc.bigInt({ min: 2n ** 53n + 1n, max: 2n ** 64n - 1n }),
    fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) - 1n }),
    fc.uint8Array(),
    fc.date({ min: new Date(-1e12), max: new Date(1e13), noInvalidDate: true }),
  ],
});

it('the codec reads its own bytes and those of msgpackr, and msgpackr reads those of the codec', () => {
  // The types of msgpackr 2.1.3 lack some of these options.
  const options = {
    useRecords: false,
    moreTypes: false,
    mapsAsObjects: true,
    copyBuffers: true,
    int64AsType: 'auto',
    skipValues: [undefined],
    encodeUndefinedAsNil: true,
  };
  const packr = new Packr(options as object);
  fc.assert(
    fc.property(value, (written) => {
      expect(through(written)).toEqual(written);
      expect(packr.unpack(copy(data.encode(written)))).toEqual(written);
      // For views other than Uint8Array, msgpackr writes bytes of unrelated memory; the property makes no such views.
      expect(data.decode(copy(packr.pack(written)))).toEqual(written);
    }),
    { numRuns: 1_000 },
  );
});

it('the codec leaves out the same values as JSON', () => {
  const given = {
    a: undefined,
    b: () => 1,
    c: Symbol('c'),
    d: [undefined, () => 1, Symbol('d')],
    e: new Date(Number.NaN),
  };
  expect(through({ ...given, e: 1 })).toEqual({ d: [null, null, null], e: 1 });
  expect(through({ price: { toJSON: () => 'EUR 1' } })).toEqual({ price: 'EUR 1' });
  expect(through({ set: new Set([1, 2]), map: new Map([[1, 'x']]) })).toEqual({
    set: [1, 2],
    map: { 1: 'x' },
  });
});

it('the codec writes exactly the bytes of a view', () => {
  const floats = new Float32Array([1.5, -2]);
  const bytes = new Uint8Array(floats.buffer);
  for (const view of [floats, new DataView(floats.buffer), floats.buffer]) {
    expect(through({ view })).toEqual({ view: bytes });
  }
  const middle = new Uint16Array(new Uint16Array([1, 2, 3, 4]).buffer, 2, 2);
  expect(through(middle)).toEqual(Uint8Array.of(2, 0, 3, 0));
});

it('the codec replaces lone surrogates in text', () => {
  expect(through({ text: 'a\ud800b' })).toEqual({ text: 'a\ufffdb' });
});

it('the codec refuses circular data and integers beyond 64 bits, and still works afterwards', () => {
  const loop: { self?: unknown } = {};
  loop.self = loop;
  expect(() => data.encode(loop)).toThrow(RangeError);
  expect(() => data.encode(2n ** 64n)).toThrow(RangeError);
  expect(() => data.encode([-(2n ** 63n) - 1n])).toThrow(RangeError);
  expect(through('fine')).toBe('fine');
});

it('the codec writes data as deep as it can read, and refuses deeper data', () => {
  const nested = (levels: number): unknown => {
    let value: unknown = 1;
    for (let level = 0; level < levels; level++) value = [value];
    return value;
  };
  expect(through(nested(1_000))).toEqual(nested(1_000));
  expect(() => data.encode(nested(1_001))).toThrow(RangeError);
});

it('the codec distinguishes any number of similar keys', () => {
  const keys = Array.from({ length: 5_000 }, (_, index) => (index % 2 ? `key${index}` : `ü${index}`));
  const fields = Object.fromEntries(keys.map((key, index) => [key, index]));
  for (let round = 0; round < 2; round++) expect(through([fields, { a: 1, '': 2 }])).toEqual([fields, { a: 1, '': 2 }]);
  expect(through(JSON.parse('{"__proto__":{"x":1},"y":2}'))).toEqual(JSON.parse('{"__proto__":{"x":1},"y":2}'));
});

it('the codec reads a getter once, and writes the fields of class instances', () => {
  let asked = 0;
  class Price {
    readonly bid = 1;
    get ask(): number {
      return 2;
    }
  }
  const fleeting = {
    get field(): number | undefined {
      return asked++ === 0 ? 1 : undefined;
    },
  };
  expect(through([fleeting, new Price()])).toEqual([{ field: 1 }, { bid: 1 }]);
});

it('the codec copies bytes out of the frame', () => {
  const frame = copy(data.encode(Uint8Array.of(1, 2, 3)));
  const decoded = data.decode(frame) as Uint8Array;
  frame.fill(9);
  expect(decoded).toEqual(Uint8Array.of(1, 2, 3));
  expect(decoded.constructor).toBe(Uint8Array);
});

it.each([
  ['a regular expression', [0xd4, 0x78, 0, 0x92, 0xa1, 0x61, 0xa0]],
  ['an error', [0xd4, 0x65, 0, 0x93, 0xa1, 0x61, 0xa1, 0x62, 0xc0]],
  ['a set', [0xd4, 0x73, 0, 0x91, 0x01]],
  ['a record definition', [0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 0x01]],
  ['a record definition of two bytes', [0xd5, 0x72, 0x40, 0x00, 0x91, 0xa1, 0x61, 0x01]],
  ['a typed array', [0xc7, 2, 0x74, 1, 5]],
  ['a bundle of strings', [0xd6, 0x62, 0, 0, 0, 1, 0xa0, 0xa0]],
  ['undefined', [0xd4, 0, 0]],
  ['the byte that MessagePack never uses', [0xc1]],
  ['a timestamp of 1 byte', [0xd4, 0xff, 0]],
  ['a timestamp of 5 bytes', [0xc7, 5, 0xff, 0, 0, 0, 0, 0]],
  ['an empty frame', []],
  ['two values', [1, 2]],
  ['an array cut short', [0x92, 1]],
  ['a text cut short', [0xa5, 0x61]],
  ['a text whose length is cut short', [0xda, 0x01]],
  ['an array that claims 4294967295 elements', [0xdd, 0xff, 0xff, 0xff, 0xff, 1]],
  ['a map that claims 4294967295 fields', [0xdf, 0xff, 0xff, 0xff, 0xff, 0xa1, 0x61, 1]],
  ['bytes that claim 4 GiB', [0xc6, 0xff, 0xff, 0xff, 0xff, 1]],
  ['100,000 nested arrays', [...Array.from({ length: 100_000 }, () => 0x91), 1]],
  ['a map as a key', [0x81, 0x80, 1]],
])('the codec refuses to read %s', (_what, bytes) => {
  expect(() => data.decode(Uint8Array.from(bytes))).toThrow();
  expect(data.decode(Uint8Array.of(0x81, 0xa1, 0x61, 1))).toEqual({ a: 1 });
});

it.each([Promise.resolve(1), new Error('x'), /x/, new WeakMap()])(
  'the codec refuses a value that would become an empty object: %s',
  (lost) => {
    expect(() => data.encode({ a: [lost] })).toThrow(/^MessagePack cannot carry \w+\. Convert it first\.$/);
    expect(through({ a: [{}, new (class Empty {})()] })).toEqual({ a: [{}, {}] });
  },
);

it('the codec still works after any bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      try {
        data.decode(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
      }
      expect(data.decode(Uint8Array.of(0x92, 1, 0xa1, 0x61))).toEqual([1, 'a']);
    }),
    { numRuns: 2_000 },
  );
});

it('decoded data cannot change prototypes', () => {
  const bytes = Uint8Array.of(0x81, 0xa9, ...new TextEncoder().encode('__proto__'), 0x81, 0xa1, 0x78, 1);
  const decoded = data.decode(bytes) as object;
  expect(Object.getPrototypeOf(decoded)).toBe(Object.prototype);
  expect('x' in decoded).toBe(false);
});
