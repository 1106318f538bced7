/** Data as MessagePack. */
import { type DataCodec, LayoutError } from '@fanfare/protocol';
import { MsgpackReader } from './msgpack-reader.js';
import { MsgpackWriter } from './msgpack-writer.js';

export function createMsgpackData(): DataCodec {
  const writer = new MsgpackWriter();
  return {
    /** The bytes are valid until the next call. */
    encode: (data) => {
      writer.clear();
      writer.value(data);
      return writer.view();
    },
    decode: (bytes) => {
      const reader = new MsgpackReader(bytes);
      const data = reader.value();
      if (!reader.isAtEnd) throw new LayoutError('There are bytes behind the value.');
      return data;
    },
  };
}
