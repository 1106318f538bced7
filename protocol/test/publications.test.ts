/** Runs, and the frames that a node writes from them. */
import { describe, expect, it, vi } from 'vitest';
import {
  checkRun,
  emptyRun,
  forEachItem,
  type HistoryReply,
  JsonNodeCodec,
  JsonWriter,
  jsonClientCodec,
  type KeyedPayload,
  LayoutError,
  MsgpackClientCodec,
  MsgpackNodeCodec,
  maxItemBytes,
  maxReplyBytes,
  maxRunBytes,
  type OutgoingReply,
  type Position,
  type Publications,
  parseTopic,
  type Run,
  type Subscribed,
  type Topic,
  writeAsJson,
  writeItem,
} from '../src/index.js';
import { bytesOf, data, hexOf, packr, payload, textOf } from './golden.js';

const topic = parseTopic('news') as Topic;
const limit = 16 * 1024;

function runOf(items: readonly KeyedPayload[]): Run {
  const writer = new JsonWriter();
  for (const item of items) writeItem(writer, item);
  return { count: items.length, bytes: writer.toBytes(), hasKeys: items.some(({ key }) => key !== null) };
}

function jsonFrames(run: Run, position: Position | null): string[] {
  const frames: string[] = [];
  new JsonNodeCodec().publications(topic, position, run, (frame) => frames.push(textOf(frame)));
  return frames;
}

const packed = (value: unknown): KeyedPayload => payload(packr.pack(value));
const publications = (frame: string): Publications => jsonClientCodec.decode(frame) as Publications;

describe('publications for JSON subscribers', () => {
  it('stay in one frame while they are short', () => {
    expect(jsonFrames(runOf([packed(1), packed('two'), packed([3])]), null)).toStrictEqual([
      '{"type":"publications","topic":"news","items":[{"data":1},{"data":"two"},{"data":[3]}]}',
    ]);
  });

  it.each([
    ['controls, six times as long in JSON', '\u0001'.repeat(2500)],
    ['bytes', new Uint8Array(4500)],
    ['floats', Array(500).fill(-1.234567890123457e300)],
    ['negative numbers', Array(5000).fill(-32)],
  ])('begin a new frame if the text grows past 16 KiB: %s', (_, value) => {
    const values = ['small', value, 'small', value, value, 'small', 'small'];
    const frames = jsonFrames(runOf(values.map(packed)), { epoch: 'k3v', offset: 10 });
    const expected = values.map((item) => {
      const writer = new JsonWriter();
      writeAsJson(writer, packed(item));
      return { data: JSON.parse(textOf(writer.view())) };
    });
    let next = 0;
    for (const frame of frames) {
      const { items, position } = publications(frame);
      expect(position).toStrictEqual({ epoch: 'k3v', offset: 10 + next });
      expect(items).toStrictEqual(expected.slice(next, next + items.length));
      next += items.length;
      if (items.length > 1) expect(Buffer.byteLength(frame)).toBeLessThan(limit);
    }
    expect(next).toBe(values.length);
    expect(frames.length).toBeGreaterThan(1);
  });

  it('fill frames: a new one begins only if the next item does not fit', () => {
    const items = Array.from({ length: 40 }, () => packed('x'.repeat(1000)));
    const counts = jsonFrames(runOf(items), null).map((frame) => publications(frame).items.length);
    expect(counts).toStrictEqual([15, 15, 10]);
  });

  it('get a separate frame if one alone is longer', () => {
    const items = [packed(1), packed('x'.repeat(20_000)), packed(2)];
    const frames = jsonFrames(runOf(items), { epoch: 'k3v', offset: 1 });
    expect(frames.map((frame) => publications(frame).position?.offset)).toStrictEqual([1, 2, 3]);
  });

  it('are all delivered, even if one between them cannot be decoded', () => {
    const items = [packed(1), payload(bytesOf('92c3')), payload(bytesOf('c1')), payload(bytesOf('')), packed(2)];
    expect(jsonFrames(runOf(items), null)).toStrictEqual([
      '{"type":"publications","topic":"news","items":[{"data":1},{"error":"undecodable"},{"error":"undecodable"},{"error":"undecodable"},{"data":2}]}',
    ]);
  });

  it('keep the text of JSON publishers, character for character', () => {
    const text = '{ "n" : 12345678901234567890 , "s":"\\u00e9é" }';
    expect(jsonFrames(runOf([payload(bytesOf(text, 'json'), 'json')]), null)).toStrictEqual([
      `{"type":"publications","topic":"news","items":[{"data":${text}}]}`,
    ]);
  });
});

describe('publications for MessagePack subscribers', () => {
  const items = [packed({ a: 1 }), payload(bytesOf('{"a":2}', 'json'), 'json'), packed(null)];

  it('are one frame with the unchanged run', () => {
    const frames: Uint8Array[] = [];
    const run = runOf(items);
    new MsgpackNodeCodec().publications(topic, { epoch: 'k3v', offset: 5 }, run, (frame) =>
      frames.push(Uint8Array.from(Buffer.from(frame))),
    );
    expect(frames).toHaveLength(1);
    expect(hexOf(frames[0] ?? '')).toContain(hexOf(run.bytes));
    expect(new MsgpackClientCodec(data).decode(Uint8Array.from(frames[0] ?? []).buffer)).toStrictEqual({
      type: 'publications',
      topic: 'news',
      position: { epoch: 'k3v', offset: 5 },
      items: [{ data: { a: 1 } }, { data: { a: 2 } }, { data: null }],
    });
  });

  it('stay below 16 KiB if the run is within its limit', () => {
    const longestTopic = parseTopic('x'.repeat(200)) as Topic;
    const position = { epoch: 'e'.repeat(32), offset: Number.MAX_SAFE_INTEGER };
    const run = { count: maxRunBytes, bytes: new Uint8Array(maxRunBytes).fill(0xa0), hasKeys: false };
    new MsgpackNodeCodec().publications(longestTopic, position, run, (frame) =>
      expect(frame.length).toBeLessThan(limit),
    );
    expect.assertions(1);
  });

  it.each([
    ['short ones with a key', (place: number) => ({ ...packed(1), key: String(place), remove: true })],
    ['long keys', (place: number) => ({ ...packed(1), key: `${place}`.padStart(64, 'x'), remove: true })],
    ['most without a key', (place: number) => ({ ...packed(1), key: place === 0 ? 'a' : null, remove: place === 0 })],
  ])('begin a new frame if keys would make it longer than 16 KiB: %s', (_, itemAt) => {
    const items: KeyedPayload[] = [];
    for (let bytes = 0, place = 0; ; place++) {
      const item = itemAt(place);
      bytes += runOf([item]).bytes.length;
      if (bytes > maxRunBytes) break;
      items.push(item);
    }
    const read: unknown[] = [];
    new MsgpackNodeCodec().publications(topic, { epoch: 'k3v', offset: 7 }, runOf(items), (frame) => {
      expect(frame.length).toBeLessThan(limit);
      const message = new MsgpackClientCodec(data).decode(Uint8Array.from(frame as Uint8Array).buffer) as Publications;
      expect(message.position).toEqual({ epoch: 'k3v', offset: 7 + read.length });
      read.push(...message.items);
    });
    const expected = items.map(({ key, remove }) => ({
      data: 1,
      ...(key !== null && { key }),
      ...(remove && { remove }),
    }));
    expect(read).toStrictEqual(expected);
  });
});

describe('a run', () => {
  it.each([0, 1, 31, 32, 255, 256, 65_535, 65_536])(
    'holds items of %i bytes as MessagePack libraries read them',
    (length) => {
      const bytes = new Uint8Array(length).fill(0x78);
      const run = runOf([payload(bytes), payload(bytes, 'json')]);
      const read = packr.unpackMultiple(run.bytes) as unknown[];
      expect(hexOf(read[0] as Uint8Array)).toBe(hexOf(bytes));
      expect(read[1]).toBe('x'.repeat(length));
      expect(run.bytes.length).toBeLessThanOrEqual(2 * maxItemBytes(payload(bytes)));
      const visited: string[] = [];
      forEachItem(run, (item) => visited.push(`${item.encoding} ${item.end - item.start}`));
      expect(visited).toStrictEqual([`msgpack ${length}`, `json ${length}`]);
    },
  );

  it('may be empty', () => {
    forEachItem(emptyRun, () => expect.unreachable());
    const reply = {
      type: 'subscribed',
      id: 1,
      topic,
      position: null,
      recovered: false,
      publications: emptyRun,
    } as const;
    expect(textOf(new JsonNodeCodec().reply(reply))).toContain('"publications":[]}');
  });

  it.each([
    ['cut short', 1, 'c4 03 a268'],
    ['of fewer items than it claims', 3, 'a131 a132'],
    ['of more bytes than its items have', 1, 'a131 a132'],
    ['with an element that is not an item', 2, 'a131 c0'],
    ['with a list in it', 1, '91 a131'],
  ])('%s causes a LayoutError', (_, count, hex) => {
    expect(() => forEachItem({ count, bytes: bytesOf(hex), hasKeys: false }, () => undefined)).toThrow(LayoutError);
  });

  const keyed = [
    { ...packed(1), key: '42', remove: false },
    { ...payload(bytesOf('null', 'json'), 'json'), key: '!~'.repeat(32), remove: true },
    packed(2),
  ];
  const contentOf = (items: readonly KeyedPayload[]): unknown[] =>
    items.map(({ encoding, bytes, start, end, key, remove }) => [
      ...[encoding, hexOf(bytes.subarray(start, end)), key, remove],
    ]);

  it('holds keys in front of the data', () => {
    const run = runOf(keyed);
    expect(hexOf(run.bytes.subarray(0, 8))).toBe('c702003432c40101');
    expect(run.bytes.length).toBeLessThanOrEqual(keyed.reduce((sum, item) => sum + maxItemBytes(item), 0));
    const visited: KeyedPayload[] = [];
    forEachItem(run, (item) => visited.push(item));
    expect(contentOf(visited)).toStrictEqual(contentOf(keyed));
    checkRun(run);
  });

  it('takes no byte for publications without a key', () => {
    expect(hexOf(runOf([packed(2)]).bytes)).toBe('c40102');
  });

  it('may hold more behind a key: a later version can add it', () => {
    const bytes = bytesOf('c7 05 07 3432 010203 c401 01 c7 02 04 0102 c401 02');
    const visited: KeyedPayload[] = [];
    forEachItem({ count: 2, bytes, hasKeys: true }, (item) => visited.push(item));
    expect(contentOf(visited)).toStrictEqual([
      ['msgpack', '01', '42', true],
      ['msgpack', '02', null, false],
    ]);
  });

  it.each([
    ['without its length', 'c7'],
    ['that is cut short', 'c7 02 00 34'],
    ['without data', 'c7 02 00 3432'],
    ['before another key', 'c7 01 00 34 c7 01 00 34 c401 01'],
    ['shorter than what follows it', 'c7 01 04 34 c401 01'],
  ])('with a key %s causes a LayoutError', (_, hex) => {
    const run = { count: 1, bytes: bytesOf(hex), hasKeys: true };
    expect(() => forEachItem(run, () => undefined)).toThrow(LayoutError);
    expect(() => checkRun(run)).toThrow(LayoutError);
  });

  it('with a key that it does not announce causes a LayoutError: MessagePack subscribers would get it as data', () => {
    expect(() => checkRun({ ...runOf(keyed), hasKeys: false })).toThrow(LayoutError);
  });
});

describe('a reply for a JSON client', () => {
  /** Except the first and the last, each has 20,000 bytes, and 120,000 in JSON. */
  const long = runOf([packed('first'), ...Array(4).fill(packed('\u0001'.repeat(20_000))), packed('last')]);
  const position = { epoch: 'k3v', offset: 20 };
  const history = (publications: Run, direction: 'forward' | 'backward', first = 11): OutgoingReply => {
    return { type: 'history', id: 1, topic, position, recovered: true, first, publications, direction };
  };
  const subscribed = (publications: Run): OutgoingReply => {
    return { type: 'subscribed', id: 1, topic, position, recovered: true, publications };
  };
  function read<Message extends HistoryReply | Subscribed>(reply: OutgoingReply, room?: number): Message {
    return jsonClientCodec.decode(textOf(new JsonNodeCodec().reply(reply, room))) as Message;
  }
  function workOf(codec: JsonNodeCodec | MsgpackNodeCodec, reply: OutgoingReply, room?: number): number {
    codec.reply(reply, room);
    return codec.replyWork;
  }

  it('has the first part of a history that is too long as JSON, or the last part if it is read backward', () => {
    const forward = read<HistoryReply>(history(long, 'forward'));
    expect(forward).toMatchObject({ first: 11, recovered: true, position });
    expect(forward.publications).toHaveLength(3);
    expect(forward.publications[0]).toStrictEqual({ data: 'first' });
    const backward = read<HistoryReply>(history(long, 'backward'));
    expect(backward).toMatchObject({ first: 14, recovered: true, position });
    expect(backward.publications).toHaveLength(3);
    expect(backward.publications[2]).toStrictEqual({ data: 'last' });
    for (const direction of ['forward', 'backward'] as const) {
      expect(new JsonNodeCodec().reply(history(long, direction)).length).toBeLessThan(maxReplyBytes + 200);
    }
  });

  it('has the whole history if it is short enough, in order, in both directions', () => {
    const run = runOf([packed(1), payload(bytesOf('c1')), packed(3)]);
    const expected = [{ data: 1 }, { error: 'undecodable' }, { data: 3 }];
    for (const direction of ['forward', 'backward'] as const) {
      expect(read(history(run, direction))).toMatchObject({ first: 11, publications: expected });
    }
    expect(read(history(emptyRun, 'backward')).publications).toStrictEqual([]);
  });

  it('has at least one publication of a history', () => {
    const run = runOf(Array(2).fill(packed('\u0001'.repeat(60_000))));
    expect(read(history(run, 'forward'))).toMatchObject({ first: 11, publications: { length: 1 } });
    expect(read(history(run, 'backward'))).toMatchObject({ first: 12, publications: { length: 1 } });
  });

  it('to a subscribe has all publications, or none if they do not fit as JSON', () => {
    const run = runOf([packed('\u0001'.repeat(1_000))]);
    const whole = '{"data":""}'.length + 6_000;
    expect(read(subscribed(run), whole + 1)).toMatchObject({ recovered: true, position, publications: { length: 1 } });
    expect(read(subscribed(run), whole)).toMatchObject({ recovered: false, position, publications: { length: 0 } });
    expect(read(subscribed(run), 10)).toMatchObject({ recovered: false, publications: { length: 0 } });
    const msgpack = new MsgpackNodeCodec().reply(subscribed(run), run.bytes.length - 1);
    expect(new MsgpackClientCodec(data).decode(Uint8Array.from(msgpack as Uint8Array).buffer)).toMatchObject({
      recovered: false,
      publications: { length: 0 },
    });
  });

  it('counts all written bytes as work, even those it does not contain', () => {
    const codec = new JsonNodeCodec();
    const one = runOf([packed('\u0001'.repeat(10_000))]);
    expect(workOf(codec, history(one, 'forward'))).toBe('{"data":""},'.length + 60_000);
    expect(workOf(codec, subscribed(one), 20_000)).toBe('{"data":""},'.length + 60_000);
    expect(workOf(codec, subscribed(one), 100)).toBe(0);
    // The last byte is not UTF-8.
    const undecodable = runOf([payload(bytesOf(`da2711${'01'.repeat(10_000)}ff`))]);
    expect(workOf(codec, history(undecodable, 'forward'))).toBeGreaterThan(59_000);
    // Formatting a float takes longer than writing its text.
    const floats = runOf([packed(Array(1_000).fill(0.1))]);
    expect(workOf(codec, history(floats, 'forward'))).toBeGreaterThan(64_000);
    expect(workOf(codec, { type: 'pong', id: 1 })).toBe(0);
    expect(workOf(new MsgpackNodeCodec(), history(one, 'forward'))).toBe(one.bytes.length);
    expect(workOf(new MsgpackNodeCodec(), subscribed(one), 100)).toBe(0);
  });
});

describe('data for JSON subscribers', () => {
  it('is written byte by byte, because a call for each short value would be many times slower than plain text', () => {
    const calls = [
      vi.spyOn(TextDecoder.prototype, 'decode'),
      vi.spyOn(JSON, 'stringify'),
      vi.spyOn(Date.prototype, 'toISOString'),
      vi.spyOn(globalThis, 'btoa'),
      vi.spyOn(globalThis, 'BigInt'),
    ];
    const writer = new JsonWriter();
    // Strings with a control character, a quote and two letters; timestamps of all lengths; a byte; a long integer.
    const written = writeAsJson(
      writer,
      payload(
        bytesOf(
          '98 a101 a122 a4c3a9c3a9 d6ff00000001 d7ff0000000400000001 c70cff00000001ffffffffffffffff c40107 cfffffffffffffffff',
        ),
      ),
    );
    const counts = calls.map((spy) => spy.mock.calls.length);
    vi.restoreAllMocks();
    expect(written).toBe(true);
    expect(textOf(writer.view())).toBe(
      '["\\u0001","\\"","éé","1970-01-01T00:00:01Z","1970-01-01T00:00:01.000000001Z","1969-12-31T23:59:59.000000001Z","Bw==","18446744073709551615"]',
    );
    expect(counts).toStrictEqual([0, 0, 0, 0, 0]);
  });

  it('is read in place, even from part of a larger buffer', () => {
    const whole = bytesOf('c1 c1 c1 93 cb3ff8000000000000 cd0102 a3c3a962 c1');
    const part = whole.subarray(2);
    const writer = new JsonWriter();
    expect(writeAsJson(writer, { encoding: 'msgpack', bytes: part, start: 1, end: part.length - 1 })).toBe(true);
    expect(textOf(writer.view())).toBe('[1.5,258,"éb"]');
  });

  it('is not read past its end', () => {
    // Each is cut short within one value. The bytes after the end would complete it.
    for (const hex of [
      'cb3ff8000000000000',
      'ce00000001',
      'a3616263',
      'c403010203',
      '81a16101',
      '9201 02',
      'd6ff00000001',
      '8101c0',
    ]) {
      const bytes = bytesOf(hex);
      for (let end = 1; end < bytes.length; end++) {
        const writer = new JsonWriter();
        expect(writeAsJson(writer, { encoding: 'msgpack', bytes, start: 0, end })).toBe(false);
        expect(writer.length).toBe(0);
      }
    }
  });

  it('may be long: text, bytes and lists larger than any buffer', () => {
    const value = {
      text: 'é'.repeat(100_000),
      plain: 'x'.repeat(100_000),
      bytes: new Uint8Array(100_000),
      list: Array(100_000).fill(-1),
    };
    const writer = new JsonWriter(1);
    expect(writeAsJson(writer, packed(value))).toBe(true);
    expect(JSON.parse(textOf(writer.view()))).toStrictEqual({
      ...value,
      bytes: Buffer.alloc(100_000).toString('base64'),
    });
  });

  it('may be hostile: repeated headers that claim 4 billion elements stop at the end of the bytes', () => {
    const writer = new JsonWriter();
    expect(writeAsJson(writer, payload(bytesOf('ddffffffff'.repeat(10_000))))).toBe(false);
    expect(writeAsJson(writer, payload(bytesOf('dfffffffff00'.repeat(10_000))))).toBe(false);
    expect(writer.length).toBe(0);
  });
});
