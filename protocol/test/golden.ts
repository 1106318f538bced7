/** The golden frames (fixtures/README.md), and the messages of our codecs in neutral form. */
import { readFileSync } from 'node:fs';
import { Packr } from 'msgpackr';
import {
  type Command,
  type CommandError,
  type DataCodec,
  JsonNodeCodec,
  type KeyedPayload,
  MsgpackNodeCodec,
  type NodeCodec,
  type OutgoingCommand,
  parseTopic,
  type Run,
  type ServerMessage,
  type Topic,
} from '../src/index.js';

interface GoldenFrame {
  readonly name: string;
  readonly direction: 'to node' | 'from node';
  readonly message: unknown;
  readonly json: string;
  readonly msgpack: string;
}

interface GoldenVariant {
  readonly name: string;
  readonly direction: 'to node' | 'from node';
  readonly encoding: 'json' | 'msgpack';
  readonly message: unknown;
  readonly frame: string;
}

type Answer = { readonly command: unknown } | { readonly code: string; readonly id: number | null };

interface GoldenMalformed {
  readonly name: string;
  readonly encoding: 'json' | 'msgpack';
  readonly frame: string;
  readonly answers: readonly Answer[];
}

interface GoldenTranscoding {
  readonly name: string;
  readonly msgpack: string;
  readonly json: string;
}

interface Golden {
  readonly protocolVersion: number;
  readonly frames: readonly GoldenFrame[];
  readonly variants: readonly GoldenVariant[];
  readonly malformed: readonly GoldenMalformed[];
  readonly transcoding: readonly GoldenTranscoding[];
}

export const golden: Golden = JSON.parse(readFileSync(new URL('fixtures/golden.json', import.meta.url), 'utf8'));

export const toNode = golden.frames.filter((frame) => frame.direction === 'to node');
export const fromNode = golden.frames.filter((frame) => frame.direction === 'from node');

/** One message or several, as an array. */
export function several<T>(message: unknown): T[] {
  return (Array.isArray(message) ? message : [message]) as T[];
}

export const outgoing = (frame: GoldenFrame): OutgoingCommand[] => several(frame.message);
export const received = (frame: GoldenFrame): ServerMessage => frame.message as ServerMessage;

/** Bytes in their own ArrayBuffer, not in a pool: a client reads the whole ArrayBuffer. */
export function bytesOf(frame: string, encoding: 'json' | 'msgpack' = 'msgpack'): Uint8Array<ArrayBuffer> {
  return encoding === 'json'
    ? new TextEncoder().encode(frame)
    : Uint8Array.from(Buffer.from(frame.replaceAll(' ', ''), 'hex'));
}

export function hexOf(bytes: Uint8Array | string): string {
  return Buffer.from(bytes as Uint8Array).toString('hex');
}

export function textOf(bytes: Uint8Array | string): string {
  return typeof bytes === 'string' ? bytes : new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

/** An independent implementation of MessagePack. */
export const packr = new Packr({ useRecords: false, variableMapSize: true, int64AsType: 'number' });
export const data: DataCodec = {
  encode: (value) => packr.pack(value),
  decode: (bytes) => packr.unpack(bytes),
};

export function payload(bytes: Uint8Array, encoding: 'json' | 'msgpack' = 'msgpack'): KeyedPayload {
  return { encoding, bytes, start: 0, end: bytes.length, key: null, remove: false };
}

export const nodeCodecs = { json: new JsonNodeCodec(), msgpack: new MsgpackNodeCodec() };

function topicOf(text: string): Topic {
  const topic = parseTopic(text);
  if (topic === null) throw new Error(`${text} is not a valid topic.`);
  return topic;
}

/** The frames of a node for a message, each a copy. `run` has the publications in stored form. */
export function encodeOnNode(codec: NodeCodec, message: ServerMessage, run: Run): (string | Uint8Array<ArrayBuffer>)[] {
  const frames: (string | Uint8Array<ArrayBuffer>)[] = [];
  const take = (frame: string | Uint8Array): void => {
    frames.push(typeof frame === 'string' ? frame : Uint8Array.from(frame));
  };
  switch (message.type) {
    case 'publications':
      codec.publications(topicOf(message.topic), message.position, run, take);
      break;
    case 'gap':
      take(codec.gap(topicOf(message.topic), message.position));
      break;
    case 'reset':
      take(codec.reset(topicOf(message.topic), message.position));
      break;
    case 'goaway':
      take(codec.goaway(message.delayMs));
      break;
    case 'subscribed':
      take(codec.reply({ ...message, publications: run }));
      break;
    case 'history':
      take(codec.reply({ ...message, publications: run }));
      break;
    default:
      take(codec.reply(message));
  }
  return frames;
}

type Outcome = { command: Command } | { error: CommandError };

/** The commands and errors that a node reads from a frame. */
export function decode(codec: NodeCodec, frame: Uint8Array): Outcome[] {
  const outcomes: Outcome[] = [];
  codec.decode(frame, {
    isOver: false,
    onCommand: (command) => outcomes.push({ command }),
    onCommandError: (error) => outcomes.push({ error }),
  });
  return outcomes;
}

/** Outcomes in the form of `answers` in the golden file. */
export function answers(outcomes: readonly Outcome[]): Answer[] {
  return outcomes.map((outcome) =>
    'command' in outcome ? { command: neutral(outcome.command) } : { code: outcome.error.code, id: outcome.error.id },
  );
}

/** A command with its data as a value. */
export function neutral(command: Command): unknown {
  if (command.type !== 'publish') return command;
  const { type, id, topic, messageId, repeat, key, remove, encoding } = command;
  const bytes = command.bytes.slice(command.start, command.end);
  const value = encoding === 'json' ? JSON.parse(textOf(bytes)) : packr.unpack(bytes);
  const options = { ...(repeat && { repeat }), ...(key !== null && { key }), ...(remove && { remove }) };
  return { type, id, topic, data: value, messageId, ...options };
}
