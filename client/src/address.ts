/** The address of the broker, from what the application has written. */
import { FanfareError } from './errors.js';

/**
 * The URL of the WebSocket. `http:` and `https:` become `ws:` and `wss:`. A path is completed from the address of the page; null if
 * there is no page, as on a server that renders it. Throws `invalidOption`.
 */
export function addressOf(url: string | URL): string | null {
  const text = String(url);
  const isPath = text.startsWith('/');
  const page = (globalThis as { location?: { readonly href: string } }).location?.href;
  if (isPath && page === undefined) return null;
  try {
    const address = new URL(text, isPath ? page : undefined);
    address.protocol = address.protocol.replace(/^http/, 'ws');
    if (/^wss?:$/.test(address.protocol) && address.hash === '') return address.href;
  } catch {
    // It is said below.
  }
  // Without the query, which may hold a ticket.
  const shown = text.replace(/[?#].*/, '');
  const hint = text.includes('://') ? '' : ` Write ws://${shown}.`;
  const message = `The URL must begin with ws:// or wss://, and have no #: ${JSON.stringify(shown)}.${hint}`;
  throw new FanfareError('invalidOption', { message });
}

/** The same for people: without user, password and query, which may be secrets. */
export function shownAddress(address: string): string {
  const { protocol, host, pathname } = new URL(address);
  return `${protocol}//${host}${pathname}`;
}
