/** The client's side of `fanfare.v1.json` (PROTOCOL.md section 5). */
import type { ClientCodec } from './client-codec.js';
import { writeJsonData } from './json-data.js';
import { jsonFault } from './json-fault.js';
import type { Item, OutgoingCommand, ServerMessage } from './messages.js';
import type { Position } from './position.js';
import { LayoutError } from './reader.js';

type Fields = { readonly [field: string]: unknown };

/** The fields of each message that a client knows (PROTOCOL.md section 4), read with {@link readers}. */
const layouts: Readonly<Record<ServerMessage['type'], readonly (keyof typeof readers)[]>> = {
  publications: ['topic', 'position', 'items'],
  gap: ['topic', 'position'],
  reset: ['topic', 'position'],
  goaway: ['delayMs'],
  published: ['id', 'position'],
  subscribed: ['id', 'topic', 'position', 'recovered', 'publications'],
  history: ['id', 'topic', 'position', 'recovered', 'first', 'publications'],
  unsubscribed: ['id', 'topic', 'code', 'message'],
  refreshed: ['id', 'expiresInMs'],
  pong: ['id'],
  connected: ['id', 'node', 'pingIntervalMs', 'maxFrameBytes', 'expiresInMs'],
  // A newer node may send an unknown code. Pass it on: `retryable` decides how to handle it.
  error: ['id', 'code', 'message', 'retryable', 'retryAfterMs'],
};

/** Texts that are required in these messages and optional in others. */
const required: { readonly [Type in ServerMessage['type']]?: readonly string[] } = {
  reset: ['epoch'],
  history: ['epoch'],
  error: ['code', 'message'],
};

const readers = {
  id: optionalNumber,
  first: optionalNumber,
  topic: string,
  node: string,
  expiresInMs: optionalNumber,
  retryAfterMs: optionalNumber,
  code: optionalString,
  message: optionalString,
  pingIntervalMs: number,
  maxFrameBytes: number,
  delayMs: number,
  recovered: boolean,
  retryable: boolean,
  position: (message: Fields): Position | null =>
    (message['epoch'] ?? null) === null ? null : { epoch: string(message, 'epoch'), offset: number(message, 'offset') },
  items,
  publications: items,
} as const;

export const jsonClientCodec: ClientCodec = {
  encoding: 'json',

  encode(command: OutgoingCommand): string {
    // Absent and null mean the same to a node, except in data; absent is shorter.
    const head = JSON.stringify(
      { ...command, data: undefined, repeat: undefined },
      (_name, value) => value ?? undefined,
    );
    if (command.type !== 'publish') return head;
    const data = writeJsonData(command.data);
    return `${head.slice(0, -1)},"data":${data}${command.repeat === true ? ',"repeat":true' : ''}}`;
  },

  repeat(encoded: string | Uint8Array): string {
    return `${String(encoded).slice(0, -1)},"repeat":true}`;
  },

  join(encoded: readonly (string | Uint8Array)[]): string {
    return encoded.length === 1 ? String(encoded[0]) : `[${encoded.join(',')}]`;
  },

  decode(frame: string | ArrayBuffer): ServerMessage | null {
    if (typeof frame !== 'string') throw new LayoutError('Received a binary frame on a JSON connection.');
    const fields = parse(frame);
    const type = string(fields, 'type');
    if (!Object.hasOwn(layouts, type)) return null;
    const message: Record<string, unknown> = { type };
    for (const name of required[type as ServerMessage['type']] ?? []) string(fields, name);
    for (const name of layouts[type as ServerMessage['type']]) message[name] = readers[name](fields, name);
    return message as unknown as ServerMessage;
  },
};

function parse(frame: string): Fields {
  let message: unknown;
  try {
    message = JSON.parse(frame);
  } catch (error) {
    throw new LayoutError(`The frame is not JSON: ${jsonFault(error)}.`);
  }
  if (typeof message === 'object' && message !== null) return message as Fields;
  throw new LayoutError('A message is a JSON object.');
}

function string(fields: Fields, name: string): string {
  return field(fields, name, 'string') as string;
}

function number(fields: Fields, name: string): number {
  return field(fields, name, 'number') as number;
}

function optionalNumber(fields: Fields, name: string): number | null {
  return (fields[name] ?? null) === null ? null : number(fields, name);
}

function optionalString(fields: Fields, name: string): string | null {
  return (fields[name] ?? null) === null ? null : string(fields, name);
}

function boolean(fields: Fields, name: string): boolean {
  return field(fields, name, 'boolean') as boolean;
}

function field(fields: Fields, name: string, type: string): unknown {
  const value = fields[name];
  if (typeof value !== type) throw new LayoutError(`"${name}" must be a ${type}.`);
  return value;
}

function items(fields: Fields, name: string): readonly Item[] {
  const value = fields[name];
  if (!Array.isArray(value)) throw new LayoutError(`"${name}" must be an array.`);
  for (const item of value) {
    if (item?.data === undefined && item?.error === undefined) {
      throw new LayoutError('An item has neither "data" nor "error".');
    }
  }
  return value;
}
