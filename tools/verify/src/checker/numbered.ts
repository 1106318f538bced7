/** The data of a publication of the checker: its publisher, its number, and a checksum over all fields. */
import { crc32 } from 'node:zlib';

export interface Numbered {
  /** The publisher's stream. */
  readonly stream: number;
  /** Counts from 1 within the stream. */
  readonly n: number;
  /** The planned time of the publication, in microseconds of a clock that all processes share. */
  readonly plannedUs: number;
  readonly filler: string;
  readonly checksum: number;
}

/** The topic map of the checker's clients. */
export interface VerifyTopics {
  [topic: `verify.${string}`]: Numbered;
}

export type VerifyTopic = keyof VerifyTopics & string;

export function numbered(stream: number, n: number, plannedUs: number, filler: string): Numbered {
  return { stream, n, plannedUs, filler, checksum: checksumOf(stream, n, plannedUs, filler) };
}

/** The publication as it was published; null if the data is damaged. */
export function readNumbered(data: unknown): Numbered | null {
  if (typeof data !== 'object' || data === null) return null;
  const { stream, n, plannedUs, filler, checksum } = data as Record<keyof Numbered, unknown>;
  if (typeof stream !== 'number' || typeof n !== 'number' || typeof plannedUs !== 'number') return null;
  if (typeof filler !== 'string' || checksumOf(stream, n, plannedUs, filler) !== checksum) return null;
  return data as Numbered;
}

function checksumOf(stream: number, n: number, plannedUs: number, filler: string): number {
  return crc32(`${stream} ${n} ${plannedUs} ${filler}`);
}
