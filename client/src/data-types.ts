/** Types of data: what a publisher may send, and what a subscriber gets. */

type AnyFunction = (...args: never) => unknown;

type Primitive = string | number | bigint | boolean | symbol | null | undefined;

/** Instances of classes: dates, bytes, maps, decimals. Plain data has no methods. */
type HasMethods<Data> = Extract<Data[keyof Data], AnyFunction> extends never ? false : true;

/** Data as subscribers get it. It is read-only because all subscriptions of a client share one object. */
export type ReadonlyData<Data> = unknown extends Data
  ? Data
  : Data extends Primitive | AnyFunction
    ? Data
    : Data extends readonly unknown[]
      ? // Map only tuples: in data that may contain itself, such as any JSON, the compiler would recurse without end.
        number extends Data['length']
        ? readonly ReadonlyData<Data[number]>[]
        : { readonly [Key in keyof Data]: ReadonlyData<Data[Key]> }
      : HasMethods<Data> extends true
        ? Data
        : { readonly [Key in keyof Data]: ReadonlyData<Data[Key]> };

/** The compiler shows this if data cannot be JSON. */
type NotJson = 'JSON has no form for this';

/**
 * The same data if JSON can carry it: no dates, bytes, bigints or functions, and `undefined` only in optional
 * properties.
 */
export type Json<Data> = unknown extends Data
  ? Data
  : Data extends string | number | boolean | null
    ? Data
    : Data extends readonly unknown[]
      ? number extends Data['length']
        ? readonly Json<Data[number]>[]
        : { [Key in keyof Data]: Json<Data[Key]> }
      : Data extends Primitive | AnyFunction
        ? NotJson
        : HasMethods<Data> extends true
          ? NotJson
          : { [Key in keyof Data]: Json<Exclude<Data[Key], undefined>> | Extract<Data[Key], undefined> };

/** Data of unknown type that JSON can carry. */
export type JsonData =
  | string
  | number
  | boolean
  | null
  | readonly unknown[]
  | { readonly [name: string]: unknown }
  // Any interface, but not a date.
  | (object & { readonly toJSON?: never });

type BuiltIn =
  | Date
  | RegExp
  | Error
  | ArrayBuffer
  | DataView
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

/** The compiler shows this if msgpackr cannot carry the data. */
type NotCarried = 'msgpackr has no form for this';

/**
 * The same data if msgpackr can carry it: plain data, maps, sets, dates, bytes, typed arrays, errors, regular
 * expressions, and bigints. Not functions, symbols, and objects with methods.
 */
export type Rich<Data> = unknown extends Data
  ? Data
  : Data extends AnyFunction | symbol
    ? NotCarried
    : Data extends Primitive | BuiltIn
      ? Data
      : Data extends ReadonlyMap<infer Key, infer Value>
        ? ReadonlyMap<Rich<Key>, Rich<Value>>
        : Data extends ReadonlySet<infer Element>
          ? ReadonlySet<Rich<Element>>
          : Data extends readonly unknown[]
            ? number extends Data['length']
              ? readonly Rich<Data[number]>[]
              : { [Key in keyof Data]: Rich<Data[Key]> }
            : HasMethods<Data> extends true
              ? NotCarried
              : { [Key in keyof Data]: Rich<Data[Key]> };
