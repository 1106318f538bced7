/** The client's side of `fanfare.v1.json` (PROTOCOL.md section 5). */
import type { ClientCodec } from './client-codec.js';
import type { Item, OutgoingCommand, ServerMessage } from './messages.js';
import type { Position } from './position.js';
import { LayoutError } from './reader.js';

/** A message as JSON carries it: what may be absent is optional, and a position is two fields. */
interface JsonMessage {
  readonly type?: unknown;
  readonly id?: number;
  readonly epoch?: string;
  readonly offset?: number;
  readonly items?: readonly Item[];
  readonly publications?: readonly Item[];
}

export const jsonClientCodec: ClientCodec = {
  encoding: 'json',

  encode(command: OutgoingCommand): string {
    // Absent and null mean the same to a node; absent is shorter.
    const id = command.id ?? undefined;
    switch (command.type) {
      case 'connect':
        return JSON.stringify({ type: command.type, id, token: command.token ?? undefined });
      case 'subscribe':
        return JSON.stringify({ type: command.type, id, topic: command.topic, since: command.since ?? undefined });
      case 'publish': {
        const { type, topic, data } = command;
        return JSON.stringify({ type, id, topic, data, messageId: command.messageId ?? undefined });
      }
      default:
        return JSON.stringify({ ...command, id });
    }
  },

  join(encoded: readonly (string | Uint8Array)[]): string {
    return encoded.length === 1 ? String(encoded[0]) : `[${encoded.join(',')}]`;
  },

  decode(frame: string | ArrayBuffer): ServerMessage | null {
    if (typeof frame !== 'string') throw new LayoutError('A binary frame came on a connection that speaks JSON.');
    let message: JsonMessage;
    try {
      message = JSON.parse(frame);
    } catch (error) {
      throw new LayoutError(`The frame is not JSON: ${(error as Error).message}`);
    }
    const { epoch, offset, ...fields } = message;
    const id = message.id ?? null;
    const position: Position | null = epoch === undefined || offset === undefined ? null : { epoch, offset };
    // The node is trusted to keep to PROTOCOL.md: the fields of a known type are what the tables there say.
    switch (message.type) {
      case 'publications':
      case 'subscribed':
      case 'published':
        return { ...fields, id, position } as unknown as ServerMessage;
      case 'connected':
      case 'unsubscribed':
      case 'pong':
      case 'error':
        return { ...fields, id } as unknown as ServerMessage;
      case 'gap':
        return fields as unknown as ServerMessage;
      default:
        if (typeof message.type !== 'string') throw new LayoutError('The message has no type.');
        return null;
    }
  },
};
