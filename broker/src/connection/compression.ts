/** Which frames leave compressed, where FANFARE_COMPRESSION permits it and the client has asked for it (RFC 7692). */

export const compressions = ['off', 'shared'] as const;
export type Compression = (typeof compressions)[number];

/** A shorter frame is one packet with or without compression, which costs CPU for each of its receivers. */
const leastBytes = 512;

export function isWorthCompressing(frame: string | Uint8Array, compression: Compression): boolean {
  return compression !== 'off' && frame.length >= leastBytes;
}
