/**
 * Why no WebSocket could be opened. Browsers do not tell, nor does the WebSocket of Node 22 and later: a plain request to the same
 * address may.
 */

const timeoutMs = 2_000;

/** What the server answers, or what the platform says. */
export async function explain(url: string): Promise<string> {
  try {
    const response = await fetch(url.replace(/^ws/, 'http').replace(/\?.*/, ''), {
      cache: 'no-store',
      credentials: 'omit',
      signal: AbortSignal.timeout(timeoutMs),
      // The types of Node leave `cache` out.
    } as RequestInit);
    // What a node answers to a request that is no handshake: the address is right.
    if (response.status === 426)
      return 'A node answers there, and does not accept the WebSocket: its debug log says why.';
    return `HTTP ${response.status}: ${(await response.text()).trim().slice(0, 300)}`;
  } catch (error) {
    const { message, cause } = error as Error;
    return cause instanceof Error
      ? cause.message
      : `Nobody answers there, or pages may not read the answer (${message}).`;
  }
}
