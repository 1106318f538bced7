/**
 * What the load generator and a server that it measures say to each other, one line each. The server begins with its
 * process id.
 */
import type { GarbageSums } from './garbage-sums.js';

/** The environment variable with the path of the socket. */
export const socketVariable = 'LOADTEST_GARBAGE_SOCKET';

export type GarbageRequest = 'begin' | 'end';

/** The answer to `end`; that to `begin` is null. */
export interface GarbageAnswer extends GarbageSums {
  /** Memory of buffers outside the heap. A lower bound: samples miss what is freed between them. */
  readonly bufferBytes: number;
}
