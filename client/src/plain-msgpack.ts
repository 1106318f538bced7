/**
 * Tells plain MessagePack from the rest. msgpackr reads more than that, and not all of it can be switched off: extensions
 * that build regular expressions, errors and sets, and records, which define objects and compile code for them. Publications come
 * from strangers, so only bytes that pass here are decoded.
 */

/**
 * Whether the bytes are exactly one value of nil, booleans, numbers, strings, bin, arrays, maps and timestamps (extension
 * -1, the only one that the MessagePack specification defines). It walks without recursion and without making anything, so
 * hostile bytes cost no more than their length.
 */
export function isPlainMsgpack(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  const length = (size: number): number => {
    at += size;
    if (size === 1) return view.getUint8(at - 1);
    return size === 2 ? view.getUint16(at - 2) : view.getUint32(at - 4);
  };
  const skip = (bytesToSkip: number): void => {
    at += bytesToSkip;
  };
  const isTimestamp = (payloadBytes: number): boolean => {
    at += 1 + payloadBytes;
    return view.getInt8(at - payloadBytes - 1) === -1;
  };
  try {
    // Each value takes a byte at least: what claims to hold more than there is ends the walk.
    for (let missing = 1; missing > 0; missing--) {
      if (missing > bytes.length - at) return false;
      const head = length(1);
      if (head < 0x80 || head >= 0xe0 || head === 0xc0 || head === 0xc2 || head === 0xc3) continue;
      if (head < 0x90) missing += 2 * (head & 0x0f);
      else if (head < 0xa0) missing += head & 0x0f;
      else if (head < 0xc0) at += head & 0x1f;
      else if (head >= 0xc4 && head <= 0xc6) skip(length(1 << (head - 0xc4)));
      else if (head === 0xca || head === 0xcb) at += 4 << (head - 0xca);
      else if (head >= 0xcc && head <= 0xcf) at += 1 << (head - 0xcc);
      else if (head >= 0xd0 && head <= 0xd3) at += 1 << (head - 0xd0);
      else if (head >= 0xd9 && head <= 0xdb) skip(length(1 << (head - 0xd9)));
      else if (head === 0xdc || head === 0xdd) missing += length(2 << (head - 0xdc));
      else if (head === 0xde || head === 0xdf) missing += 2 * length(2 << (head - 0xde));
      else if (head === 0xd6 || head === 0xd7) {
        if (!isTimestamp(4 << (head - 0xd6))) return false;
      } else if (head !== 0xc7 || length(1) !== 12 || !isTimestamp(12)) return false;
    }
  } catch {
    // A length or a type stood beyond the end (RangeError of the view).
    return false;
  }
  return at === bytes.length;
}
