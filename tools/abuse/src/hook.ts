/** The backend that nodes under attack ask (docs/security.md): it refuses everything for `secret.>`. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';

export const secretTopic = 'secret.0';

interface HookBackend extends AsyncDisposable {
  readonly url: string;
}

export async function startHook(): Promise<HookBackend> {
  const server = createServer(async (request, response) => {
    const { topic } = (await json(request)) as { readonly topic: string | null };
    response.end(JSON.stringify({ allow: topic?.startsWith('secret.') !== true }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
