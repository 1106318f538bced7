/** Finds what a user may have meant by an unknown name. */

/**
 * Suggests a known name, or lists all. It does not repeat the unknown name, which may be a secret in the wrong place.
 */
export function explainUnknown(name: string, known: readonly string[]): string {
  const meant = nearest(name, known);
  return meant === null ? `valid names: ${known.join(', ')}.` : `did you mean ${meant}?`;
}

/** The known name that differs least, in at most one of three characters; null if no name is that close. */
export function nearest(name: string, known: readonly string[]): string | null {
  let least = Math.ceil(name.length / 3) + 1;
  let best: string | null = null;
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) >= least) continue;
    const typos = distance(candidate, name);
    if (typos < least) [least, best] = [typos, candidate];
  }
  return best;
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
