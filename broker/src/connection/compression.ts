/** Which frames leave compressed, where FANFARE_COMPRESSION permits it and the client has asked for it (RFC 7692). */

export const compressions = ['off', 'shared'] as const;
export type Compression = (typeof compressions)[number];

/** A shorter frame is sent as it is: it would shrink by less than the bytes of a TCP packet's own headers, at the same cost for each receiver. */
const leastBytes = 512;

export function isWorthCompressing(frame: string | Uint8Array, compression: Compression): boolean {
  return compression !== 'off' && frame.length >= leastBytes;
}
