/** The client's side of `fanfare.v1.json` (PROTOCOL.md section 5). */
import type { ClientCodec } from './client-codec.js';
import { writeJsonData } from './json-data.js';
import { jsonFault } from './json-fault.js';
import type { Item, OutgoingCommand, ServerMessage } from './messages.js';
import type { Position } from './position.js';
import { LayoutError } from './reader.js';
import { type Fields, serverMessages } from './server-messages.js';

type Values = { readonly [field: string]: unknown };

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
    return jsonMessage(parse(frame));
  },
};

/** Like `decode`, for a frame that is parsed already. */
export function jsonMessage(values: Values): ServerMessage | null {
  const fields = new JsonFields(values);
  const type = fields.str('type') as ServerMessage['type'];
  return Object.hasOwn(serverMessages, type) ? serverMessages[type](fields) : null;
}

function parse(frame: string): Values {
  let message: unknown;
  try {
    message = JSON.parse(frame);
  } catch (error) {
    throw new LayoutError(`The frame is not JSON: ${jsonFault(error)}.`);
  }
  if (typeof message === 'object' && message !== null) return message as Values;
  throw new LayoutError('A message is a JSON object.');
}

class JsonFields implements Fields {
  readonly count = 0;
  readonly #values: Values;

  constructor(values: Values) {
    this.#values = values;
  }

  str(name: string): string {
    return this.#typed(name, 'string') as string;
  }

  strOrNull(name: string): string | null {
    return this.#isAbsent(name) ? null : this.str(name);
  }

  uint(name: string): number {
    return this.#typed(name, 'number') as number;
  }

  uintOrNull(name: string): number | null {
    return this.#isAbsent(name) ? null : this.uint(name);
  }

  boolean(name: string): boolean {
    return this.#typed(name, 'boolean') as boolean;
  }

  position(): Position | null {
    return this.#isAbsent('epoch') ? null : { epoch: this.str('epoch'), offset: this.uint('offset') };
  }

  items(name: string): readonly Item[] {
    const items = this.#values[name];
    if (!Array.isArray(items)) throw new LayoutError(`"${name}" must be an array.`);
    for (const item of items) {
      if (item?.data === undefined && item?.error === undefined) {
        throw new LayoutError('An item has neither "data" nor "error".');
      }
      if (typeof (item.key ?? '') !== 'string') throw new LayoutError('"key" must be a string.');
    }
    return items;
  }

  #isAbsent(name: string): boolean {
    return (this.#values[name] ?? null) === null;
  }

  #typed(name: string, type: string): unknown {
    const value = this.#values[name];
    if (typeof value !== type) throw new LayoutError(`"${name}" must be a ${type}.`);
    return value;
  }
}
