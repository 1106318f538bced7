/** The pieces that several MessagePack messages share (PROTOCOL.md section 5). */
import type { CommandId } from './messages.js';
import type { Position } from './position.js';
import type { Writer } from './writer.js';

/** How every command and reply begins: element count, type, id. */
export function writeHead(writer: Writer, count: number, type: number, id: CommandId): void {
  writer.arrayHeader(count);
  writer.byte(type);
  if (id === null) writer.nil();
  else writer.uint(id);
}

/** Two elements: epoch and offset, or nil and nil. */
export function writePosition(writer: Writer, position: Position | null): void {
  if (position === null) {
    writer.nil();
    writer.nil();
  } else {
    writer.str(position.epoch);
    writer.uint(position.offset);
  }
}

export function writeStrOrNil(writer: Writer, text: string | null): void {
  if (text === null) writer.nil();
  else writer.str(text);
}

export function writeUintOrNil(writer: Writer, number: number | null): void {
  if (number === null) writer.nil();
  else writer.uint(number);
}
