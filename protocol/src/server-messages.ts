/** The messages that a client reads, as one table for both encodings (PROTOCOL.md section 4). */
import type { ReplyErrorCode } from './errors.js';
import type { Item, ServerMessage } from './messages.js';
import type { Position } from './position.js';
import { LayoutError } from './reader.js';

/**
 * Takes the fields of one message: in MessagePack the next element, in JSON the field with this name. Throws
 * `LayoutError` if the field is absent or has another type.
 */
export interface Fields {
  /** Elements of a MessagePack message, the type included; 0 in JSON. */
  readonly count: number;
  str(name: string): string;
  strOrNull(name: string): string | null;
  uint(name: string): number;
  uintOrNull(name: string): number | null;
  boolean(name: string): boolean;
  position(): Position | null;
  /** `end`: the number of elements in a message that ends behind these publications; keys may follow. */
  items(name: string, end: number): readonly Item[];
}

type Messages = {
  readonly [Type in ServerMessage['type']]: (fields: Fields) => ServerMessage & { readonly type: Type };
};

/** How each message is read. The fields are in the order of MessagePack. */
export const serverMessages: Messages = {
  publications: (fields) => ({
    type: 'publications',
    topic: fields.str('topic'),
    position: fields.position(),
    items: fields.items('items', 5),
  }),
  gap: (fields) => ({
    type: 'gap',
    topic: fields.str('topic'),
    position: fields.count === 2 ? null : fields.position(),
  }),
  reset: (fields) => ({ type: 'reset', topic: fields.str('topic'), position: present(fields.position()) }),
  goaway: (fields) => ({ type: 'goaway', delayMs: fields.uint('delayMs') }),
  published: (fields) => ({ type: 'published', id: fields.uintOrNull('id'), position: fields.position() }),
  subscribed: (fields) => ({
    type: 'subscribed',
    id: fields.uintOrNull('id'),
    topic: fields.str('topic'),
    position: fields.position(),
    recovered: fields.boolean('recovered'),
    publications: fields.items('publications', 7),
  }),
  history: (fields) => ({
    type: 'history',
    id: fields.uintOrNull('id'),
    topic: fields.str('topic'),
    position: present(fields.position()),
    recovered: fields.boolean('recovered'),
    first: fields.uintOrNull('first'),
    publications: fields.items('publications', 8),
  }),
  unsubscribed: (fields) => ({
    type: 'unsubscribed',
    id: fields.uintOrNull('id'),
    topic: fields.str('topic'),
    code: fields.count === 3 ? null : (fields.strOrNull('code') as ReplyErrorCode | null),
    message: fields.count === 3 ? null : fields.strOrNull('message'),
  }),
  refreshed: (fields) => ({
    type: 'refreshed',
    id: fields.uintOrNull('id'),
    expiresInMs: fields.uintOrNull('expiresInMs'),
  }),
  pong: (fields) => ({ type: 'pong', id: fields.uintOrNull('id') }),
  connected: (fields) => ({
    type: 'connected',
    id: fields.uintOrNull('id'),
    node: fields.str('node'),
    pingIntervalMs: fields.uint('pingIntervalMs'),
    maxFrameBytes: fields.uint('maxFrameBytes'),
    expiresInMs: fields.count === 5 ? null : fields.uintOrNull('expiresInMs'),
  }),
  error: (fields) => ({
    type: 'error',
    id: fields.uintOrNull('id'),
    // A newer node may send an unknown code. Pass it on: `retryable` decides how to handle it.
    code: fields.str('code') as ReplyErrorCode,
    message: fields.str('message'),
    retryable: fields.boolean('retryable'),
    retryAfterMs: fields.count === 5 ? null : fields.uintOrNull('retryAfterMs'),
  }),
};

function present(position: Position | null): Position {
  if (position !== null) return position;
  throw new LayoutError('The position is missing.');
}
