/** Data as MessagePack in Node: msgpackr, with everything off that goes beyond MessagePack, and kept to what it does right. */
import { type DataCodec, LayoutError } from '@fanfare/protocol';
import type { Options } from 'msgpackr';
import { Packr } from 'msgpackr/pack';
import { createMsgpackData as createOwnMsgpackData } from './msgpack-data.js';
import { isSent } from './msgpack-writer.js';
import { isPlainMsgpack } from './plain-msgpack.js';

// The types of msgpackr 2.1.3 lack what its code has.
const options: Omit<Options, 'int64AsType'> & { int64AsType: 'auto'; skipValues: unknown[] } = {
  useRecords: false,
  moreTypes: false,
  structuredClone: false,
  bundleStrings: false,
  mapsAsObjects: true,
  int64AsType: 'auto',
  copyBuffers: true,
  skipValues: [undefined],
  encodeUndefinedAsNil: true,
};

export function createMsgpackData(): DataCodec {
  const packr = new Packr(options as object as Options);
  const own = createOwnMsgpackData();
  return {
    encode: (data) => (isPlainData(data) ? packr.encode(data) : own.encode(data)),
    decode: (bytes) => {
      if (!isPlainMsgpack(bytes)) throw new LayoutError('The data is not plain MessagePack.');
      return packr.decode(bytes);
    },
  };
}

/**
 * Whether msgpackr 2.1.3 writes this as it should. It writes typed arrays other than Uint8Array, and DataViews, with bytes of
 * unrelated memory in them; lone surrogates as bytes that are not UTF-8; errors and regular expressions as arrays.
 */
function isPlainData(value: unknown): boolean {
  if (typeof value === 'string') return !/\p{Surrogate}/u.test(value);
  if (typeof value !== 'object' || value === null) return true;
  if (Array.isArray(value)) return value.every(isPlainData);
  if (value.constructor !== Object) return value instanceof Uint8Array || value instanceof Date;
  return (
    !('toJSON' in value) &&
    Object.entries(value).every(([key, field]) => isPlainData(key) && isSent(field) && isPlainData(field))
  );
}
