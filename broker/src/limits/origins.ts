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

/** What apps put before their pages instead of https: `capacitor://localhost`, `tauri://localhost`. */
const appOrigin = /^[a-z][a-z0-9+.-]*:\/\/[a-z0-9._-]+(:\d{1,5})?$/;

function explainInvalidOrigin(origin: string): string | null {
  if (origin === '') return 'an empty part: separate origins with one comma.';
  if (origin === '*') return 'beside others: write * alone, or leave it out.';
  if (origin === 'null')
    return 'which sandboxed pages and files in a browser have: it cannot be allowed. Apps that load their page from a file send file://.';
  if (origin.includes('*')) return 'a pattern: list each origin.';
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(origin)?.[1]?.toLowerCase();
  if (scheme === 'ws' || scheme === 'wss')
    return 'the address of a node: write the origin of the page that connects, such as https://app.example.com.';
  if (scheme === undefined || !URL.canParse(origin)) return 'which is no origin such as https://app.example.com.';
  if (scheme === 'file') return origin === 'file://' ? null : 'which apps write file://: write it so.';
  const { origin: written, host } = new URL(origin);
  // Only for the schemes of the web does the URL standard define an origin.
  const expected = (written === 'null' ? `${scheme}://${host.toLowerCase()}` : written).slice(0, maxShown);
  if (origin === expected && (written !== 'null' || appOrigin.test(origin))) return null;
  if (origin === expected) return 'which is no origin such as https://app.example.com or capacitor://localhost.';
  return `which browsers write ${expected}: write it so.`;
}
