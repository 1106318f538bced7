/**
 * The parts of msgpackr that this package uses. The library has no types for this build, and its types lack some
 * documented options.
 */
declare module 'msgpackr/index-no-eval' {
  interface ReadOptions {
    readonly mapsAsObjects: boolean;
    readonly structuredClone: boolean;
    readonly copyBuffers: boolean;
    readonly int64AsType: 'auto';
  }
  interface WriteOptions extends ReadOptions {
    readonly moreTypes: boolean;
    readonly useRecords: boolean;
    readonly skipValues?: { includes(value: unknown): boolean };
  }
  class Unpackr {
    constructor(options: ReadOptions);
    unpack(bytes: Uint8Array): unknown;
  }
  class Packr extends Unpackr {
    constructor(options: WriteOptions);
    pack(value: unknown, mode: number): Uint8Array;
  }
  interface Extension {
    readonly Class: object;
    write(value: object): unknown;
  }
  const msgpackr: {
    readonly Packr: typeof Packr;
    readonly Unpackr: typeof Unpackr;
    readonly RESET_BUFFER_MODE: number;
    addExtension(extension: Extension): void;
  };
  export default msgpackr;
}
