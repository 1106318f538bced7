/** The tables of PROTOCOL.md match the code, in both directions. */
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import {
  closeReasons,
  commandTypes,
  endpointPath,
  historyDirections,
  httpStatusOf,
  jsonClientCodec,
  LayoutError,
  MsgpackClientCodec,
  maxCommandId,
  maxDataDepth,
  maxEpochBytes,
  maxHistoryLimit,
  maxKeyBytes,
  maxMessageIdBytes,
  maxRunBytes,
  maxTokenBytes,
  maxTopicBytes,
  maxTopicSegments,
  type OutgoingCommand,
  parseTopic,
  positionText,
  pushTypes,
  type ReplyErrorCode,
  replyErrors,
  replyTypes,
  requestErrors,
  type ServerMessage,
  subprotocols,
  type Topic,
  Writer,
  writeItem,
} from '../src/index.js';
import { bytesOf, data, decode, encodeOnNode, nodeCodecs, packr, payload, textOf } from './golden.js';

const markdown = readFileSync(new URL('../PROTOCOL.md', import.meta.url), 'utf8');

// The content of PROTOCOL.md.

/** The name of a message field, with "?" if it may be absent. */
type Field = string;

interface MessageRow {
  readonly number: string;
  readonly fields: readonly Field[];
}

interface Layouts {
  /** The longest layout, and the others. */
  readonly elements: readonly Field[];
  readonly shorter: readonly (readonly Field[])[];
  /** The element counts that the receiver accepts. */
  readonly counts: readonly number[];
}

interface Spec {
  readonly commands: Record<string, MessageRow>;
  readonly answers: Record<string, string>;
  readonly replies: Record<string, MessageRow>;
  readonly pushes: Record<string, MessageRow>;
  /** By name and number: a command and a reply may share a name. */
  readonly layouts: Record<string, Layouts>;
  readonly errors: Record<string, string>;
  readonly closeCodes: Record<string, { readonly name: string; readonly reason: string }>;
  readonly limits: Record<string, string>;
}

/** The rows of a table: the first one below `heading` that begins with `columns`. */
function rowsBelow(text: string, heading: string, columns: string): string[] {
  const lines = text.split('\n');
  const first = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, '').startsWith(heading));
  const head = lines.findIndex((line, index) => index > first && line.replace(/ +/g, ' ').startsWith(`| ${columns} |`));
  const end = lines.findIndex((line, index) => index > head && !line.startsWith('|'));
  return lines.slice(head + 2, end);
}

/** The same rows, as cells. */
function table(text: string, heading: string, columns: string): string[][] {
  return rowsBelow(text, heading, columns).map((row) =>
    row
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

/** The words of a cell in backticks. */
function words(cell: string | undefined): string[] {
  return [...(cell ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? '');
}

/** Rows by name. A second row with the same name gets another key, so that the comparison fails. */
function byName<T>(rows: readonly (readonly [string, T])[]): Record<string, T> {
  const named: Record<string, T> = {};
  for (const [name, row] of rows) named[name in named ? `${name} again` : name] = row;
  return named;
}

function messages(text: string, heading: string): Record<string, MessageRow> {
  return byName(
    table(text, heading, 'type').map((row) => [words(row[0]).join(), { number: row[1] ?? '', fields: words(row[2]) }]),
  );
}

/**
 * The element counts that a message may have: those of its layouts. A command may omit elements at its end, epoch and
 * offset only together.
 */
function countsOf(layouts: readonly Field[][]): number[] {
  const [layout = []] = layouts;
  const isCommand = Object.values<number>(commandTypes).includes(Number(layout[0]));
  if (layouts.length > 1 || !isCommand) return layouts.map(({ length }) => length);
  const least = Math.max(2, layout.findLastIndex((field) => !field.endsWith('?')) + 1);
  const counts = Array.from({ length: layout.length - least + 1 }, (_, index) => least + index);
  return counts.filter((count) => layout[count - 1] !== 'epoch?');
}

function read(text: string): Spec {
  return {
    commands: messages(text, '4.1'),
    answers: byName(table(text, '4.1', 'type').map((row) => [words(row[0]).join(), words(row[3]).join()])),
    replies: messages(text, '4.2'),
    pushes: messages(text, '4.3'),
    layouts: byName(
      table(text, '5.2', 'message').map((row) => {
        const layouts = words(row[1]).map((layout) => layout.replace(/^\[|\]$/g, '').split(', '));
        const elements = layouts.at(-1) ?? [];
        return [
          `${words(row[0]).join()} ${elements[0]}`,
          { elements, shorter: layouts.slice(0, -1), counts: countsOf(layouts) },
        ];
      }),
    ),
    errors: byName(table(text, '6 ', 'code | retryable').map((row) => [words(row[0]).join(), row[1] ?? ''])),
    closeCodes: byName(
      table(text, '6 ', 'code | name').map((row) => [
        row[0] ?? '',
        { name: words(row[1]).join(), reason: row[2] ?? '' },
      ]),
    ),
    limits: byName(
      table(text, '7 ', 'limit').map((row) => [row[0] ?? '', `${row[1]} -> ${words(row[2])[0] ?? row[2]}`]),
    ),
  };
}

// The behavior of the code. In each sample message, every field has a different value, or fields with one value are in
// the order of the elements.

const topic = parseTopic('the.topic') as Topic;
const position = { epoch: 'the-epoch', offset: 17 };
const items = [{ data: 'the data', key: 'the-key', remove: true }];

const commandSamples: { readonly [T in OutgoingCommand['type']]: Required<Extract<OutgoingCommand, { type: T }>> } = {
  connect: { type: 'connect', id: 99, token: 'the token' },
  subscribe: { type: 'subscribe', id: 99, topic, since: position },
  unsubscribe: { type: 'unsubscribe', id: 99, topic },
  publish: {
    type: 'publish',
    ...{ id: 99, topic, data: 'the data', messageId: 'the-message-id', repeat: true },
    ...{ key: 'the-key', remove: true },
  },
  history: { type: 'history', id: 99, topic, since: position, limit: 500, direction: 'backward' },
  refresh: { type: 'refresh', id: 99, token: 'the token' },
  ping: { type: 'ping', id: 99 },
};

const messageSamples: { readonly [T in ServerMessage['type']]: Required<Extract<ServerMessage, { type: T }>> } = {
  connected: {
    type: 'connected',
    id: 99,
    node: 'the node',
    pingIntervalMs: 25_000,
    maxFrameBytes: 65_536,
    expiresInMs: 3_600_000,
  },
  subscribed: { type: 'subscribed', id: 99, topic, position, recovered: true, publications: items },
  unsubscribed: { type: 'unsubscribed', id: 99, topic, code: 'notPermitted', message: 'the message' },
  published: { type: 'published', id: 99, position },
  history: {
    type: 'history',
    id: 99,
    topic,
    position,
    recovered: true,
    first: 16,
    publications: items,
  },
  refreshed: { type: 'refreshed', id: 99, expiresInMs: 3_600_000 },
  pong: { type: 'pong', id: 99 },
  error: { type: 'error', id: 99, code: 'internal', message: 'the message', retryable: true, retryAfterMs: 1_340 },
  publications: { type: 'publications', topic, position, items },
  gap: { type: 'gap', topic, position },
  reset: { type: 'reset', topic, position },
  goaway: { type: 'goaway', delayMs: 1_730 },
};

/** A message and its reader: a command and a reply may share a name. */
type Sample =
  | { readonly reader: 'node'; readonly message: OutgoingCommand }
  | { readonly reader: 'client'; readonly message: ServerMessage };

const commandOf = (type: string): Sample => ({
  reader: 'node',
  message: commandSamples[type as OutgoingCommand['type']],
});
const messageOf = (type: string): Sample => ({
  reader: 'client',
  message: messageSamples[type as ServerMessage['type']],
});

const msgpackClient = new MsgpackClientCodec(data);
const writer = new Writer();
writeItem(writer, { ...payload(data.encode('the data')), key: 'the-key', remove: true });
const run = { count: 1, bytes: writer.toBytes(), hasKeys: true };

/** The message as the code writes it: JSON fields, and MessagePack elements as [name, value]. */
function written(sample: Sample): { json: Record<string, unknown>; elements: [name: string, value: unknown][] } {
  const json =
    sample.reader === 'node'
      ? jsonClientCodec.encode(sample.message)
      : encodeOnNode(nodeCodecs.json, sample.message, run)[0];
  const bytes =
    sample.reader === 'node'
      ? msgpackClient.encode(sample.message)
      : encodeOnNode(nodeCodecs.msgpack, sample.message, run)[0];
  // The value of an element identifies its field. `items` and `publications` are lists; those of their keys follow.
  const { since, position: at, publications, items, ...fields }: Record<string, unknown> = { ...sample.message };
  const named = Object.entries({ ...fields, ...(since ?? at ?? {}) });
  const takeName = (value: unknown): string | undefined => {
    const place = named.findIndex(([, other]) => other === value);
    return place < 0 ? undefined : named.splice(place, 1)[0]?.[0];
  };
  const lists = [items === undefined ? 'publications' : 'items', 'keys', 'removed'];
  const elements = (packr.unpack(bytes as Uint8Array) as unknown[]).map((value, index): [string, unknown] => {
    if (index === 0) return [String(value), value];
    if (Array.isArray(value)) return [lists.shift() ?? '', value];
    const name = takeName(value instanceof Uint8Array ? packr.unpack(value) : value);
    return [name ?? `element ${index} is not a field`, value];
  });
  return { json: JSON.parse(textOf(json ?? '')), elements };
}

/** Whether the other side accepts the message in this form. */
function isRead({ reader }: Sample, encoding: 'json' | 'msgpack', value: unknown): boolean {
  const bytes = encoding === 'json' ? bytesOf(JSON.stringify(value), 'json') : Uint8Array.from(packr.pack(value));
  if (reader === 'node') return decode(nodeCodecs[encoding], bytes).every((outcome) => 'command' in outcome);
  try {
    return (encoding === 'json' ? jsonClientCodec.decode(textOf(bytes)) : msgpackClient.decode(bytes.buffer)) !== null;
  } catch (error) {
    expect(error).toBeInstanceOf(LayoutError);
    return false;
  }
}

/** Epoch and offset are absent together, and without a key there is no `remove`. */
const together = (name: string): readonly string[] => {
  if (name === 'key') return ['key', 'remove'];
  return name === 'epoch' || name === 'offset' ? ['epoch', 'offset'] : [name];
};

function elementsOf(sample: Sample): Field[] {
  const { elements } = written(sample);
  return elements.map(([name], index) => {
    if (index === 0) return name;
    const without = elements.map(([other, value]) => (together(name).includes(other) ? null : value));
    return isRead(sample, 'msgpack', without) ? `${name}?` : name;
  });
}

function acceptedCounts(sample: Sample): number[] {
  const values = written(sample).elements.map(([, value]) => value);
  // A client accepts longer messages (the rule on growth), so only shorter ones are tried.
  const longest = sample.reader === 'node' ? [...values, null, null] : values;
  const candidates = longest.map((_, index) => index + 1);
  return candidates.filter((count) => isRead(sample, 'msgpack', longest.slice(0, count)));
}

function layoutsOf(sample: Sample): Layouts {
  const elements = elementsOf(sample);
  const counts = acceptedCounts(sample);
  // A rule allows a command to omit elements at its end; a shorter push or reply has its own layout.
  const shorter = sample.reader === 'node' ? [] : counts.slice(0, -1).map((count) => elements.slice(0, count));
  return { elements, counts, shorter };
}

function fieldsOf(sample: Sample): Field[] {
  const { json, elements } = written(sample);
  const names = Object.keys(json).filter((name) => name !== 'type');
  // The tables list the fields in the order of the MessagePack elements; `since` is epoch and offset.
  const order = elements.map(([name]) => (!('epoch' in json) && name === 'epoch' ? 'since' : name));
  names.sort((a, b) => order.indexOf(a) - order.indexOf(b));
  return names.map((name) => {
    const without = Object.fromEntries(Object.entries(json).filter(([other]) => !together(name).includes(other)));
    return isRead(sample, 'json', without) ? `${name}?` : name;
  });
}

type Types = Readonly<Record<string, number>>;

const rowsOf = (types: Types, sampleOf: (type: string) => Sample): Record<string, MessageRow> =>
  Object.fromEntries(
    Object.entries(types).map(([type, number]) => [type, { number: String(number), fields: fieldsOf(sampleOf(type)) }]),
  );

const layoutRowsOf = (types: Types, sampleOf: (type: string) => Sample): Record<string, Layouts> =>
  Object.fromEntries(Object.entries(types).map(([type, number]) => [`${type} ${number}`, layoutsOf(sampleOf(type))]));

/** The error code of both codecs for a command that is one step beyond a limit. */
function refusal(command: OutgoingCommand): string {
  const frames = {
    json: bytesOf(String(jsonClientCodec.encode(command)), 'json'),
    msgpack: msgpackClient.encode(command),
  };
  const codes = (['json', 'msgpack'] as const).map((encoding) =>
    decode(nodeCodecs[encoding], frames[encoding] as Uint8Array).map((outcome) =>
      'error' in outcome ? outcome.error.code : 'taken',
    ),
  );
  expect(codes[0]).toEqual(codes[1]);
  return String(codes[0]);
}

/** The error code of the JSON codec, for a limit that MessagePack does not have. */
function refusalInJson(command: OutgoingCommand): string {
  const outcomes = decode(nodeCodecs.json, bytesOf(String(jsonClientCodec.encode(command)), 'json'));
  return outcomes.map((outcome) => ('error' in outcome ? outcome.error.code : 'taken')).join();
}

function nested(depth: number): unknown {
  let value: unknown = [];
  for (let level = 1; level < depth; level++) value = [value];
  return value;
}

const { connect, subscribe, publish, history, ping } = commandSamples;

/** Limits that the broker enforces with its own settings. Its tests check them. */
const brokerLimits = [
  'time until a request or handshake is whole',
  'frames before a token is accepted',
  'time until a token is accepted',
  'connections of a subject',
  'connections of an address, at a node',
  'connections of a node',
  'handshakes of a node; of one address',
  'publications of a subject',
  'bytes of publications of a subject',
  'other commands of a subject',
  'topics with history that a subject begins',
  'bytes that a subject publishes to topics with history',
  'unread bytes of all connections of a node',
  'frame to a node',
  'subscriptions of a connection',
  'unread bytes of a connection',
  'unreadable commands in a row',
  'errors before a token is accepted',
  'silence of a client',
  '`history` commands of a connection that are unanswered',
  'frame to a client',
  'publications that wait for Redis',
  'history of a topic',
  'age of a history that nobody subscribes to',
  'publications in one reply',
  'time in which a `messageId` is known again',
];

const isBrokers = ([name]: readonly [string, string]): boolean => brokerLimits.includes(name);

const implemented: Spec = {
  commands: rowsOf(commandTypes, commandOf),
  answers: {
    connect: 'connected',
    subscribe: 'subscribed',
    unsubscribe: 'unsubscribed',
    publish: 'published',
    history: 'history',
    refresh: 'refreshed',
    ping: 'pong',
  },
  replies: rowsOf(replyTypes, messageOf),
  pushes: rowsOf(pushTypes, messageOf),
  layouts: {
    ...layoutRowsOf(commandTypes, commandOf),
    ...layoutRowsOf({ ...replyTypes, ...pushTypes }, messageOf),
  },
  errors: Object.fromEntries(
    Object.entries(replyErrors).map(([code, { retryable }]) => [code, retryable ? 'yes' : 'no']),
  ),
  closeCodes: Object.fromEntries(
    Object.entries(closeReasons).map(([name, { code, reason }]) => [String(code), { name, reason }]),
  ),
  limits: {
    topic: `${maxTopicBytes} bytes, ${maxTopicSegments} segments -> ${refusal({ ...subscribe, topic: 'x'.repeat(maxTopicBytes + 1) as Topic })}`,
    '`id`': `${maxCommandId} -> ${refusal({ ...ping, id: maxCommandId + 1 })}`,
    '`messageId`': `${maxMessageIdBytes} bytes -> ${refusal({ ...publish, messageId: 'x'.repeat(maxMessageIdBytes + 1) })}`,
    '`key`': `${maxKeyBytes} bytes -> ${refusal({ ...publish, key: 'x'.repeat(maxKeyBytes + 1) })}`,
    '`token`': `${maxTokenBytes} bytes -> ${refusal({ ...connect, token: 'x'.repeat(maxTokenBytes + 1) })}`,
    '`limit` of `history`': `${maxHistoryLimit} -> ${refusal({ ...history, limit: maxHistoryLimit + 1 })}`,
    'nesting of `data` in JSON': `${maxDataDepth} -> ${refusalInJson({ ...publish, data: nested(maxDataDepth + 1) })}`,
  },
};

/** Without the limits of the broker: the codecs do not enforce them, and only their names are checked here. */
function comparable(spec: Spec): Spec {
  return { ...spec, limits: Object.fromEntries(Object.entries(spec.limits).filter((limit) => !isBrokers(limit))) };
}

const spec = comparable(read(markdown));

describe('section 10 of PROTOCOL.md', () => {
  it('has the status of each error', () => {
    const rows = table(markdown, '10.2', 'code | status').map(([code, status]) => [words(code).join(), Number(status)]);
    expect(rows).toStrictEqual(Object.keys(replyErrors).map((code) => [code, httpStatusOf(code as ReplyErrorCode)]));
  });

  it('has the errors that only requests get', () => {
    const rows = table(markdown, '10.2', 'code | status | retryable').map((row) => [
      words(row[0]).join(),
      ...row.slice(1),
    ]);
    expect(rows).toStrictEqual(
      Object.entries(requestErrors).map(([code, { status, retryable }]) => [
        code,
        `${status}`,
        retryable ? 'yes' : 'no',
      ]),
    );
  });

  it('describes the text of positions', () => {
    expect(positionText({ epoch: 'a-b', offset: 7 })).toBe('a-b-7');
    expect(positionText(null)).toBe('*');
  });
});

describe('the tables of PROTOCOL.md', () => {
  it.each(Object.keys(implemented) as (keyof Spec)[])('match the code for %s', (part) => {
    expect(spec[part]).toStrictEqual(implemented[part]);
  });

  it('list the limits of the broker', () => {
    const names = Object.entries(read(markdown).limits)
      .filter(isBrokers)
      .map(([name]) => name);
    expect(names).toStrictEqual(brokerLimits);
  });

  it('name a reply for each command, and a command for each reply except error', () => {
    const replies = Object.keys(replyTypes).filter((type) => type !== 'error');
    expect(Object.values(spec.answers)).toStrictEqual(replies);
  });

  it('have limits whose exact value is accepted', () => {
    const taken = [
      refusal({ ...subscribe, topic: 'x'.repeat(maxTopicBytes) as Topic }),
      refusal({ ...subscribe, topic: Array(maxTopicSegments).fill('x').join('.') as Topic }),
      refusal({ ...ping, id: maxCommandId }),
      refusal({ ...publish, messageId: 'x'.repeat(maxMessageIdBytes) }),
      refusal({ ...connect, token: 'x'.repeat(maxTokenBytes) }),
      refusal({ ...publish, data: nested(maxDataDepth) }),
      refusal({ ...history, limit: maxHistoryLimit }),
      refusal({ ...history, limit: 1 }),
    ];
    expect(taken).toStrictEqual(Array(taken.length).fill('taken'));
    expect(
      refusal({
        ...subscribe,
        topic: Array(maxTopicSegments + 1)
          .fill('x')
          .join('.') as Topic,
      }),
    ).toBe('invalidTopic');
  });
});

describe('the sentences of PROTOCOL.md', () => {
  const flat = markdown.replace(/\s+/g, ' ');
  it.each([
    ['the path', `at \`GET ${endpointPath}\``],
    ['the binary subprotocol', `\`${subprotocols.msgpack}\` (binary frames)`],
    ['the text subprotocol', `\`${subprotocols.json}\` (text frames)`],
    ['the JSON section', `### 5.1 \`${subprotocols.json}\``],
    ['the MessagePack section', `### 5.2 \`${subprotocols.msgpack}\``],
    ['topics', `at most ${maxTopicBytes} bytes and ${maxTopicSegments} segments`],
    ['epochs', `\`epoch\` (1 to ${maxEpochBytes} characters of`],
    ['ids', `\`id\` is an integer from 1 to ${maxCommandId}`],
    ['message ids', `\`messageId\` (1 to ${maxMessageIdBytes} characters of`],
    ['limits of history', `\`limit\` is an integer from 1 to ${maxHistoryLimit},`],
    ['directions', `\`direction\` is ${historyDirections.map((direction) => `\`${direction}\``).join(' or ')}`],
    ['nesting', `\`data\` may nest ${maxDataDepth} deep`],
    ['undecodable nesting', `nesting deeper than ${maxDataDepth}`],
  ])('have the constant of the code for %s', (_, sentence) => {
    expect(flat).toContain(sentence);
  });

  it('name no other subprotocol of this version', () => {
    const named = new Set(flat.match(/fanfare\.v1\.\w+/g));
    expect([...named].sort()).toStrictEqual(Object.values(subprotocols).sort());
  });

  it('reserve only numbers that no message uses', () => {
    const kept = [...flat.matchAll(/The numbers? ([\d, andto]+) (?:is|are) kept/g)].flatMap(([, list = '']) => {
      const numbers = (list.match(/\d+/g) ?? []).map(Number);
      const [first = 0, last = 0] = numbers;
      return list.includes('to') ? Array.from({ length: last - first + 1 }, (_, index) => first + index) : numbers;
    });
    expect(kept).toStrictEqual([6, 37, 67, 68]);
    const used = [commandTypes, replyTypes, pushTypes].flatMap((types) => Object.values<number>(types));
    expect(used.filter((number) => kept.includes(number))).toStrictEqual([]);
  });

  it('mention only existing error codes and close codes', () => {
    const inTables = new Set([
      ...Object.keys(replyErrors),
      ...Object.values(closeReasons).map(({ code }) => String(code)),
    ]);
    const answered = [...flat.matchAll(/(?:answered|close(?: frame)?) `?(\w+)`?/g)].map((match) => match[1] ?? '');
    const codes = answered.filter(
      (word) => /^4\d{3}$/.test(word) || /^[a-z]+[A-Z]\w+$|^malformed$|^unavailable$/.test(word),
    );
    expect(codes.length).toBeGreaterThan(8);
    expect(codes.filter((code) => !inTables.has(code))).toStrictEqual([]);
    // The ends of the two ranges are not codes themselves.
    const numbers = (flat.match(/\b4\d{3}\b/g) ?? []).filter((number) => !/^4(000|499|999)$/.test(number));
    expect(numbers.filter((number) => !inTables.has(number))).toStrictEqual([]);
  });

  it('promise frames below 16 KiB, which holds for the longest run with the longest head', () => {
    expect(flat).toContain('with several items stays below 16 KiB');
    const longest = { epoch: 'e'.repeat(maxEpochBytes), offset: Number.MAX_SAFE_INTEGER };
    const longestTopic = parseTopic('x'.repeat(maxTopicBytes)) as Topic;
    const bytes = new Uint8Array(maxRunBytes).fill(0xa0);
    nodeCodecs.msgpack.publications(longestTopic, longest, { count: maxRunBytes, bytes, hasKeys: false }, (frame) => {
      expect(frame.length).toBeLessThan(16 * 1024);
    });
  });
});

describe('the sample conversations', () => {
  interface Step {
    readonly client?: object;
    readonly node?: object;
    readonly steps?: readonly Step[];
  }
  const fixture = new URL('fixtures/conversations.json', import.meta.url);
  const { conversations }: { conversations: { name: string; steps: Step[] }[] } = JSON.parse(
    readFileSync(fixture, 'utf8'),
  );

  it('have unique names', () => {
    const names = conversations.map(({ name }) => name);
    expect(names).toStrictEqual([...new Set(names)]);
  });

  it.each(conversations)('consist of messages that the codecs read: $name', ({ steps }) => {
    const all = steps.flatMap((step) => [step, ...(step.steps ?? [])]);
    for (const { client, node } of all) {
      if (node !== undefined) jsonClientCodec.decode(JSON.stringify(node));
      if (client === undefined) continue;
      // `$p` means any messageId.
      const command = JSON.stringify(client).replaceAll('$', '');
      expect(decode(nodeCodecs.json, bytesOf(command, 'json'))).toMatchObject([{ command: {} }]);
    }
  });
});

describe('the comparison with the code fails for a table', () => {
  const lines = markdown.split('\n');
  // The later columns are prose. The golden transcodings check the table of section 2.
  const tables: readonly [heading: string, columns: string, held: number][] = [
    ['4.1', 'type', 4],
    ['4.2', 'type', 3],
    ['4.3', 'type', 3],
    ['5.2', 'message', 2],
    ['6 ', 'code | retryable', 2],
    ['6 ', 'code | name', 3],
    ['7 ', 'limit', 3],
  ];
  const isElsewhere = (row: string): boolean => brokerLimits.some((name) => row.startsWith(`| ${name}`));
  const rows = tables.flatMap(([heading, columns, held]) =>
    rowsBelow(markdown, heading, columns)
      .filter((row) => !isElsewhere(row))
      .map((row) => ({ row, held })),
  );

  const differs = (planted: readonly string[]): boolean =>
    !isDeepStrictEqual(comparable(read(planted.join('\n'))), implemented);

  it('only if the table has a mistake', () => {
    const parts = Object.entries(spec).filter(([part]) => part !== 'answers');
    expect(rows).toHaveLength(parts.flatMap(([, part]) => Object.keys(part)).length);
    expect(differs(lines)).toBe(false);
  });

  it.each(rows)('without the row $row', ({ row }) => {
    expect(differs(lines.filter((line) => line !== row))).toBe(true);
  });

  it.each(rows)('with the row twice: $row', ({ row }) => {
    expect(differs(lines.flatMap((line) => (line === row ? [line, line] : [line])))).toBe(true);
  });

  it.each(rows)('with another number, name or "?" in the row $row', ({ row, held }) => {
    // The text after a semicolon is prose.
    const end =
      row
        .split('|')
        .slice(0, held + 1)
        .join('|')
        .split(';')
        .at(0) ?? '';
    const mistakes = [...end.matchAll(/\d+|(?!or\b)\b[a-z]\w*\??/gi)].map(({ 0: word, index }) => {
      const wrong = /^\d+$/.test(word) ? String(Number(word) + 1) : word.endsWith('?') ? word.slice(0, -1) : `${word}s`;
      return row.slice(0, index) + wrong + row.slice(index + word.length);
    });
    expect(mistakes.length).toBeGreaterThan(1);
    const unnoticed = mistakes.filter((mistake) => !differs(lines.map((line) => (line === row ? mistake : line))));
    expect(unnoticed).toStrictEqual([]);
  });
});
