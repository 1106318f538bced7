/** How a node reads hostile and unusual frames. The golden frames cover the plain cases. */
import { describe, expect, it } from 'vitest';
import {
  type Command,
  JsonNodeCodec,
  MsgpackNodeCodec,
  maxDataDepth,
  maxTokenBytes,
  type Publish,
} from '../src/index.js';
import { answers, bytesOf, decode, hexOf, nodeCodecs, packr, textOf, toNode } from './golden.js';

const json = (text: string): ReturnType<typeof decode> => decode(nodeCodecs.json, bytesOf(text, 'json'));
const msgpack = (hex: string): ReturnType<typeof decode> => decode(nodeCodecs.msgpack, bytesOf(hex));

function publishOf([outcome]: ReturnType<typeof decode>): Publish {
  const command: Command | null = outcome !== undefined && 'command' in outcome ? outcome.command : null;
  if (command?.type !== 'publish') throw new Error(`Not a publish: ${JSON.stringify(outcome)}`);
  return command;
}

const dataOf = ({ bytes, start, end }: Publish): Uint8Array => bytes.subarray(start, end);
const messageOf = (outcomes: ReturnType<typeof decode>): string =>
  outcomes.map((outcome) => ('error' in outcome ? outcome.error.message : 'a command')).join(' | ');

describe('data in a JSON frame', () => {
  it.each([
    '12345678901234567890123456789.000',
    '-0.0',
    '1E400',
    'null',
    'false',
    '""',
    '"\\ud83d\\ude00 \\u0000 \\" \\\\ \\/"',
    '"\\ud800"',
    '"東京 🎺 \u2028"',
    '"}],{\\"data\\":1"',
    '"\\\\"',
    '{ "data" : { "data" : [ ] } ,\t"b":\n1 }',
    '[ [ ] , { } , "]" , "\\"]" ]',
    '{"__proto__":{"x":1}}',
  ])('keeps its text: %s', (data) => {
    const frames = [
      `{"type":"publish","topic":"a","data":${data}}`,
      `{"data":${data},"topic":"a","type":"publish"}`,
      ` { "type" : "publish" , "data" :\r\n\t ${data} \t, "topic" : "a" } `,
      `[{"type":"publish","topic":"a","data":${data}}]`,
      `{"type":"publish","topic":"a","d\\u0061ta":${data}}`,
      `{"type":"publish","data":[0],"topic":"a","data":${data}}`,
      `{"x":{"data":7},"y":"\\"data\\":8","type":"publish","topic":"a","data":${data},"date":1,"dat":2,"datas":3,"d\\u0061t\\u0061s":4}`,
    ];
    for (const frame of frames) expect(textOf(dataOf(publishOf(json(frame))))).toBe(data);
  });

  it('is found for each publish in an array, between other commands and invalid values', () => {
    const outcomes = json(
      '[{"type":"publish","topic":"a","data":"[{"},7,{"type":"ping","data":2},"x",{"type":"publish","topic":"a"},{"type":"publish","topic":"a","data":{"n":3}}, [ 1 ] ,{"data":4,"type":"publish","topic":"a"}]',
    );
    const found = outcomes.map((outcome) =>
      'error' in outcome
        ? 'error'
        : outcome.command.type === 'publish'
          ? textOf(dataOf(outcome.command))
          : outcome.command.type,
    );
    expect(found).toStrictEqual(['"[{"', 'error', 'ping', 'error', 'error', '{"n":3}', 'error', '4']);
  });

  it(`may nest at most ${maxDataDepth} deep, in arrays, objects or both`, () => {
    const shapes: ((depth: number) => string)[] = [
      (depth) => '['.repeat(depth) + ']'.repeat(depth),
      (depth) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`,
      (depth) =>
        '[{"a":'.repeat(depth / 2) + '[]'.repeat(depth % 2) + (depth % 2 === 0 ? '0' : '') + '}]'.repeat(depth / 2),
      (depth) => `[[],[[]],${'['.repeat(depth - 1)}"]"${']'.repeat(depth - 1)},[]]`,
    ];
    for (const shape of shapes) {
      const frame = (depth: number): string => `{"type":"publish","id":1,"topic":"a","data":${shape(depth)}}`;
      expect(textOf(dataOf(publishOf(json(frame(maxDataDepth)))))).toBe(shape(maxDataDepth));
      expect(answers(json(frame(maxDataDepth + 1)))).toStrictEqual([{ code: 'malformed', id: 1 }]);
    }
    expect(messageOf(json(`{"type":"publish","topic":"a","data":${'['.repeat(129)}${']'.repeat(129)}}`))).toBe(
      '"data" is nested deeper than 128 levels.',
    );
  });

  it('is the last "data" field of several, even if that one is too deep', () => {
    const deep = '['.repeat(129) + ']'.repeat(129);
    expect(answers(json(`{"type":"publish","id":1,"topic":"a","data":1,"data":${deep}}`))).toStrictEqual([
      { code: 'malformed', id: 1 },
    ]);
    expect(textOf(dataOf(publishOf(json(`{"type":"publish","id":1,"topic":"a","data":${deep},"data":1}`))))).toBe('1');
  });
});

describe('a JSON frame', () => {
  it.each(toNode)('is malformed as a whole if it is cut short anywhere: $name', (frame) => {
    const bytes = bytesOf(frame.json, 'json');
    for (let length = 0; length < bytes.length; length++) {
      expect(answers(decode(nodeCodecs.json, bytes.subarray(0, length)))).toStrictEqual([
        { code: 'malformed', id: null },
      ]);
    }
  });

  it('is malformed if it is not UTF-8, because its data would reach subscribers unchanged', () => {
    const bytes = bytesOf('{"type":"publish","id":1,"topic":"a","data":"?"}', 'json');
    bytes[bytes.indexOf(0x3f)] = 0xff;
    expect(answers(decode(nodeCodecs.json, bytes))).toStrictEqual([{ code: 'malformed', id: null }]);
  });

  it('gets an answer, not a crash, if it is nested over its full length', () => {
    const halves = '['.repeat(32_000) + ']'.repeat(32_000);
    expect(answers(json('['.repeat(65_000)))).toStrictEqual([{ code: 'malformed', id: null }]);
    expect(answers(json(halves))).toStrictEqual([{ code: 'malformed', id: null }]);
    expect(answers(json(`{"type":"ping","id":1,"x":${halves}}`))).toStrictEqual([{ command: { type: 'ping', id: 1 } }]);
    expect(answers(json(`{"type":"publish","id":1,"topic":"a","data":${halves}}`))).toStrictEqual([
      { code: 'malformed', id: 1 },
    ]);
  });

  it('with 32,000 invalid commands creates no stack traces', () => {
    const outcomes = json(`[${'1,'.repeat(31_999)}1]`);
    expect(outcomes).toHaveLength(32_000);
    const [first] = outcomes;
    expect(first !== undefined && 'error' in first && first.error.stack).not.toContain('\n');
    expect(new Error('another').stack).toContain('\n    at ');
  });

  it.each([
    ['nonsense', /^The frame is not JSON: .+\.$/],
    // Found by `npm run fuzz -- --target node-json`: the message is one line, although JSON.parse quotes its input.
    ['{"a\nb', /^The frame is not JSON: .+\.$/],
    ['{"":\u0010', /^The frame is not JSON: \P{Cc}+\.$/u],
    ['[]', /^The frame is an empty array\.$/],
    ['null', /^A command is a JSON object, not null\.$/],
    ['[[]]', /^A command is a JSON object, not an array\.$/],
    ['["x"]', /^A command is a JSON object, not a string\.$/],
    ['{"id":1}', /^A command needs a "type"\.$/],
    ['{"type":"ping","id":0}', /^"id" must be an integer from 1 to 4294967295, not 0\.$/],
    ['{"type":"ping","id":{}}', /^"id" must be an integer from 1 to 4294967295, not an object\.$/],
    ['{"type":"nope"}', /^Protocol version 1 has no command "nope"\.$/],
    ['{"type":"subscribe"}', /^"topic" must be a string\.$/],
    ['{"type":"subscribe","topic":"*"}', /^The topic "\*" has a wildcard/],
    ['{"type":"history"}', /^"topic" must be a string\.$/],
    ['{"type":"history","topic":"a","since":1}', /^"since" must be \{"epoch": "…", "offset": n\}/],
    ['{"type":"history","topic":"a","limit":0}', /^"limit" must be an integer from 1 to 1000\.$/],
    ['{"type":"history","topic":"a","direction":"up"}', /^"direction" must be "forward" or "backward"\.$/],
    ['{"type":"subscribe","topic":"a","since":1}', /^"since" must be \{"epoch": "…", "offset": n\}/],
    ['{"type":"publish","topic":"a"}', /^A publish needs "data"\.$/],
    [
      '{"type":"publish","topic":"a","data":1,"messageId":""}',
      /^"messageId" must be 1 to 64 characters of printable ASCII\.$/,
    ],
    [
      '{"type":"publish","topic":"a","data":1,"key":" "}',
      /^"key" must be 1 to 64 characters of printable ASCII without spaces\.$/,
    ],
    ['{"type":"publish","topic":"a","data":1,"key":"a","remove":"yes"}', /^"remove" must be true or false\.$/],
    [
      '{"type":"publish","topic":"a","data":1,"remove":true}',
      /^"remove" needs a "key": it removes what was published with that key\.$/,
    ],
    ['{"type":"connect","token":1}', /^"token" must be a string of at most 8192 bytes\.$/],
  ])('%s gets a sentence as the error message', (frame, sentence) => {
    expect(messageOf(json(frame))).toMatch(sentence);
  });

  it('with a long unknown type is not quoted in full', () => {
    expect(messageOf(json(`{"type":"${'x'.repeat(60_000)}"}`)).length).toBeLessThan(200);
  });
});

describe('a MessagePack frame', () => {
  it.each(toNode)('is malformed from the point where it is cut short: $name', (frame) => {
    const bytes = bytesOf(frame.msgpack);
    const whole = answers(decode(nodeCodecs.msgpack, bytes));
    const ends = commandEnds(bytes);
    expect(ends).toHaveLength(whole.length);
    expect(ends.at(-1)).toBe(bytes.length);
    for (let length = 0; length < bytes.length; length++) {
      const before = ends.filter((end) => end <= length).length;
      const made = answers(decode(nodeCodecs.msgpack, bytes.subarray(0, length)));
      const isClean = length > 0 && ends.includes(length);
      expect(made.slice(0, before)).toStrictEqual(whole.slice(0, before));
      expect(made.slice(before)).toStrictEqual(isClean ? [] : [expect.objectContaining({ code: 'malformed' })]);
    }
  });

  it('gets an answer for any byte at the head of a field, and is accepted only if the byte fits the type of the field', () => {
    // Each row has the bytes before and after a field in hex, and the accepted heads of the field.
    const places: [name: string, before: string, after: string, taken: RegExp][] = [
      ['the command', '', '08 01', /^92$/],
      // Types 0x01 to 0x05 have other layouts.
      ['the type', '92', '01', /^0[18]$/],
      ['the id', '92 08', '', /^(0[1-9a-f]|[1-7].|c0)$/],
      ['the token', '93 01 01', '', /^(a0|c0)$/],
      ['the topic', '93 02 01', '61'.repeat(31), /^(bf)$/],
      ['the topic to leave', '93 03 01', '61', /^a1$/],
      ['the topic to publish to', '94 04 01', '61 c4 01 c0', /^a1$/],
      ['the data', '94 04 01 a161', '01 c0', /^c4$/],
      ['the messageId', '95 04 01 a161 c401c0', '61', /^a1$/],
      ['the epoch', '95 02 01 a161', '61 05', /^a1$/],
      ['the offset', '95 02 01 a161 a161', '', /^[0-7].$/],
      ['the topic to read', '93 05 01', '61', /^a1$/],
      ['the epoch to read from', '95 05 01 a161', '61 05', /^a1$/],
      ['the offset to read from', '95 05 01 a161 a161', '', /^[0-7].$/],
      ['the limit', '96 05 01 a161 c0 c0', '', /^(0[1-9a-f]|[1-7].|c0)$/],
      ['the direction', '97 05 01 a161 c0 c0 c0', '666f7277617264', /^a7$/],
    ];
    for (const [name, before, after, taken] of places) {
      for (let head = 0; head < 0x100; head++) {
        const hex = head.toString(16).padStart(2, '0');
        const made = msgpack(`${before}${hex}${after}`);
        const isTaken = made.length === 1 && made.every((outcome) => 'command' in outcome);
        expect({ name, hex, isTaken }).toStrictEqual({ name, hex, isTaken: taken.test(hex) });
        expect(made.length).toBeGreaterThan(0);
      }
    }
  });

  it('with a wrong value in any field is malformed, or has an invalid topic', () => {
    const good = [
      [1, 9, 'token'],
      [2, 9, 'topic', 'epoch', 5],
      [3, 9, 'topic'],
      [4, 9, 'topic', Buffer.from([1]), 'm'],
      [4, 9, 'topic', Buffer.from([1]), 'm', false],
      [4, 9, 'topic', Buffer.from([1]), 'm', false, 'k', false],
      [5, 9, 'topic', 'epoch', 5, 7, 'forward'],
      [8, 9],
    ];
    const wrong = [true, -1, 1.5, [], [[]], {}, { a: 1 }, new Uint8Array([1]), new Date(0), 2n ** 63n, 'é', [1, [2]]];
    let count = 0;
    for (const command of good) {
      for (const index of command.keys()) {
        for (const value of wrong) {
          if (command[index] instanceof Uint8Array && value instanceof Uint8Array) continue;
          if (command[index] === 'token' && value === 'é') continue;
          if (typeof command[index] === 'boolean' && typeof value === 'boolean') continue;
          const made = answers(decode(nodeCodecs.msgpack, packr.pack(command.with(index, value as never))));
          const code = command[index] === 'topic' && value === 'é' ? 'invalidTopic' : 'malformed';
          const isUnknown = index === 0 && value === 2n ** 63n;
          expect(made).toStrictEqual([{ code: isUnknown ? 'malformed' : code, id: index < 2 ? null : 9 }]);
          count++;
        }
      }
    }
    expect(count).toBeGreaterThan(240);
  });

  it('is malformed if it has the wrong number of elements, whatever their values are', () => {
    const taken: Record<number, number[]> = {
      1: [2, 3],
      2: [3, 5],
      3: [3],
      4: [4, 5, 6, 7, 8],
      5: [3, 5, 6, 7],
      8: [2],
    };
    const elements = [7, 'a', Buffer.from([1]), null];
    for (const [type, counts] of Object.entries(taken)) {
      for (let count = 0; count < 20; count++) {
        // Optional fields are nil, so that only the count is wrong.
        const rest = type === '1' ? [7, null] : ['2', '5'].includes(type) ? [7, 'a', null, null] : elements;
        const command = [Number(type), ...rest, ...Array(20).fill(null)].slice(0, count);
        const made = answers(decode(nodeCodecs.msgpack, packr.pack(command)));
        expect(made).toHaveLength(1);
        expect({ type, count, isTaken: made.every((answer) => 'command' in answer) }).toStrictEqual({
          type,
          count,
          isTaken: counts.includes(count),
        });
      }
    }
  });

  it('is not copied: its data points into the frame, even if the frame is part of a larger buffer', () => {
    const whole = bytesOf('ffff 94 04 01 a161 c403 a26869 ffff');
    const frame = whole.subarray(2, whole.length - 2);
    const publish = publishOf(decode(nodeCodecs.msgpack, frame));
    expect(publish.bytes).toBe(frame);
    expect(hexOf(dataOf(publish))).toBe('a26869');
  });

  it('may contain any bytes as data', () => {
    expect(hexOf(dataOf(publishOf(msgpack('94 04 01 a161 c404 c1ddffff'))))).toBe('c1ddffff');
    expect(hexOf(dataOf(publishOf(msgpack('94 04 01 a161 c400'))))).toBe('');
  });

  it.each([
    ['', 'The frame is empty.'],
    ['01', 'A command cannot begin with byte 0x01 (at 0). The rest of the frame was ignored.'],
    ['91 08', 'A command has at least 2 elements, not 1. The rest of the frame was ignored.'],
    ['92 c2 01', 'The command type cannot begin with byte 0xc2 (at 1). The rest of the frame was ignored.'],
    ['92 08', 'The frame ends at byte 2, within or before the id. The rest of the frame was ignored.'],
    ['92 08 d0ff', 'The id is negative. The rest of the frame was ignored.'],
    ['92 08 cf0020000000000000', 'The id is above 2^53 - 1. The rest of the frame was ignored.'],
    ['92 08 00', 'The id is 0; it must be nil or an integer from 1 to 4294967295. The rest of the frame was ignored.'],
    ['94 08 01 c0 c0', 'A ping command has 2 elements, not 4. The rest of the frame was ignored.'],
    ['92 04 01', 'A publish command has 4 to 8 elements, not 2. The rest of the frame was ignored.'],
    ['94 02 01 a161 c0', 'A subscribe command has 3 or 5 elements, not 4. The rest of the frame was ignored.'],
    ['94 05 01 a161 c0', 'A history command has 3 or 5 to 7 elements, not 4. The rest of the frame was ignored.'],
    [
      '98 05 01 a161 c0 c0 c0 c0 c0',
      'A history command has 3 or 5 to 7 elements, not 8. The rest of the frame was ignored.',
    ],
    [
      '96 05 01 a161 c0 c0 00',
      'The limit is 0; it must be nil or an integer from 1 to 1000. The rest of the frame was ignored.',
    ],
    [
      '97 05 01 a161 c0 c0 c0 a27570',
      'The direction must be nil, "forward" or "backward". The rest of the frame was ignored.',
    ],
    ['93 02 01 a561', 'The topic claims 5 bytes at byte 4, but has 1. The rest of the frame was ignored.'],
    ['93 02 01 a2c3a9', 'The topic "é" has a character outside A-Z a-z 0-9 _ - and the "." between segments.'],
    ['92 09 01', 'Protocol version 1 has no command type 9. The rest of the frame was ignored.'],
    [
      '97 04 01 a161 c401 01 c0 c0 a120',
      'The key is not 1 to 64 characters of printable ASCII without spaces. The rest of the frame was ignored.',
    ],
    [
      '98 04 01 a161 c401 01 c0 c0 c0 c3',
      '"remove" needs a "key": it removes what was published with that key. The rest of the frame was ignored.',
    ],
    ['93 01 01 a1ff', 'The token is not valid UTF-8. The rest of the frame was ignored.'],
  ])('%s gets a sentence as the error message', (frame, sentence) => {
    expect(messageOf(msgpack(frame))).toBe(sentence);
  });

  it('with a topic of thousands of bytes is not quoted in full', () => {
    const frame = packr.pack([2, 1, 'x'.repeat(5000)]);
    expect(messageOf(decode(nodeCodecs.msgpack, frame))).toBe('The topic is longer than 200 bytes.');
  });
});

describe('in both encodings', () => {
  it('a token is measured in bytes, not in characters', () => {
    for (const [token, isTaken] of [
      ['é'.repeat(maxTokenBytes / 2), true],
      [`${'é'.repeat(maxTokenBytes / 2)}x`, false],
    ] as const) {
      const expected = isTaken ? { command: { type: 'connect', id: 1, token } } : { code: 'malformed', id: 1 };
      expect(answers(json(JSON.stringify({ type: 'connect', id: 1, token })))).toStrictEqual([expected]);
      expect(answers(decode(nodeCodecs.msgpack, packr.pack([1, 1, token])))).toStrictEqual([expected]);
    }
  });

  it('a history limit is accepted only from 1 to 1000', () => {
    for (const limit of [-1, 0, 1, 2, 127, 128, 255, 256, 999, 1000, 1001, 65_536, 2 ** 32, 2 ** 53]) {
      const command = { type: 'history', id: 1, topic: 'a', since: null, limit, direction: null };
      const expected = limit >= 1 && limit <= 1000 ? { command } : { code: 'malformed', id: 1 };
      expect(answers(json(JSON.stringify(command)))).toStrictEqual([expected]);
      expect(answers(decode(nodeCodecs.msgpack, packr.pack([5, 1, 'a', null, null, limit])))).toStrictEqual([expected]);
    }
  });

  it.each([
    ['json', JSON.stringify([0, 0, 0])],
    ['json', JSON.stringify([{ type: 'ping' }, { type: 'ping' }])],
    ['msgpack', '92 01 c0 92 01 c0'],
    ['msgpack', '93 02 c0 a0 93 02 c0 a0'],
  ] as const)('the rest of a frame is not read once its sink is over: %s %s', (encoding, frame) => {
    let taken = 0;
    const take = (): number => ++taken;
    nodeCodecs[encoding].decode(bytesOf(frame, encoding), {
      get isOver() {
        return taken > 0;
      },
      onCommand: take,
      onCommandError: take,
    });
    expect(taken).toBe(1);
  });

  it('an error thrown by the sink is not reported as a malformed frame', () => {
    const thrown = new Error('a bug');
    const sink = {
      isOver: false,
      onCommand: (): void => {
        throw thrown;
      },
      onCommandError: (): void => expect.unreachable(),
    };
    expect(() => new MsgpackNodeCodec().decode(bytesOf('92 08 01'), sink)).toThrow(thrown);
    expect(() => new JsonNodeCodec().decode(bytesOf('{"type":"ping"}', 'json'), sink)).toThrow(thrown);
  });
});

/** Where each command of a frame ends, by msgpackr. */
function commandEnds(bytes: Uint8Array): number[] {
  const ends: number[] = [];
  // The callback of unpackMultiple receives the start and end of each value.
  packr.unpackMultiple(bytes, (_value: unknown, _start?: number, end?: number) => {
    if (end !== undefined) ends.push(end);
  });
  return ends;
}
