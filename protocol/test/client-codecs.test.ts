/** Commands that a client cannot send, and frames that it cannot read. The golden frames cover the plain cases. */
import { describe, expect, it } from 'vitest';
import {
  type ClientCodec,
  closeReasons,
  impossible,
  jsonClientCodec,
  LayoutError,
  MsgpackClientCodec,
  ReplyError,
  replyErrors,
  shouldReconnect,
  Writer,
} from '../src/index.js';
import { bytesOf, data, fromNode, packr, textOf } from './golden.js';

const msgpackClient = new MsgpackClientCodec(data);
const publish = { type: 'publish', id: 1, topic: 'a', messageId: null } as const;

describe('a client', () => {
  it.each([undefined, () => 1, Symbol('x')])('gets an error if it publishes %s as JSON', (value) => {
    expect(() => jsonClientCodec.encode({ ...publish, data: value })).toThrow(TypeError);
  });

  it.each([
    ['data: Date', new Date(0)],
    ['data: Uint8Array', new Uint8Array(2)],
    ['data: Uint8Array', Buffer.from('ab')],
    ['data: ArrayBuffer', new ArrayBuffer(2)],
    ['data.at: Date', { at: new Date(0) }],
    ['data.list[1].tags: Set', { list: [1, { tags: new Set([1]) }] }],
    ['data[0]: Map', [new Map([[1, 2]])]],
    ['data.a: RegExp', { a: /x/ }],
    ['data.a: Promise', { a: Promise.resolve(1) }],
    ['data.a: Error', { a: new Error('x') }],
  ])('cannot publish as JSON a value that would arrive changed: %s', (what, value) => {
    const message = `JSON cannot carry ${what}. Convert it first; MessagePack carries dates, bytes and maps.`;
    expect(() => jsonClientCodec.encode({ ...publish, data: value })).toThrow(new TypeError(message));
  });

  class Point {
    readonly x = 1;
    readonly #y = 2;
    sum = (): number => this.x + this.#y;
  }
  class Money {
    toJSON(): string {
      return '1.00';
    }
  }
  it.each([
    [{ a: undefined, b: [null, () => 1], c: (): void => {} }, '{"b":[null,null]}'],
    [new Point(), '{"x":1}'],
    [{ price: new Money(), url: new URL('ws://a/') }, '{"price":"1.00","url":"ws://a/"}'],
    [Object.assign(Object.create(null), { a: 1 }), '{"a":1}'],
    [new (class Empty {})(), '{}'],
  ])('publishes as JSON plain values and those with toJSON(): %j', (value, text) => {
    expect(jsonClientCodec.encode({ ...publish, data: value })).toContain(`,"data":${text}}`);
  });

  it('gets the error of the data encoder if it cannot carry the data', () => {
    const circular: unknown[] = [];
    circular.push(circular);
    expect(() => jsonClientCodec.encode({ ...publish, data: circular })).toThrow(TypeError);
    expect(() => jsonClientCodec.encode({ ...publish, data: 1n })).toThrow(TypeError);
    const refusing = new MsgpackClientCodec({
      ...data,
      encode: () => {
        throw new RangeError('too wide');
      },
    });
    expect(() => refusing.encode({ ...publish, data: 1 })).toThrow(new RangeError('too wide'));
    // Bytes written before the error are not part of the next command.
    expect(() => refusing.encode({ ...publish, data: 1 })).toThrow();
    expect(packr.unpack(refusing.encode({ type: 'ping', id: 1 }))).toStrictEqual([8, 1]);
  });

  it('leaves null fields out of JSON, except in data', () => {
    expect(jsonClientCodec.encode({ type: 'ping', id: null })).toBe('{"type":"ping"}');
    expect(jsonClientCodec.encode({ ...publish, id: null, data: { a: null } })).toBe(
      '{"type":"publish","topic":"a","data":{"a":null}}',
    );
  });

  it.each([jsonClientCodec, msgpackClient])('marks an encoded publish as a repeat', (codec) => {
    for (const id of [1, 70_000, null]) {
      const command = { ...publish, id, messageId: 'm', data: { a: [1] } };
      const encoded = codec.encode(command);
      expect(codec.repeat(encoded)).toEqual(codec.encode({ ...command, repeat: true }));
      expect(encoded).toEqual(codec.encode(command));
    }
  });

  it('keeps encoded commands while it encodes others', () => {
    const first = msgpackClient.encode({ type: 'ping', id: 1 });
    const second = msgpackClient.encode({ type: 'ping', id: 2 });
    const joined = msgpackClient.join([first, second]);
    msgpackClient.encode({ type: 'ping', id: 3 });
    expect(packr.unpackMultiple(joined as Uint8Array)).toStrictEqual([
      [8, 1],
      [8, 2],
    ]);
  });

  const cases: [string, ClientCodec, (frame: (typeof fromNode)[number]) => (string | ArrayBuffer)[]][] = [
    ['JSON', jsonClientCodec, ({ json }) => Array.from({ length: json.length }, (_, length) => json.slice(0, length))],
    [
      'MessagePack',
      msgpackClient,
      ({ msgpack }) => {
        const bytes = bytesOf(msgpack);
        return Array.from({ length: bytes.length }, (_, length) => bytes.slice(0, length).buffer);
      },
    ],
  ];
  it.each(cases)('reports every message that is cut short: %s', (_, codec, cuts) => {
    for (const frame of fromNode) for (const cut of cuts(frame)) expect(() => codec.decode(cut)).toThrow(LayoutError);
  });

  it.each([
    'null',
    '1',
    '"gap"',
    '[]',
    '[{"type":"pong"}]',
    '{}',
    '{"type":7}',
    '{"type":null}',
    '{"type":"gap"}',
    '{"type":"gap","topic":1}',
    '{"type":"gap","topic":"a","epoch":"e"}',
    '{"type":"gap","topic":"a","epoch":5,"offset":5}',
    '{"type":"reset","topic":"a"}',
    '{"type":"reset","topic":"a","epoch":null,"offset":null}',
    '{"type":"reset","topic":"a","epoch":"e"}',
    '{"type":"reset","topic":"a","offset":5}',
    '{"type":"reset","epoch":"e","offset":5}',
    '{"type":"goaway"}',
    '{"type":"goaway","delayMs":null}',
    '{"type":"goaway","delayMs":"1730"}',
    '{"type":"history","topic":"a","recovered":true,"first":5,"publications":[{"data":1}]}',
    '{"type":"history","topic":"a","epoch":"e","recovered":true,"first":5,"publications":[{"data":1}]}',
    '{"type":"history","topic":"a","epoch":"e","offset":5,"first":5,"publications":[{"data":1}]}',
    '{"type":"history","topic":"a","epoch":"e","offset":5,"recovered":true,"first":"5","publications":[{"data":1}]}',
    '{"type":"history","topic":"a","epoch":"e","offset":5,"recovered":true}',
    '{"type":"history","topic":"a","epoch":"e","offset":5,"recovered":true,"first":5,"publications":[1]}',
    '{"type":"history","epoch":"e","offset":5,"recovered":true,"publications":[]}',
    '{"type":"pong","id":"1"}',
    '{"type":"publications","topic":"a"}',
    '{"type":"publications","topic":"a","items":{}}',
    '{"type":"publications","topic":"a","items":[1]}',
    '{"type":"publications","topic":"a","items":[{}]}',
    '{"type":"publications","topic":"a","epoch":"e","items":[]}',
    '{"type":"subscribed","topic":"a","publications":[]}',
    '{"type":"connected","node":"n","pingIntervalMs":1}',
    '{"type":"error","code":"x","message":"y"}',
  ])('reports a JSON frame that is not a message: %s', (frame) => {
    expect(() => jsonClientCodec.decode(frame)).toThrow(LayoutError);
  });

  it.each([
    '',
    'c0',
    '90',
    '91 27',
    '92 c0 01',
    '92 27 a131',
    '92 41 c0',
    '93 41 a161 c0',
    '93 41 a161 a165',
    '94 41 a161 a165 c0',
    '94 41 a161 c0 05',
    '92 42 a161',
    '94 42 a161 c0 c0',
    '94 42 a161 a165 c0',
    '94 42 a161 c0 05',
    '92 45 c0',
    '92 45 ff',
    '92 45 a131',
    '98 24 01 a161 c0 c0 c3 05 91c40101',
    '98 24 01 a161 a165 c0 c3 05 91c40101',
    '98 24 01 a161 a165 05 c0 05 91c40101',
    '98 24 01 a161 a165 05 c3 a135 91c40101',
    '98 24 01 a161 a165 05 c3 05 c0',
    '98 24 01 a161 a165 05 c3 05 91c0',
    '97 24 01 a161 a165 05 c3 90',
    '94 23 01 c0 05',
    '95 40 a161 c0 c0 c0',
    '95 40 a161 c0 c0 91c0',
    '95 40 a161 c0 c0 ddffffffff',
  ])('reports a MessagePack frame that is not a message: %s', (frame) => {
    expect(() => msgpackClient.decode(bytesOf(frame).buffer)).toThrow(LayoutError);
  });

  it('reports a frame of the other encoding', () => {
    expect(() => jsonClientCodec.decode(bytesOf('92 27 01').buffer)).toThrow(LayoutError);
    expect(() => msgpackClient.decode('{"type":"pong"}')).toThrow(LayoutError);
  });

  it('ignores unknown fields', () => {
    const frame = '{"type":"gap","topic":"a","id":4,"more":{"topic":"b"},"__proto__":{"topic":"c"}}';
    expect(jsonClientCodec.decode(frame)).toStrictEqual({ type: 'gap', topic: 'a', position: null });
  });

  it('accepts null as data', () => {
    const message = { type: 'publications', topic: 'a', position: null, items: [{ data: null }] };
    expect(jsonClientCodec.decode('{"type":"publications","topic":"a","items":[{"data":null}]}')).toStrictEqual(
      message,
    );
  });
});

describe('after a close code', () => {
  it('a client reconnects or not, depending on the number', () => {
    const again = [1000, 1001, 1006, 1011, 1012, 3000, 4000, 4499, 5000].filter(shouldReconnect);
    expect(again).toStrictEqual([1000, 1001, 1006, 1011, 1012, 3000, 4000, 4499, 5000]);
    expect([4500, 4501, 4999].filter(shouldReconnect)).toStrictEqual([]);
    const { draining, slowSubscriber, badProtocol, frameTooLarge } = closeReasons;
    expect([draining, slowSubscriber].every(({ code }) => shouldReconnect(code))).toBe(true);
    expect([badProtocol, frameTooLarge].some(({ code }) => shouldReconnect(code))).toBe(false);
  });
});

describe('an error reply', () => {
  it('knows whether the command may succeed later', () => {
    for (const [code, { retryable }] of Object.entries(replyErrors)) {
      const error = new ReplyError(code as keyof typeof replyErrors, 'why');
      expect(error).toMatchObject({ name: 'ReplyError', code, message: 'why', retryable });
      expect(error).toBeInstanceOf(Error);
    }
  });

  it('does not change the stack traces of other errors', () => {
    const before = Error.stackTraceLimit;
    new ReplyError('internal', 'x');
    expect(Error.stackTraceLimit).toBe(before);
    expect(before).toBeGreaterThan(0);
  });
});

describe('a writer', () => {
  it.each([0, 1, 127, 128, 255, 256, 65_535, 65_536, 4_294_967_295, 4_294_967_296, Number.MAX_SAFE_INTEGER])(
    'writes %i in the shortest form',
    (value) => {
      const writer = new Writer(1);
      writer.uint(value);
      expect(packr.unpack(writer.toBytes())).toBe(value);
      const sizes: [limit: number, size: number][] = [
        [0x80, 1],
        [0x100, 2],
        [0x10000, 3],
        [2 ** 32, 5],
        [2 ** 53, 9],
      ];
      expect(writer.length).toBe(sizes.find(([limit]) => value < limit)?.[1]);
    },
  );

  it.each([0, 15, 16, 31, 32, 47, 48, 255, 256, 65_535, 65_536])(
    'writes text, bytes and lists of %i as libraries read them',
    (length) => {
      for (const character of ['x', 'é', '🎺']) {
        const writer = new Writer(1);
        writer.str(character.repeat(length));
        expect(packr.unpack(writer.toBytes())).toBe(character.repeat(length));
        writer.clear();
        writer.text(character.repeat(length));
        expect(textOf(writer.view())).toBe(character.repeat(length));
      }
      const writer = new Writer(1);
      writer.bin(new Uint8Array(length).fill(7));
      expect(Buffer.from(packr.unpack(writer.toBytes()))).toStrictEqual(Buffer.alloc(length, 7));
      writer.clear();
      writer.arrayHeader(length);
      for (let index = 0; index < length; index++) writer.nil();
      expect(packr.unpack(writer.toBytes())).toHaveLength(length);
    },
  );
});

describe('a switch without a case for a value', () => {
  it('throws an error', () => {
    expect(() => impossible({ type: 'new' } as never)).toThrow('Impossible: {"type":"new"}');
  });
});
