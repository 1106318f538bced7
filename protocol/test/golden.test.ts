import { Unpackr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import {
  commandTypes,
  emptyRun,
  type Item,
  JsonWriter,
  jsonClientCodec,
  MsgpackClientCodec,
  type NodeCodec,
  pushTypes,
  type Run,
  replyTypes,
  writeAsJson,
  writeItem,
} from '../src/index.js';
import {
  answers,
  bytesOf,
  data,
  decode,
  encodeOnNode,
  fromNode,
  golden,
  hexOf,
  neutral,
  nodeCodecs,
  outgoing,
  packr,
  payload,
  received,
  several,
  textOf,
  toNode,
} from './golden.js';

const msgpackClient = new MsgpackClientCodec(data);
const compact = (hex: string): string => hex.replaceAll(' ', '');

/** `data` of a publish and the items of a push stay bytes here: only the envelope is compared. */
const envelopes = new Unpackr({ useRecords: false, int64AsType: 'number' });

function position(position: { epoch: string; offset: number } | null): unknown[] {
  return position === null ? [null, null] : [position.epoch, position.offset];
}

/** The array of PROTOCOL.md section 5.2 for the neutral message; items are checked as values. */
function commandArray(command: ReturnType<typeof outgoing>[number]): unknown[] {
  const { type, id } = command;
  const number = commandTypes[type];
  switch (type) {
    case 'connect':
      return [number, id, command.token];
    case 'subscribe':
      return [number, id, command.topic, ...(command.since === null ? [] : position(command.since))];
    case 'unsubscribe':
      return [number, id, command.topic];
    case 'publish': {
      const { messageId, repeat, key, remove } = command;
      const options = [messageId, repeat ?? false, key ?? null, remove ?? false];
      const last = options.findLastIndex((option) => option !== null && option !== false);
      return [number, id, command.topic, command.data, ...options.slice(0, last + 1)];
    }
    case 'history':
      return [number, id, command.topic, ...position(command.since), command.limit, command.direction];
    case 'refresh':
      return [number, id, command.token];
    case 'ping':
      return [number, id];
  }
}

function messageArray(message: ReturnType<typeof received>): unknown[] {
  switch (message.type) {
    case 'connected': {
      const { id, node, pingIntervalMs, maxFrameBytes, expiresInMs } = message;
      return [replyTypes.connected, id, node, pingIntervalMs, maxFrameBytes, expiresInMs];
    }
    case 'subscribed': {
      const { id, topic, recovered, publications } = message;
      return [replyTypes.subscribed, id, topic, ...position(message.position), recovered, ...lists(publications)];
    }
    case 'history': {
      const { id, topic, recovered, first, publications } = message;
      return [replyTypes.history, id, topic, ...position(message.position), recovered, first, ...lists(publications)];
    }
    case 'unsubscribed':
      return [replyTypes.unsubscribed, message.id, message.topic, message.code, message.message];
    case 'published':
      return [replyTypes.published, message.id, ...position(message.position)];
    case 'refreshed':
      return [replyTypes.refreshed, message.id, message.expiresInMs];
    case 'pong':
      return [replyTypes.pong, message.id];
    case 'error': {
      const { id, code, message: text, retryable, retryAfterMs } = message;
      return [replyTypes.error, id, code, text, retryable, ...(retryAfterMs === null ? [] : [retryAfterMs])];
    }
    case 'publications':
      return [pushTypes.publications, message.topic, ...position(message.position), ...lists(message.items)];
    case 'gap':
      return [pushTypes.gap, message.topic, ...position(message.position)];
    case 'reset':
      return [pushTypes.reset, message.topic, ...position(message.position)];
    case 'goaway':
      return [pushTypes.goaway, message.delayMs];
  }
}

/** The last elements of a message: the items without keys, the keys, and the places of items with `remove`. */
function lists(items: readonly Item[]): unknown[] {
  const keys = items.map(({ key }) => key ?? null);
  const removed = [...items.keys()].filter((place) => items[place]?.remove === true);
  const bare = items.map(({ key: _key, remove: _remove, ...content }) => content);
  if (keys.every((key) => key === null)) return [bare];
  return removed.length === 0 ? [bare, keys] : [bare, keys, removed];
}

/** The value of an item as msgpackr returns it: a string is JSON text, bytes are MessagePack. */
function item(value: unknown): unknown {
  try {
    return { data: typeof value === 'string' ? JSON.parse(value) : packr.unpack(value as Uint8Array) };
  } catch {
    return { error: 'undecodable' };
  }
}

/** The publications of a golden frame as the node stores them. msgpackr extracts them from the frame. */
function runOf(msgpack: string): Run {
  const elements = envelopes.unpack(bytesOf(msgpack)) as unknown[];
  const [items = [], keys, removed = []] = elements.filter(Array.isArray) as [
    items?: (string | Uint8Array)[],
    keys?: (string | null)[],
    removed?: number[],
  ];
  const writer = new JsonWriter();
  for (const [place, value] of items.entries()) {
    const made = typeof value === 'string' ? payload(new TextEncoder().encode(value), 'json') : payload(value);
    writeItem(writer, { ...made, key: keys?.[place] ?? null, remove: removed.includes(place) });
  }
  return { count: items.length, bytes: writer.toBytes(), hasKeys: keys !== undefined };
}

function written(codec: NodeCodec, frame: (typeof fromNode)[number]): (string | Uint8Array)[] {
  const message = received(frame);
  const hasRun = 'items' in message || 'publications' in message;
  return encodeOnNode(codec, message, hasRun ? runOf(frame.msgpack) : emptyRun);
}

describe('golden commands', () => {
  it.each(toNode)('$name: a client writes it as JSON', (frame) => {
    expect(jsonClientCodec.join(outgoing(frame).map((command) => jsonClientCodec.encode(command)))).toBe(frame.json);
  });

  it.each(toNode)('$name: a client writes it as MessagePack', (frame) => {
    const written = msgpackClient.join(outgoing(frame).map((command) => msgpackClient.encode(command)));
    expect(hexOf(written)).toBe(compact(frame.msgpack));
  });

  it.each(toNode)('$name: a node reads it', (frame) => {
    const expected = several(frame.message).map((command) => ({ command }));
    expect(answers(decode(nodeCodecs.json, bytesOf(frame.json, 'json')))).toStrictEqual(expected);
    expect(answers(decode(nodeCodecs.msgpack, bytesOf(frame.msgpack)))).toStrictEqual(expected);
  });

  it.each(toNode)('$name: msgpackr reads the envelope that PROTOCOL.md describes', (frame) => {
    const arrays = envelopes.unpackMultiple(bytesOf(frame.msgpack)) as unknown[][];
    const read = arrays.map((array) =>
      array[0] === commandTypes.publish ? array.with(3, unpackBin(array[3])) : array,
    );
    expect(read).toStrictEqual(outgoing(frame).map(commandArray));
  });
});

function unpackBin(value: unknown): unknown {
  expect(value).toBeInstanceOf(Uint8Array);
  return packr.unpack(value as Uint8Array);
}

describe('golden replies and pushes', () => {
  it.each(fromNode)('$name: a node writes it as JSON', (frame) => {
    expect(written(nodeCodecs.json, frame).map(textOf)).toStrictEqual([frame.json]);
  });

  it.each(fromNode)('$name: a node writes it as MessagePack', (frame) => {
    expect(written(nodeCodecs.msgpack, frame).map(hexOf)).toStrictEqual([compact(frame.msgpack)]);
  });

  it.each(fromNode)('$name: a client reads it', (frame) => {
    expect(jsonClientCodec.decode(frame.json)).toStrictEqual(frame.message);
    expect(msgpackClient.decode(bytesOf(frame.msgpack).buffer)).toStrictEqual(frame.message);
  });

  it.each(fromNode)('$name: msgpackr reads the envelope that PROTOCOL.md describes', (frame) => {
    const array = envelopes.unpack(bytesOf(frame.msgpack)) as unknown[];
    const place = array.findIndex(Array.isArray);
    expect(place < 0 ? array : array.with(place, several(array[place]).map(item))).toStrictEqual(
      messageArray(received(frame)),
    );
  });
});

describe('golden variants', () => {
  const read = golden.variants.filter((variant) => variant.direction === 'to node');
  it.each(read)('a node understands $encoding: $name', ({ encoding, frame, message }) => {
    const outcomes = decode(nodeCodecs[encoding], bytesOf(frame, encoding));
    expect(outcomes.map((outcome) => ('command' in outcome ? neutral(outcome.command) : outcome))).toStrictEqual(
      several(message),
    );
  });

  const received = golden.variants.filter((variant) => variant.direction === 'from node');
  it.each(received)('a client understands $encoding: $name', ({ encoding, frame, message }) => {
    const decoded = encoding === 'json' ? jsonClientCodec.decode(frame) : msgpackClient.decode(bytesOf(frame).buffer);
    expect(decoded).toStrictEqual(message);
  });
});

describe('golden malformed frames', () => {
  it.each(golden.malformed)('a node answers $encoding: $name', ({ encoding, frame, answers: expected }) => {
    expect(answers(decode(nodeCodecs[encoding], bytesOf(frame, encoding)))).toStrictEqual(expected);
  });
});

describe('golden data', () => {
  it.each(golden.transcoding)('is transcoded from MessagePack to JSON: $name', ({ msgpack, json }) => {
    const writer = new JsonWriter();
    writer.ascii('before');
    // Data has other bytes around it in a frame: the codec must stop at the end of the data.
    const bytes = bytesOf(`c3c3${msgpack}c3c3`);
    const isDone = writeAsJson(writer, { encoding: 'msgpack', bytes, start: 2, end: bytes.length - 2 });
    expect(textOf(writer.view())).toBe(`before${isDone ? json : ''}`);
    expect(isDone).toBe(json !== '{"error":"undecodable"}');
    if (isDone) JSON.parse(json);
  });
});

describe('the golden file', () => {
  it('has every command, reply and push', () => {
    const typesOf = (frames: typeof golden.frames): string[] => [
      ...new Set(frames.flatMap(({ message }) => several<{ type: string }>(message)).map(({ type }) => type)),
    ];
    expect(typesOf(toNode).sort()).toStrictEqual(Object.keys(commandTypes).sort());
    expect(typesOf(fromNode).sort()).toStrictEqual(Object.keys({ ...replyTypes, ...pushTypes }).sort());
  });

  it('has unique names in each section', () => {
    for (const section of [golden.frames, golden.variants, golden.malformed, golden.transcoding]) {
      const names = section.map(
        (entry) =>
          `${'encoding' in entry ? entry.encoding : ''}${'direction' in entry ? entry.direction : ''}: ${entry.name}`,
      );
      expect(new Set(names).size).toBe(names.length);
    }
  });
});
