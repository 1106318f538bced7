/** Whether frames are compressed on the way (RFC 7692): `shared` keeps one window for all connections, none for each. */
export const compressions = ['off', 'shared'] as const;
export type Compression = (typeof compressions)[number];

/** Shorter frames are sent as they are: a packet is not filled by them either way. */
const leastBytes = 1_024;

/** Whether a frame is to be compressed for those who take it so. */
export function isWorthCompressing(frame: { readonly length: number }, compression: Compression): boolean {
  return compression !== 'off' && frame.length >= leastBytes;
}
