/** The client's side of `fanfare.v1.json` (PROTOCOL.md section 5). */
import type { ClientCodec } from './client-codec.js';
import type { ReplyErrorCode } from './errors.js';
import { impossible } from './impossible.js';
import type { CommandId, Item, OutgoingCommand, ServerMessage } from './messages.js';
import type { Position } from './position.js';
import { LayoutError } from './reader.js';

type Fields = { readonly [field: string]: unknown };

export const jsonClientCodec: ClientCodec = {
  encoding: 'json',

  encode(command: OutgoingCommand): string {
    const { type } = command;
    // Absent and null mean the same to a node; absent is shorter.
    const id = command.id ?? undefined;
    switch (type) {
      case 'connect':
        return JSON.stringify({ type, id, token: command.token ?? undefined });
      case 'subscribe':
        return JSON.stringify({ type, id, topic: command.topic, since: command.since ?? undefined });
      case 'unsubscribe':
        return JSON.stringify({ type, id, topic: command.topic });
      case 'publish': {
        const data = JSON.stringify(command.data);
        if (data === undefined) throw new TypeError(`JSON has no form for data that is a ${typeof command.data}.`);
        const head = JSON.stringify({ type, id, topic: command.topic, messageId: command.messageId ?? undefined });
        return `${head.slice(0, -1)},"data":${data}}`;
      }
      case 'ping':
        return JSON.stringify({ type, id });
      default:
        return impossible(command);
    }
  },

  join(encoded: readonly (string | Uint8Array)[]): string {
    return encoded.length === 1 ? String(encoded[0]) : `[${encoded.join(',')}]`;
  },

  decode(frame: string | ArrayBuffer): ServerMessage | null {
    if (typeof frame !== 'string') throw new LayoutError('A binary frame came on a connection that speaks JSON.');
    const message = parse(frame);
    switch (message['type']) {
      case 'publications': {
        const [topic, position, items] = [stringOf(message, 'topic'), positionOf(message), itemsOf(message, 'items')];
        return { type: 'publications', topic, position, items };
      }
      case 'gap':
        return { type: 'gap', topic: stringOf(message, 'topic') };
      case 'published':
        return { type: 'published', id: idOf(message), position: positionOf(message) };
      case 'subscribed':
        return {
          type: 'subscribed',
          id: idOf(message),
          topic: stringOf(message, 'topic'),
          position: positionOf(message),
          recovered: booleanOf(message, 'recovered'),
          publications: itemsOf(message, 'publications'),
        };
      case 'unsubscribed':
        return { type: 'unsubscribed', id: idOf(message), topic: stringOf(message, 'topic') };
      case 'pong':
        return { type: 'pong', id: idOf(message) };
      case 'connected':
        return {
          type: 'connected',
          id: idOf(message),
          node: stringOf(message, 'node'),
          pingIntervalMs: numberOf(message, 'pingIntervalMs'),
          maxFrameBytes: numberOf(message, 'maxFrameBytes'),
        };
      case 'error':
        return {
          type: 'error',
          id: idOf(message),
          // A code of a newer node is passed on as it is; `retryable` says how to treat it.
          code: stringOf(message, 'code') as ReplyErrorCode,
          message: stringOf(message, 'message'),
          retryable: booleanOf(message, 'retryable'),
        };
      default:
        stringOf(message, 'type');
        return null;
    }
  },
};

function parse(frame: string): Fields {
  let message: unknown;
  try {
    message = JSON.parse(frame);
  } catch (error) {
    throw new LayoutError(`The frame is not JSON: ${(error as Error).message}`);
  }
  if (!isFields(message)) throw new LayoutError('A message is a JSON object.');
  return message;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function stringOf(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value === 'string') return value;
  throw new LayoutError(`"${name}" must be a string.`);
}

function numberOf(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value === 'number') return value;
  throw new LayoutError(`"${name}" must be a number.`);
}

function booleanOf(fields: Fields, name: string): boolean {
  const value = fields[name];
  if (typeof value === 'boolean') return value;
  throw new LayoutError(`"${name}" must be a boolean.`);
}

function idOf(message: Fields): CommandId {
  return (message['id'] ?? null) === null ? null : numberOf(message, 'id');
}

function positionOf(message: Fields): Position | null {
  if ((message['epoch'] ?? null) === null) return null;
  return { epoch: stringOf(message, 'epoch'), offset: numberOf(message, 'offset') };
}

function itemsOf(message: Fields, name: string): Item[] {
  const items = message[name];
  if (Array.isArray(items)) return items.map(itemOf);
  throw new LayoutError(`"${name}" must be an array.`);
}

function itemOf(item: unknown): Item {
  if (isFields(item) && item['error'] !== undefined) return { error: 'undecodable' };
  if (isFields(item) && item['data'] !== undefined) return { data: item['data'] };
  throw new LayoutError('An item has neither "data" nor "error".');
}
