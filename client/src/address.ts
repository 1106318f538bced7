/** The address of the broker, from the URL that the application passes. */
import { invalidOption } from './errors.js';

const example = 'ws://127.0.0.1:8080/ws';

export const noPage = `The URL is a path, and there is no page address to complete it: use one such as ${example}.`;

/**
 * The URL of the WebSocket. `http:` and `https:` become `ws:` and `wss:`. The address of the page completes a path.
 * Returns null if there is no page, as during server-side rendering. Throws `invalidOption`.
 */
export function addressOf(url: string | URL): string | null {
  const text = typeof url === 'string' ? url.trim() : String(url);
  // The origin of a worker from a blob is the origin of the page. The origin of a file is 'null'.
  const origin = (globalThis as { location?: { readonly origin: string } }).location?.origin;
  if (isPath(text) && origin === undefined) return null;
  const address = parse(text, text.startsWith('/') ? origin : undefined);
  if (address !== null && /^wss?:$/.test(address.protocol) && address.hash === '') return address.href;
  throw invalidOption(whyNot(url, text));
}

/** `//host/ws` is not a path, because it has a host. */
function isPath(text: string): boolean {
  return /^\/(?!\/)/.test(text);
}

function parse(text: string, base: string | undefined): URL | null {
  try {
    const address = new URL(text, base);
    address.protocol = address.protocol.replace(/^http/, 'ws');
    return address;
  } catch {
    return null;
  }
}

function whyNot(url: unknown, text: string): string {
  if (typeof url !== 'string' && !(url instanceof URL)) return `The URL is ${text}: use one such as ${example}.`;
  if (text === '') return `The URL is empty: use one such as ${example}.`;
  // Without user, password and query, because they may be secret.
  const shown = JSON.stringify(text.replace(/[?#].*/s, '').replace(/\/\/[^/]*@/, '//'));
  if (text.includes('#')) return `The URL must not contain #: ${shown}.`;
  if (isPath(text)) return noPage;
  if (/^(wss?|https?):/i.test(text)) return `The URL is not valid: ${shown}. Check the host and the port (1 to 65535).`;
  const hint = /^(\/\/)?(localhost|[\w-]+(\.[\w-]+)+|[\w.-]+:\d+)(:\d+)?(\/|$)/.test(text)
    ? `Write ws://${JSON.parse(shown).replace(/^\/\//, '')}.`
    : `Use one such as ${example}.`;
  return `The URL must begin with ws:// or wss://: ${shown}. ${hint}`;
}

/** The address for messages: without user, password and query, because they may be secret. */
export function shownAddress(address: string): string {
  const { protocol, host, pathname } = new URL(address);
  return `${protocol}//${host}${pathname}`;
}
