/** A port that was free when it was chosen, but is in use when the node binds it. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, it, vi } from 'vitest';
import * as freePort from '../src/free-port.js';
import { startNode } from '../src/index.js';

vi.mock(import('../src/free-port.js'), async (original) => {
  const { findFreePort } = await original();
  return { findFreePort: vi.fn(findFreePort) };
});

it('startNode tries another port if its port is in use, unless the caller chose the port', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  vi.mocked(freePort.findFreePort).mockResolvedValueOnce(port);
  await using node = await startNode();
  expect(node.port).not.toBe(port);
  await expect(startNode({ port })).rejects.toThrow(
    `Cannot listen on port ${port} of the address in FANFARE_HOST: the port is in use`,
  );
  other.close();
});
