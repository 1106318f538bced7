/** Which frames are compressed if FANFARE_COMPRESSION permits it and the client has asked for it (RFC 7692). */

export const compressions = ['off', 'shared'] as const;
export type Compression = (typeof compressions)[number];

/** A shorter frame fits into one packet without compression, which costs CPU for each subscriber. */
const minBytes = 512;

export function isWorthCompressing(frame: string | Uint8Array, compression: Compression): boolean {
  return compression !== 'off' && frame.length >= minBytes;
}
