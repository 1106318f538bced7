/** The codec of a node: it reads commands from frames, and writes replies and pushes into frames. */
import type { Encoding } from './encoding.js';
import { ReplyError, type ReplyErrorCode } from './errors.js';
import type { Command, CommandId, OutgoingReply } from './messages.js';
import type { Position } from './position.js';
import type { Run } from './run.js';
import type { Topic } from './topic.js';

declare const encoded: unique symbol;

/** Bytes (or text) ready for the wire. Bytes are valid until the codec that made them is used again. */
export type Frame = (string | Uint8Array) & { readonly [encoded]: true };

/** A command that is invalid; `id` is null if none could be read. */
export class CommandError extends ReplyError {
  constructor(
    readonly id: CommandId,
    code: ReplyErrorCode,
    message: string,
  ) {
    super(code, message);
  }
}

/** What is wrong with a publish that has `remove` and no `key`. */
export const removeRule = '"remove" needs a "key": it removes what was published with that key.';

/** Receives the commands of a frame, in order. */
export interface CommandSink {
  /** Whether it takes nothing more. The rest of the frame is not read then. */
  readonly isOver: boolean;
  onCommand(command: Command): void;
  onCommandError(error: CommandError): void;
}

export interface NodeCodec {
  readonly encoding: Encoding;
  /** Whether frames of this codec are binary (else text). */
  readonly isBinary: boolean;
  /** Reads all commands of a frame into `sink`; never throws. `Publish` commands point into `frame`. */
  decode(frame: Uint8Array, sink: CommandSink): void;
  /**
   * A `history` gets at least one of its publications, and no more than fit into {@link maxReplyBytes}. A `subscribed`
   * gets all of them. If they are longer than `room` bytes, it gets none and is not `recovered`.
   */
  reply(reply: OutgoingReply, room?: number): Frame;
  /** Bytes written for the publications of the last reply, including publications that it then left out. */
  readonly replyWork: number;
  /** Writes a run as one or more frames, each handed to `emit` before the next is made. */
  publications(topic: Topic, position: Position | null, run: Run, emit: (frame: Frame) => void): void;
  /** Delivery continues after `position`; null if the topic keeps no history. */
  gap(topic: Topic, position: Position | null): Frame;
  reset(topic: Topic, position: Position): Frame;
  goaway(delayMs: number): Frame;
}
