/** Data as MessagePack. */
import type { DataCodec } from '@fanfare/protocol';
import { MsgpackReader } from './msgpack-reader.js';
import { MsgpackWriter } from './msgpack-writer.js';

export function createMsgpackData(): DataCodec {
  const writer = new MsgpackWriter();
  const reader = new MsgpackReader();
  return {
    /** The bytes are valid until the next call. */
    encode: (data) => {
      writer.clear();
      writer.value(data);
      return writer.view();
    },
    decode: (bytes) => reader.read(bytes),
  };
}
