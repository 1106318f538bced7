/** Which pages may connect: exact origins only (RFC 6454), because attackers have bypassed patterns. */

/** `any`, or the allowed origins. */
export type Origins = 'any' | ReadonlySet<string>;

/**
 * `report` receives one sentence for each mistake, which continues after the name of the setting and repeats nothing of
 * the value.
 */
export function readOrigins(text: string, report: (mistake: string) => void): Origins {
  if (text.trim() === '*') return 'any';
  const origins = new Set<string>();
  for (const [index, part] of text.split(',').entries()) {
    const origin = part.trim();
    const wrong = explainInvalidOrigin(origin);
    if (wrong === null) origins.add(origin);
    else report(`at origin ${index + 1}: it ${wrong}`);
  }
  return origins;
}

/** Origins of app pages without https: `capacitor://localhost`, `tauri://localhost`. */
const appOrigin = /^[a-z][a-z0-9+.-]*:\/\/[a-z0-9._-]+(:\d{1,5})?$/;

function explainInvalidOrigin(origin: string): string | null {
  if (origin === '') return 'is empty. Separate origins with single commas.';
  if (origin === '*') return 'is * next to other origins. Use * alone, or remove it.';
  if (origin === 'null')
    return 'is null, the origin of sandboxed pages and local files. It cannot be allowed. Apps that load their page from a file send file://.';
  if (origin.includes('*')) return 'is a pattern. List each origin.';
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(origin)?.[1]?.toLowerCase();
  if (scheme === 'ws' || scheme === 'wss')
    return 'is the address of a node. Use the origin of the page that connects, such as https://app.example.com.';
  if (scheme === undefined || !URL.canParse(origin)) return 'is not an origin such as https://app.example.com.';
  if (scheme === 'file') return origin === 'file://' ? null : 'is a file. Apps send file://, so write file://.';
  const { origin: written, host } = new URL(origin);
  // The URL standard defines an origin only for the schemes of the web.
  const expected = written === 'null' ? `${scheme}://${host.toLowerCase()}` : written;
  if (origin !== expected)
    return 'is not in the form that browsers send. Use location.origin of the page: lower case, no default port, and nothing after the host and port.';
  if (written !== 'null' || appOrigin.test(origin)) return null;
  return 'is not an origin such as https://app.example.com or capacitor://localhost.';
}
