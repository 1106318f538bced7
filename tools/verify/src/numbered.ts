/** What a publication of the checker carries: who published it, its number, and a checksum over all of it. */
import { crc32 } from 'node:zlib';

export interface Numbered {
  /** The publisher's lane. */
  readonly lane: number;
  /** Counts from 1 within the lane. */
  readonly n: number;
  /** When it should have been published, in microseconds of a clock that all processes share. */
  readonly plannedUs: number;
  readonly filler: string;
  readonly checksum: number;
}

/** The topic map of the checker's clients. */
export interface VerifyTopics {
  [topic: `verify.${string}`]: Numbered;
}

export type VerifyTopic = keyof VerifyTopics & string;

export function numbered(lane: number, n: number, plannedUs: number, filler: string): Numbered {
  return { lane, n, plannedUs, filler, checksum: checksumOf(lane, n, plannedUs, filler) };
}

/** The publication as it was published; null where that is not what came. */
export function readNumbered(data: unknown): Numbered | null {
  if (typeof data !== 'object' || data === null) return null;
  const { lane, n, plannedUs, filler, checksum } = data as Record<keyof Numbered, unknown>;
  if (typeof lane !== 'number' || typeof n !== 'number' || typeof plannedUs !== 'number') return null;
  if (typeof filler !== 'string' || checksumOf(lane, n, plannedUs, filler) !== checksum) return null;
  return data as Numbered;
}

function checksumOf(lane: number, n: number, plannedUs: number, filler: string): number {
  return crc32(`${lane} ${n} ${plannedUs} ${filler}`);
}
