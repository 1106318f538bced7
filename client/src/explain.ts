/**
 * Why no WebSocket could be opened. The WebSocket of browsers does not say it, nor does that of Node 22 and later: a plain request to
 * the same address may.
 */
import { messageOf } from './errors.js';

const timeoutMs = 2_000;

/** What the server answers, or what the platform says. */
export async function explain(url: string): Promise<string> {
  const { protocol, host } = new URL(url);
  const init = {
    cache: 'no-store',
    credentials: 'omit',
    signal: AbortSignal.timeout(timeoutMs),
    // The types of Node leave `cache` out.
  } as RequestInit;
  // Without the query, which may hold a ticket.
  const request = (mode: 'cors' | 'no-cors'): Promise<Response> =>
    fetch(url.replace(/^ws/, 'http').replace(/\?.*/, ''), { ...init, mode });
  try {
    const response = await request('cors');
    // What a node answers to a request that is no handshake: the address is right.
    if (response.status === 426)
      return 'A node answers there, and does not accept the WebSocket: its debug log says why.';
    const text = (await response.text().catch(() => '')).trim().slice(0, 300);
    return `HTTP ${response.status}${text && `: ${text}`}`;
  } catch (error) {
    const { name, cause } = error as Error;
    if (name === 'TimeoutError') return `A plain request to ${host} got no answer within ${timeoutMs} ms either.`;
    // Node says it here, browsers say it to nobody.
    if (cause instanceof Error) return messageOf(cause).trim();
    const isAnswered = await request('no-cors').then(
      () => true,
      () => false,
    );
    if (isAnswered) return 'A server answers there, with something else than a WebSocket: is the path right?';
    const scheme =
      protocol === 'wss:'
        ? `the certificate is not valid for ${host}, or the server expects ws:`
        : 'the server expects wss:';
    return `Nobody answers there, or ${scheme} (${messageOf(error)}).`;
  }
}
