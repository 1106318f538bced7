/** How a client decodes frames from a node. */
import { createMsgpackData } from '@fanfare/client/internal/msgpack-data';
import {
  type ClientCodec,
  JsonWriter,
  jsonClientCodec,
  LayoutError,
  MsgpackClientCodec,
  pushTypes,
  replyTypes,
  type ServerMessage,
  writeAsJson,
} from '@fanfare/protocol';
import { Finding, hold, holdEqual, holdSentence, list, type Target, textOf } from '../target.js';
import { goldenData, goldenFrames } from './golden.js';

const data = createMsgpackData();
const msgpackClient = new MsgpackClientCodec(data);
const types = new Set([...Object.keys(replyTypes), ...Object.keys(pushTypes)]);

function decode(codec: ClientCodec, frame: string | ArrayBuffer): ServerMessage | null {
  try {
    const message = codec.decode(frame);
    if (message !== null) hold(types.has(message.type), () => `The type is ${message.type}.`);
    return message;
  } catch (error) {
    if (!(error instanceof LayoutError)) throw error;
    holdSentence(error.message);
    return null;
  }
}

export const clientMsgpack: Target = {
  about: 'MessagePack frames to a client',
  seeds: goldenFrames('from node', 'msgpack'),
  words: ['news', 'undecodable', 'e1'],
  files: ['protocol/dist/msgpack-client-codec', 'protocol/dist/server-messages', 'client/dist/msgpack-reader'],
  maxBytes: 65_536,
  run(input) {
    const message = decode(msgpackClient, Uint8Array.from(input).buffer);
    if (message === null) return;
    if ('items' in message) hold(message.items.length <= input.length, () => `${message.items.length} items.`);
    if ('items' in message || 'publications' in message) return;
    // The JSON that the node would have written for the same message.
    const { position, ...fields } = { position: null, ...message };
    const text = JSON.stringify({ ...fields, ...position }, (_name, value) => value ?? undefined);
    const other = decode(jsonClientCodec, text);
    holdEqual(sorted(other), sorted(message), 'The encodings disagree');
  },
};

export const clientJson: Target = {
  about: 'JSON frames to a client',
  seeds: goldenFrames('from node', 'json'),
  words: [
    ...[...types].map((type) => `"${type}"`),
    ...list('"type": "items":[ {"data":1} {"error":"undecodable"} "epoch":"e" "offset": "recovered":true'),
    ...list(
      '"publications":[] "code": "message": "retryable": "retryAfterMs": "delayMs": null "__proto__": "toString"',
    ),
  ],
  files: ['protocol/dist/json-client-codec', 'protocol/dist/server-messages'],
  maxBytes: 65_536,
  run(input) {
    decode(jsonClientCodec, textOf(input));
  },
};

export const clientData: Target = {
  about: 'MessagePack data of publications, at a client and on the way to JSON',
  seeds: goldenData(),
  words: ['__proto__', Uint8Array.of(0xd6, 0xff), Uint8Array.of(0xd7, 0xff), Uint8Array.of(0xc7, 12, 0xff)],
  files: ['protocol/dist/transcode', 'client/dist/msgpack-reader'],
  maxBytes: 65_536,
  run(input) {
    let value: unknown;
    let refused: Error | null = null;
    try {
      value = data.decode(input);
    } catch (error) {
      // The error then stands for the whole item. But a stack overflow is a finding: the depth must be checked first.
      if (!(error instanceof Error) || error instanceof RangeError) throw error;
      refused = error;
    }
    const text = transcode(input);
    if (text === null) return;
    if (refused !== null)
      throw new Finding(`A JSON subscriber gets it, a MessagePack one does not: ${refused.message}`);
    const shown = JSON.stringify(value, (_name, inner) => (typeof inner === 'bigint' ? `${inner}` : inner));
    hold(shown !== undefined, () => 'It became undefined.');
  },
};

const before = Uint8Array.of(0x5b, 0x31, 0x2c);

/** The JSON text that a JSON subscriber gets; null if it gets `undecodable`. */
function transcode(input: Uint8Array): string | null {
  const writer = new JsonWriter(16);
  writer.copy(before);
  if (!writeAsJson(writer, { encoding: 'msgpack', bytes: input, start: 0, end: input.length })) {
    hold(Buffer.compare(writer.view(), before) === 0, () => 'The refused input left bytes in the output.');
    return null;
  }
  const bytes = writer.view().subarray(before.length);
  hold(bytes.length <= 6 * input.length + 32, () => `${input.length} bytes became ${bytes.length}.`);
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    JSON.parse(text);
    return text;
  } catch (error) {
    throw new Finding(`The data for a JSON subscriber is not JSON: ${(error as Error).message}`);
  }
}

function sorted(message: object | null): unknown {
  return message && Object.entries(message).toSorted(([a], [b]) => (a < b ? -1 : 1));
}
