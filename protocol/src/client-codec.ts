/** The codec of a client: it writes commands into frames, and reads replies and pushes from frames. */
import type { Encoding } from './encoding.js';
import type { OutgoingCommand, ServerMessage } from './messages.js';

export interface ClientCodec {
  readonly encoding: Encoding;
  /** Encodes one command. Throws the error of the data encoder if it cannot encode `data`. */
  encode(command: OutgoingCommand): string | Uint8Array;
  /** Takes an encoded publish with a `messageId` and marks it as one that may have been published before. */
  repeat(encoded: string | Uint8Array): string | Uint8Array;
  /** Puts encoded commands together into one frame. */
  join(encoded: readonly (string | Uint8Array)[]): string | Uint8Array;
  /**
   * The message of a frame, or null if its type is unknown: a newer node may push types that this client does not know.
   * Throws `LayoutError` if the frame is not a message.
   */
  decode(frame: string | ArrayBuffer): ServerMessage | null;
}
