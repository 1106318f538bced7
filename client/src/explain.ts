/**
 * Finds out why a WebSocket could not be opened. The WebSocket of browsers and of Node 22 gives no reason. A plain HTTP
 * request to the same address often does.
 */
import { messageOf } from './errors.js';

const timeoutMs = 2_000;

/** The answer of the server, or the error of the platform. */
export async function explain(url: string): Promise<string> {
  const { protocol, host } = new URL(url);
  const init = {
    cache: 'no-store',
    credentials: 'omit',
    signal: AbortSignal.timeout(timeoutMs),
    // Node's types do not have `cache`.
  } as RequestInit;
  // Without the query, because it may contain a ticket.
  const request = (mode: 'cors' | 'no-cors'): Promise<Response> =>
    fetch(url.replace(/^ws/, 'http').replace(/\?.*/, ''), { ...init, mode });
  try {
    const response = await request('cors');
    // A Fanfare node answers 426 to a request without a handshake. The address is right.
    if (response.status === 426)
      return 'A Fanfare node answers at this address but rejects the WebSocket: see its debug log.';
    const text = (await response.text().catch(() => '')).trim().slice(0, 300);
    return `HTTP ${response.status}${text && `: ${text}`}`;
  } catch (error) {
    const { name, cause } = error as Error;
    if (name === 'TimeoutError')
      return `${host} did not answer within ${timeoutMs} ms: check the host, the port and the network.`;
    // Node gives the reason here. Browsers never do.
    if (cause instanceof Error) return messageOf(cause).trim();
    const isAnswered = await request('no-cors').then(
      () => true,
      () => false,
    );
    if (isAnswered) return 'A server answers at this address, but not with a WebSocket: check the path.';
    const scheme =
      protocol === 'wss:'
        ? `the certificate is not valid for ${host}, or the server expects ws:`
        : 'the server expects wss:';
    return `No server answers at this address, or ${scheme} (${messageOf(error)}).`;
  }
}
