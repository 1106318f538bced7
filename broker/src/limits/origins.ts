/** Which pages may connect: exact origins (RFC 6454), because whatever matches more than that has been walked around. */

/** `any`, or those that may. */
export type Origins = 'any' | ReadonlySet<string>;

/** So much of an origin is repeated in a sentence about it: the longest host name fits. */
const maxShown = 300;

/** Hears one sentence for each mistake, which goes on from the name of the setting. */
export function readOrigins(text: string, tell: (wrong: string) => void): Origins {
  if (text.trim() === '*') return 'any';
  const origins = new Set<string>();
  for (const part of text.split(',')) {
    const origin = part.trim();
    const wrong = explainInvalidOrigin(origin);
    if (wrong === null) origins.add(origin);
    else tell(`has ${JSON.stringify(origin.slice(0, maxShown))}, ${wrong}`);
  }
  return origins;
}

function explainInvalidOrigin(origin: string): string | null {
  if (origin === '') return 'an empty part: separate origins with one comma.';
  if (origin === '*') return 'beside others: write * alone, or leave it out.';
  if (origin === 'null') return 'which every sandboxed page has: it cannot be allowed.';
  if (origin.includes('*')) return 'a pattern: list each origin.';
  if (!URL.canParse(origin)) return 'which is no origin such as https://app.example.com.';
  const written = new URL(origin).origin;
  if (written === 'null') return 'which is no origin such as https://app.example.com.';
  return written === origin ? null : `which browsers write ${written.slice(0, maxShown)}: write it so.`;
}
