/**
 * Data as the library msgpackr writes it: MessagePack, and extensions for what MessagePack lacks. Every payload can be
 * read alone: it needs no state from earlier ones.
 */
import { type DataCodec, kindOf } from '@fanfare/protocol';
import msgpackr from 'msgpackr/index-no-eval';

const { Packr, Unpackr, RESET_BUFFER_MODE, addExtension } = msgpackr;
type Packr = InstanceType<typeof Packr>;

type Kind = abstract new (...args: never) => object;

/** msgpackr recognizes these by their constructor: those of another realm (an iframe, `vm`) are plain objects to it. */
const classes = new Map<string, Kind>(
  [Map, Set, Date, RegExp, Error, ArrayBuffer, DataView].map((kind: Kind) => [kind.name, kind]),
);

/** Of these it does not recognize subclasses either. */
const arrays = new Map<string, Kind>(
  [
    ...[Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array],
    ...[Float32Array, Float64Array, BigInt64Array, BigUint64Array],
  ].map((kind: Kind) => [kind.name, kind]),
);

/** Kinds that it can write although `Object.keys` may find nothing in them. It writes functions as undefined. */
const others = new Set([
  ...['Object', 'Array', 'Function', 'AsyncFunction', 'GeneratorFunction', 'AsyncGeneratorFunction'],
]);

function isCarried(value: object): boolean {
  const kind = kindOf(value);
  const known = classes.get(kind);
  if (known !== undefined) return value instanceof known;
  const array = arrays.get(kind);
  if (array !== undefined) return value.constructor === array || isBuffer(value);
  if (others.has(kind) || typeof (value as { toJSON?: unknown }).toJSON === 'function') return true;
  return !ArrayBuffer.isView(value) && Object.keys(value).length > 0;
}

function isBuffer(value: object): boolean {
  const { Buffer: Known } = globalThis as { readonly Buffer?: Kind };
  return Known !== undefined && value instanceof Known;
}

// msgpackr asks these about each object that is not plain, an array or a map. A later one is asked first.
addExtension({ Class: Map, write: (map) => new Map(map as Map<unknown, unknown>) });
addExtension({
  // A promise would become {}. The newest typed arrays could not be read.
  Class: { [Symbol.hasInstance]: (value: object) => !isCarried(value) },
  write(value) {
    const kind = kindOf(value);
    const isKnown = classes.has(kind) || arrays.has(kind);
    throw new TypeError(
      `msgpackr cannot carry ${isKnown ? `a ${kind} of a subclass or of another realm, such as an iframe` : kind}. Convert it first.`,
    );
  },
});

const reading = {
  // Extensions for references could build data that contains itself.
  structuredClone: false,
  // A view would keep the whole frame alive.
  copyBuffers: true,
  int64AsType: 'auto',
} as const;

const writing = { ...reading, moreTypes: true } as const;

/** Writes objects as MessagePack maps, which every client can read. So it cannot write maps. */
class PlainPackr extends Packr {
  hasFoundMap = false;

  constructor() {
    const isLeftOut = (field: unknown): boolean =>
      field === undefined || typeof field === 'function' || typeof field === 'symbol';
    super({ ...writing, useRecords: false, mapsAsObjects: true, skipValues: { includes: isLeftOut } });
  }

  /** msgpackr reads this option when it finds a map. */
  get mapAsEmptyObject(): boolean {
    this.hasFoundMap = true;
    return true;
  }
}

/**
 * Type of the extension around data that contains maps. In it, a MessagePack map is a `Map`, and an object is a record
 * of msgpackr: its keys, then its values.
 */
const withMaps = 0x4d;
const headBytes = 6;

export function createMsgpackrData(): DataCodec {
  const plain = new PlainPackr();
  const recordWriter = new Packr({ ...writing, useRecords: true, mapsAsObjects: false });
  // Not the writer: it would keep the records of a payload for the next one.
  const recordReader = new Unpackr({ ...reading, mapsAsObjects: false });
  const write = (writer: Packr, data: unknown): Uint8Array => {
    try {
      return writer.pack(data, RESET_BUFFER_MODE);
    } catch (error) {
      // The stack has overflowed.
      if (error instanceof RangeError) throw new RangeError('It contains itself, or is nested too deep.');
      throw error;
    }
  };
  return {
    /** The bytes are valid until the next call. */
    encode(data) {
      plain.hasFoundMap = false;
      const bytes = write(plain, data);
      if (!plain.hasFoundMap) return bytes;
      const body = write(recordWriter, data);
      const wrapped = new Uint8Array(headBytes + body.length);
      wrapped[0] = 0xc9;
      new DataView(wrapped.buffer).setUint32(1, body.length);
      wrapped[5] = withMaps;
      wrapped.set(body, headBytes);
      return wrapped;
    },
    decode(bytes) {
      if (bytes[0] !== 0xc9 || bytes[5] !== withMaps) return plain.unpack(bytes);
      // Its length is not read: the payload ends with it.
      return recordReader.unpack(bytes.subarray(headBytes));
    },
  };
}
