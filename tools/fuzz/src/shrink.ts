/** A shorter input with the same effect: removes pieces, large ones first, as long as `isSame` is true. */
export async function shrink(
  input: Uint8Array,
  isSame: (shorter: Uint8Array) => Promise<boolean>,
  maxTries = 500,
): Promise<Uint8Array> {
  let output = input;
  let tries = 0;
  for (let size = Math.ceil(output.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < output.length && tries < maxTries; ) {
      tries++;
      const shorter = new Uint8Array(Math.max(at, output.length - size));
      shorter.set(output.subarray(0, at));
      shorter.set(output.subarray(at + size), at);
      if (await isSame(shorter)) output = shorter;
      else at += size;
    }
  }
  return output;
}
