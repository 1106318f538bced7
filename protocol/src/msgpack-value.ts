/** Checks that bytes are one MessagePack value, without decoding it. */

/** Bytes after the head of each fixed-length format from 0xc0 to 0xdf; -1 if the length follows, or if it is invalid. */
const fixedLengths = [0, -1, 0, 0, -1, -1, -1, -1, -1, -1, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17];

/** Whether the bytes are exactly one MessagePack value. Checks lengths and counts, but not that text is UTF-8. */
export function isMsgpackValue(bytes: Uint8Array): boolean {
  let at = 0;
  // Values that are still to come. Each takes at least one byte.
  let left = 1;
  while (left > 0) {
    if (left > bytes.length - at) return false;
    left--;
    const head = bytes[at++] as number;
    if (head < 0x80 || head >= 0xe0) continue;
    if (head < 0x90) left += 2 * (head & 0x0f);
    else if (head < 0xa0) left += head & 0x0f;
    else if (head < 0xc0) at += head & 0x1f;
    else {
      const fixed = fixedLengths[head - 0xc0] ?? -1;
      if (fixed >= 0) at += fixed;
      else {
        const size = sizeOfLength(head);
        if (size === 0 || at + size > bytes.length) return false;
        let length = 0;
        for (const end = at + size; at < end; at++) length = length * 0x100 + (bytes[at] as number);
        if (head >= 0xde) left += 2 * length;
        else if (head >= 0xdc) left += length;
        // An extension has its type before the data.
        else at += length + (head >= 0xc7 && head <= 0xc9 ? 1 : 0);
      }
    }
    if (at > bytes.length) return false;
  }
  return at === bytes.length;
}

/** Bytes of the length that follows this head; 0 if the head is invalid. */
function sizeOfLength(head: number): number {
  if (head >= 0xc4 && head <= 0xc6) return 1 << (head - 0xc4);
  if (head >= 0xc7 && head <= 0xc9) return 1 << (head - 0xc7);
  if (head >= 0xd9 && head <= 0xdb) return 1 << (head - 0xd9);
  if (head >= 0xdc) return 2 << (head & 1);
  return 0;
}
