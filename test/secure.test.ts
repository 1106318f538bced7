/** The typed client over TLS with compression, against a node whose certificate is renewed. */
import { createClient, type WebSocketConstructor } from '@fanfare/client';
import { expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { CertificateFolder } from '../broker/test/certificates.js';
import { startNode } from '../broker/test/harness.js';

/**
 * Trusts this CA, as NODE_EXTRA_CA_CERTS does for a whole process. `ws` offers compression if the client does not
 * decline it.
 */
function trusting(ca: Buffer, extensions: Set<string>): WebSocketConstructor {
  return class extends WebSocket {
    constructor(url: string, protocols: string) {
      super(url, protocols, { ca });
      this.once('open', () => extensions.add(this.extensions));
    }
  };
}

it('a typed client uses wss with compression, and stays connected when the certificate is renewed', async () => {
  using folder = new CertificateFolder('first');
  await using node = await startNode({ ...folder.env, FANFARE_COMPRESSION: 'shared' });
  const extensions = new Set<string>();
  await using early = createClient(node.url, { webSocket: trusting(folder.ca, extensions) });
  const states: string[] = [];
  const received: unknown[] = [];
  const subscription = early.subscribe('news', ({ data }) => received.push(data));
  await subscription.ready;
  early.on('state', ({ name }) => states.push(name));
  folder.renew('second');
  await expect.poll(() => node.log.some(({ event }) => event === 'certificateRenewed')).toBe(true);
  await using late = createClient(node.url, { encoding: 'json', webSocket: trusting(folder.ca, extensions) });
  const article = { text: 'hello '.repeat(1_000) };
  await late.publish('news', article);
  await early.publish('news', article);
  await expect.poll(() => received.length).toBe(2);
  expect(received).toEqual([article, article]);
  expect(extensions).toEqual(new Set(['permessage-deflate']));
  expect(states).toEqual([]);
});
