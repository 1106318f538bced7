/** For "did you mean". */

/** The known name that `name` is most like, or null where it is like none. */
export function nearest(name: string, known: readonly string[]): string | null {
  // Longer than any name there is: not worth the work, which grows with the length.
  if (name.length > 64) return null;
  const best = known.toSorted((a, b) => distance(a, name) - distance(b, name))[0];
  return best !== undefined && distance(best, name) <= Math.min(4, name.length - 1) ? best : null;
}

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
