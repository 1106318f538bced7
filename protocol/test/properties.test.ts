/** Properties that hold for any message and any bytes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CommandError,
  type Encoding,
  emptyRun,
  forEachItem,
  historyDirections,
  type Item,
  JsonNodeCodec,
  JsonWriter,
  jsonClientCodec,
  type KeyedPayload,
  LayoutError,
  MsgpackClientCodec,
  MsgpackNodeCodec,
  maxCommandId,
  maxHistoryLimit,
  type OutgoingCommand,
  type OutgoingReply,
  type Position,
  parseTopic,
  type Run,
  replyErrors,
  type ServerMessage,
  type Topic,
  TopicReader,
  writeAsJson,
  writeItem,
} from '../src/index.js';
import {
  answers,
  bytesOf,
  data,
  decode,
  encodeOnNode,
  golden,
  hexOf,
  nodeCodecs,
  packr,
  payload,
  several,
  textOf,
} from './golden.js';

/** `npm run fuzz` searches for longer. */
const runs = { numRuns: 250 };
const msgpackClient = new MsgpackClientCodec(data);

// Any message.

const segment = fc.stringMatching(/^[A-Za-z0-9_-]{1,11}$/);
const topic = fc.array(segment, { minLength: 1, maxLength: 16 }).map((segments) => segments.join('.') as Topic);
const id = fc.option(fc.integer({ min: 1, max: maxCommandId }));
const position: fc.Arbitrary<Position> = fc.record({
  epoch: fc.stringMatching(/^[A-Za-z0-9_-]{1,32}$/),
  offset: fc.maxSafeNat(),
});
const messageId = fc.option(fc.stringMatching(/^[!-~]{1,64}$/));
const key = fc.stringMatching(/^[!-~]{1,64}$/);
const text = fc.string({ unit: 'grapheme' });

/** JSON values that come back equal: -0 is 0 in JSON, and msgpackr renames the key `__proto__`. */
const value = fc
  .jsonValue({ depthSize: 'medium', stringUnit: 'grapheme' })
  .map((made) => JSON.parse(JSON.stringify(made)) as unknown)
  .filter((made) => !JSON.stringify(made).includes('__proto__'));

const command: fc.Arbitrary<OutgoingCommand> = fc.oneof(
  fc.record({ type: fc.constant('connect' as const), id, token: fc.option(text) }),
  fc.record({ type: fc.constant('subscribe' as const), id, topic, since: fc.option(position) }),
  fc.record({ type: fc.constant('unsubscribe' as const), id, topic }),
  fc.record({ type: fc.constant('publish' as const), id, topic, data: value, messageId }),
  fc.record({
    type: fc.constant('publish' as const),
    ...{ id, topic, data: value },
    messageId: fc.stringMatching(/^[!-~]{1,64}$/),
    repeat: fc.constant(true),
  }),
  fc.record({ type: fc.constant('publish' as const), id, topic, data: value, messageId, key }),
  fc.record({
    type: fc.constant('publish' as const),
    ...{ id, topic, data: value, messageId, key },
    remove: fc.constant(true),
  }),
  fc.record({
    type: fc.constant('history' as const),
    id,
    topic,
    since: fc.option(position),
    limit: fc.option(fc.integer({ min: 1, max: maxHistoryLimit })),
    direction: fc.option(fc.constantFrom(...historyDirections)),
  }),
  fc.record({ type: fc.constant('refresh' as const), id, token: text }),
  fc.record({ type: fc.constant('ping' as const), id }),
);

/** A publication: its payload in the encoding of the publisher, and the item that a subscriber should get. */
interface Published {
  readonly payload: KeyedPayload;
  readonly item: Item;
}
const withoutKey: fc.Arbitrary<Published> = fc.oneof(
  value.map((made) => ({ payload: payload(packr.pack(made)), item: { data: made } })),
  fc.tuple(value, fc.nat(3)).map(([made, indent]) => ({
    payload: payload(bytesOf(JSON.stringify(made, null, indent), 'json'), 'json'),
    item: { data: made },
  })),
  fc.constantFrom('', '9201', 'a2', 'c0c0').map(
    (hex): Published => ({
      payload: payload(bytesOf(hex)),
      item: { error: 'undecodable' },
    }),
  ),
);

const published: fc.Arbitrary<Published> = fc.oneof(
  withoutKey,
  fc.tuple(withoutKey, key, fc.boolean()).map(
    ([made, key, remove]): Published => ({
      payload: { ...made.payload, key, remove },
      item: { ...made.item, key, ...(remove && { remove }) },
    }),
  ),
);

function runOf(list: readonly Published[]): Run {
  const writer = new JsonWriter(1);
  for (const one of list) writeItem(writer, one.payload);
  return { count: list.length, bytes: writer.toBytes(), hasKeys: list.some(({ payload }) => payload.key !== null) };
}

const replyErrorCode = fc.constantFrom(...(Object.keys(replyErrors) as (keyof typeof replyErrors)[]));

interface Reply {
  readonly written: OutgoingReply;
  readonly read: ServerMessage;
}
const reply: fc.Arbitrary<Reply> = fc.oneof(
  fc
    .oneof(
      fc.record({
        type: fc.constant('connected' as const),
        id,
        node: text,
        pingIntervalMs: fc.nat(),
        maxFrameBytes: fc.maxSafeNat(),
        expiresInMs: fc.option(fc.maxSafeNat()),
      }),
      fc.record({
        type: fc.constant('unsubscribed' as const),
        id,
        topic,
        code: fc.option(replyErrorCode),
        message: fc.option(text),
      }),
      fc.record({ type: fc.constant('refreshed' as const), id, expiresInMs: fc.option(fc.maxSafeNat()) }),
      fc.record({ type: fc.constant('published' as const), id, position: fc.option(position) }),
      fc.record({ type: fc.constant('pong' as const), id }),
      fc.record({
        type: fc.constant('error' as const),
        id,
        code: replyErrorCode,
        message: text,
        retryable: fc.boolean(),
        retryAfterMs: fc.option(fc.maxSafeNat()),
      }),
    )
    .map((made): Reply => ({ written: made, read: made })),
  fc.record({ id, topic, position: fc.option(position), recovered: fc.boolean(), list: fc.array(published) }).map(
    ({ list, ...fields }): Reply => ({
      written: { type: 'subscribed', ...fields, publications: runOf(list) },
      read: { type: 'subscribed', ...fields, publications: list.map(({ item }) => item) },
    }),
  ),
  fc
    .record({ id, topic, position, recovered: fc.boolean(), begin: fc.maxSafeNat(), list: fc.array(published) })
    .map(({ list, begin, ...others }): Reply => {
      const fields = { ...others, first: list.length === 0 ? null : begin };
      return {
        written: { type: 'history', ...fields, publications: runOf(list) },
        read: { type: 'history', ...fields, publications: list.map(({ item }) => item) },
      };
    }),
);

/** Any push but publications. */
const push: fc.Arbitrary<ServerMessage> = fc.oneof(
  fc.record({ type: fc.constant('gap' as const), topic, position: fc.option(position) }),
  fc.record({ type: fc.constant('reset' as const), topic, position }),
  fc.record({ type: fc.constant('goaway' as const), delayMs: fc.maxSafeNat() }),
);

const received = (encoding: Encoding, frame: string | Uint8Array): ServerMessage | null =>
  encoding === 'json'
    ? jsonClientCodec.decode(textOf(frame))
    : msgpackClient.decode(Uint8Array.from(Buffer.from(frame as Uint8Array)).buffer);

describe.each(['json', 'msgpack'] as const)('in %s', (encoding) => {
  const client = encoding === 'json' ? jsonClientCodec : msgpackClient;
  const codec = encoding === 'json' ? new JsonNodeCodec() : new MsgpackNodeCodec();

  it('a node reads the commands that a client has written, in separate frames or one', () => {
    fc.assert(
      fc.property(fc.array(command, { minLength: 1, maxLength: 5 }), (commands) => {
        const joined = client.join(commands.map((one) => client.encode(one)));
        const frame = typeof joined === 'string' ? bytesOf(joined, 'json') : joined;
        expect(answers(decode(codec, frame))).toEqual(commands.map((made) => ({ command: made })));
      }),
      runs,
    );
  });

  it('a client reads the reply that a node has written', () => {
    fc.assert(
      fc.property(reply, ({ written, read }) => {
        expect(received(encoding, codec.reply(written))).toEqual(read);
      }),
      runs,
    );
  });

  it('a client reads the gap, the reset and the goaway that a node has written', () => {
    fc.assert(
      fc.property(push, (made) => {
        const read = encodeOnNode(codec, made, emptyRun).map((frame) => received(encoding, frame));
        expect(read).toEqual([made]);
      }),
      runs,
    );
  });

  it('a client gets all publications of a run, in order, each at its position', () => {
    fc.assert(
      fc.property(
        topic,
        fc.option(position.filter(({ offset }) => offset < 2 ** 52)),
        fc.array(published, { minLength: 1 }),
        (made, first, list) => {
          const items: Item[] = [];
          codec.publications(made, first, runOf(list), (frame) => {
            const message = received(encoding, frame);
            if (message?.type !== 'publications') throw new Error('The message is not a publications push.');
            expect(message.topic).toBe(made);
            expect(message.position).toEqual(first && { epoch: first.epoch, offset: first.offset + items.length });
            items.push(...message.items);
          });
          expect(items).toEqual(list.map(({ item }) => item));
        },
      ),
      runs,
    );
  });
});

describe('frames for JSON subscribers', () => {
  it('stay below 16 KiB unless one publication alone is longer', () => {
    const grown = fc.oneof(
      fc.nat(3000).map((length) => '\u0001'.repeat(length)),
      fc.nat(8000).map((length) => 'x'.repeat(length)),
      fc.nat(9000).map((length) => new Uint8Array(length)),
    );
    fc.assert(
      fc.property(fc.array(grown, { minLength: 1, maxLength: 12 }), (values) => {
        const payloads = values.map((made) => ({ payload: payload(packr.pack(made)), item: { data: made } }));
        const counts: number[] = [];
        new JsonNodeCodec().publications('a' as Topic, null, runOf(payloads), (frame) => {
          const { items } = JSON.parse(textOf(frame)) as { items: unknown[] };
          counts.push(items.length);
          if (items.length > 1) expect(frame.length).toBeLessThan(16 * 1024);
        });
        expect(counts.reduce((sum, count) => sum + count)).toBe(values.length);
        expect(counts).not.toContain(0);
      }),
      { numRuns: 100 },
    );
  });
});

// Any bytes.

/** Bytes that resemble frames: heads of all kinds, and golden frames with a few bytes changed, removed or repeated. */
const goldenBytes = (encoding: Encoding): Uint8Array[] => [
  ...golden.frames.map((frame) => bytesOf(frame[encoding], encoding)),
  ...[...golden.variants, ...golden.malformed]
    .filter((entry) => entry.encoding === encoding)
    .map(({ frame }) => bytesOf(frame, encoding)),
  ...(encoding === 'msgpack' ? golden.transcoding.map(({ msgpack }) => bytesOf(msgpack)) : []),
];

function mutated(originals: readonly Uint8Array[]): fc.Arbitrary<Uint8Array<ArrayBuffer>> {
  const change = fc.record({
    kind: fc.constantFrom('set', 'cut', 'insert', 'repeat'),
    at: fc.nat(),
    byte: fc.nat(255),
  });
  return fc
    .tuple(fc.constantFrom(...originals), fc.array(change, { minLength: 1, maxLength: 4 }))
    .map(([original, changes]) => {
      const bytes = [...original];
      for (const { kind, at, byte } of changes) {
        const index = bytes.length === 0 ? 0 : at % bytes.length;
        if (kind === 'set') bytes[index] = byte;
        else if (kind === 'cut') bytes.splice(index, 1 + (byte % 4));
        else if (kind === 'insert') bytes.splice(index, 0, byte);
        else bytes.push(...bytes.slice(index));
      }
      return Uint8Array.from(bytes);
    });
}

const heads = fc.constantFrom(
  0x90,
  0x92,
  0x93,
  0x94,
  0x95,
  0x97,
  0x98,
  0xc0,
  0xc1,
  0xc4,
  0xc6,
  0xc7,
  0xcb,
  0xcf,
  0xd3,
  0xd6,
  0xd9,
  0xdb,
  0xdd,
  0xdf,
  0xa1,
  0x01,
  0x04,
  0x05,
  0x24,
  0x42,
);
const random = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.array(fc.oneof(heads, fc.nat(255)), { maxLength: 60 }).map((bytes) => Uint8Array.from(bytes)),
);
const anyMsgpack = fc.oneof(random, mutated(goldenBytes('msgpack'))).map((bytes) => Uint8Array.from(bytes));
const jsonish = fc
  .array(
    fc.constantFrom(
      ...'{}[],:"\\ \n10-.e',
      '"type"',
      '"publish"',
      '"history"',
      '"limit"',
      '"direction"',
      '"data"',
      '"topic"',
      '"a"',
      'null',
      'true',
      '\\u0064',
      'é',
    ),
    { maxLength: 40 },
  )
  .map((pieces) => bytesOf(pieces.join(''), 'json'));
const anyJson = fc.oneof(random, jsonish, mutated(goldenBytes('json'))).map((bytes) => Uint8Array.from(bytes));

const many = { numRuns: 2_000 };

/** Every frame produces commands or errors, and none throws. */
function expectAnswers(codec: JsonNodeCodec | MsgpackNodeCodec, frame: Uint8Array): void {
  const before = hexOf(frame);
  const outcomes = decode(codec, frame);
  expect(outcomes.length).toBeGreaterThan(0);
  for (const outcome of outcomes) {
    if ('error' in outcome) {
      expect(outcome.error).toBeInstanceOf(CommandError);
      expect(['malformed', 'unknownCommand', 'invalidTopic']).toContain(outcome.error.code);
      expect(outcome.error.message.length).toBeLessThan(2000);
    } else if (outcome.command.type === 'publish') {
      const { start, end } = outcome.command;
      expect(start >= 0 && start <= end && end <= frame.length).toBe(true);
      expect(parseTopic(outcome.command.topic)).toBe(outcome.command.topic);
    }
  }
  expect(hexOf(frame)).toBe(before);
}

/** Runs `act`, which may throw only a LayoutError. */
function orLayoutError(act: () => unknown): void {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(LayoutError);
  }
}

describe('any bytes', () => {
  it('get an answer from a node that reads MessagePack', () => {
    fc.assert(
      fc.property(anyMsgpack, (frame) => expectAnswers(nodeCodecs.msgpack, frame)),
      many,
    );
  });

  it('get an answer from a node that reads JSON, and accepted data is the text of a JSON value', () => {
    fc.assert(
      fc.property(anyJson, (frame) => {
        expectAnswers(nodeCodecs.json, frame);
        const commands = several<Record<string, unknown>>(parsed(frame));
        const outcomes = decode(nodeCodecs.json, frame);
        for (const [index, outcome] of outcomes.entries()) {
          if (!('command' in outcome) || outcome.command.type !== 'publish') continue;
          const { bytes, start, end } = outcome.command;
          expect(JSON.parse(textOf(bytes.subarray(start, end)))).toEqual(commands[index]?.['data']);
        }
      }),
      many,
    );
  });

  it('are a message, an unknown message or a LayoutError for a client that reads MessagePack', () => {
    // Only the data encoder of the application decodes data.
    const client = new MsgpackClientCodec({ encode: () => new Uint8Array(), decode: (bytes) => bytes.length });
    fc.assert(
      fc.property(anyMsgpack, (frame) => orLayoutError(() => client.decode(frame.buffer))),
      many,
    );
  });

  it('are a message, an unknown message or a LayoutError for a client that reads JSON', () => {
    fc.assert(
      fc.property(anyJson, (frame) => orLayoutError(() => jsonClientCodec.decode(new TextDecoder().decode(frame)))),
      many,
    );
  });

  it('are read as a run or cause a LayoutError', () => {
    fc.assert(
      fc.property(anyMsgpack, fc.nat(5), (bytes, count) => {
        const seen: KeyedPayload[] = [];
        orLayoutError(() => forEachItem({ count, bytes, hasKeys: true }, (item) => seen.push(item)));
        expect(seen.length).toBeLessThanOrEqual(count);
        for (const { start, end } of seen) expect(start <= end && end <= bytes.length).toBe(true);
      }),
      many,
    );
  });

  it('become valid JSON in valid UTF-8, or nothing', () => {
    const writer = new JsonWriter(1);
    let done = 0;
    fc.assert(
      fc.property(anyMsgpack, (bytes) => {
        writer.clear();
        writer.ascii('[');
        if (!writeAsJson(writer, payload(bytes))) {
          expect(writer.length).toBe(1);
          return;
        }
        done++;
        writer.ascii(']');
        expect(JSON.parse(textOf(writer.view()))).toHaveLength(1);
      }),
      many,
    );
    expect(done).toBeGreaterThan(50);
  });
});

function parsed(frame: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(frame));
  } catch {
    return [];
  }
}

describe('data', () => {
  it('that msgpackr has packed has the same value after it is written and parsed as JSON', () => {
    const writer = new JsonWriter(1);
    fc.assert(
      fc.property(value, (made) => {
        writer.clear();
        expect(writeAsJson(writer, payload(packr.pack(made)))).toBe(true);
        expect(JSON.parse(textOf(writer.view()))).toEqual(made);
      }),
      { numRuns: 1_000 },
    );
  });

  it('of any double and any 64-bit integer keeps its value', () => {
    const writer = new JsonWriter(1);
    const asJson = (packed: Uint8Array): unknown => {
      writer.clear();
      expect(writeAsJson(writer, payload(packed))).toBe(true);
      return JSON.parse(textOf(writer.view()));
    };
    fc.assert(
      fc.property(fc.double(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }), (number, integer) => {
        const float = Buffer.alloc(9, 0xcb);
        float.writeDoubleBE(number, 1);
        expect(asJson(float)).toBe(Number.isFinite(number) ? number + 0 : null);
        const isSafe = integer >= Number.MIN_SAFE_INTEGER && integer <= Number.MAX_SAFE_INTEGER;
        expect(asJson(packr.pack(integer))).toBe(isSafe ? Number(integer) : String(integer));
      }),
      runs,
    );
  });

  it('that is text is written as by JSON.stringify, or not at all if it is not UTF-8', () => {
    const writer = new JsonWriter(1);
    const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    const characters = fc.constantFrom(
      ...'\0\b\t\n\v\f\r\u001f "\\/a~\u007f\u0080\u07ff\u0800\u2028\ud7ff\ue000\ufeff\uffff',
      '\u{10000}',
    );
    const pieces = fc.oneof(
      { weight: 8, arbitrary: characters.map((made) => [...Buffer.from(made)]) },
      { weight: 4, arbitrary: fc.nat(120).map((length) => Array(length).fill(0x61)) },
      { weight: 1, arbitrary: fc.nat(255).map((byte) => [byte]) },
      {
        weight: 1,
        arbitrary: fc.constantFrom([0xed, 0xa0, 0x80], [0xc1, 0xbf], [0xe0, 0x9f, 0xbf], [0xf0, 0x8f, 0xbf, 0xbf]),
      },
      {
        weight: 1,
        arbitrary: fc.constantFrom([0xf4, 0x90, 0x80, 0x80], [0xf4, 0x8f, 0xbf, 0xbf], [0xf5, 0x80, 0x80, 0x80]),
      },
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 30 }), (made) => {
        const bytes = Uint8Array.from(made.flat());
        let expected: string | null = null;
        try {
          expected = JSON.stringify(strict.decode(bytes));
        } catch {}
        writer.clear();
        const packed = new JsonWriter();
        packed.strHeader(bytes.length);
        packed.copy(bytes);
        expect(writeAsJson(writer, payload(packed.toBytes()))).toBe(expected !== null);
        expect(textOf(writer.view())).toBe(expected ?? '');
      }),
      many,
    );
  });

  it('that is bytes is written as base64', () => {
    const writer = new JsonWriter(1);
    fc.assert(
      fc.property(fc.uint8Array(), (made) => {
        writer.clear();
        const packed = new JsonWriter();
        packed.bin(made);
        expect(writeAsJson(writer, payload(packed.toBytes()))).toBe(true);
        expect(textOf(writer.view())).toBe(`"${Buffer.from(made).toString('base64')}"`);
      }),
      runs,
    );
  });

  it('that is a date reads as that date', () => {
    const writer = new JsonWriter(1);
    const dates = fc.date({
      min: new Date('0000-01-01T00:00:00Z'),
      max: new Date('9999-12-31T23:59:59.999Z'),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(dates, (date) => {
        writer.clear();
        const nanoseconds = (((date.getTime() % 1000) + 1000) % 1000) * 1_000_000;
        const packed = Buffer.alloc(15);
        packed.set([0xc7, 12, 0xff]);
        packed.writeUInt32BE(nanoseconds, 3);
        packed.writeBigInt64BE(BigInt(Math.floor(date.getTime() / 1000)), 7);
        expect(writeAsJson(writer, payload(packed))).toBe(true);
        expect(textOf(writer.view())).toBe(JSON.stringify(date.toISOString().replace('.000Z', 'Z')));
      }),
      runs,
    );
  });
});

describe('a topic reader', () => {
  it('agrees with the grammar for any bytes, even after many other topics', () => {
    const reader = new TopicReader();
    const latin1 = fc.uint8Array({ maxLength: 20 });
    const any = fc.oneof(
      latin1,
      topic.map((made) => bytesOf(made, 'json')),
      fc.stringMatching(/^[ab.]{0,6}$/).map((made) => bytesOf(made, 'json')),
    );
    fc.assert(
      fc.property(any, fc.nat(3), (bytes, before) => {
        const frame = Uint8Array.from([...Array(before).fill(0x61), ...bytes, 0x61]);
        const expected = parseTopic(String.fromCharCode(...bytes));
        expect(reader.read(frame, before, before + bytes.length)).toBe(expected);
        expect(reader.read(frame, before, before + bytes.length)).toBe(expected);
      }),
      many,
    );
  });

  it('distinguishes topics that share a slot', () => {
    // FNV-1a as in the reader, folded to its 4096 slots.
    const slotOf = (made: string): number => {
      let hash = 0x811c9dc5;
      for (const byte of bytesOf(made, 'json')) hash = Math.imul(hash ^ byte, 0x01000193);
      return (hash ^ (hash >>> 15)) & 4095;
    };
    const all = Array.from({ length: 40_000 }, (_, index) => `t${10_000 + index}`);
    const colliding = all.filter((made) => slotOf(made) === slotOf('t10000'));
    expect(colliding.length).toBeGreaterThan(4);
    const reader = new TopicReader();
    for (const made of [...colliding, ...colliding, ...colliding.toReversed()]) {
      const bytes = bytesOf(made, 'json');
      expect(reader.read(bytes, 0, bytes.length)).toBe(made);
    }
  });
});
