/** Ports for servers that cannot choose one themselves. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

// Below the range of outgoing connections (32768 and up on Linux), so a restarted server finds its port free.
const lowestPort = 20_000;
const blockSize = 50;
const blocks = 240;

/** The block of this process. While it listens on the first port, no other process takes a port of the block. */
let block: { readonly firstPort: number; given: number } | null = null;

/** A free port of 127.0.0.1 that this function gives to no other process. */
export async function findFreePort(): Promise<number> {
  for (let attempt = 0; attempt < 10 * blockSize; attempt++) {
    if (block === null || block.given === blockSize - 1) block = await takeBlock();
    const port = block.firstPort + ++block.given;
    if (await isFree(port)) return port;
  }
  throw new Error(`No free port was found from ${lowestPort} to ${lowestPort + blocks * blockSize}.`);
}

async function takeBlock(): Promise<{ firstPort: number; given: number }> {
  const start = Math.floor(Math.random() * blocks);
  for (let n = 0; n < blocks; n++) {
    const firstPort = lowestPort + ((start + n) % blocks) * blockSize;
    const guard = await listen(firstPort);
    if (guard === null) continue;
    guard.unref();
    return { firstPort, given: 0 };
  }
  throw new Error(`Every block of ports from ${lowestPort} to ${lowestPort + blocks * blockSize} is taken.`);
}

async function isFree(port: number): Promise<boolean> {
  const server = await listen(port);
  if (server === null) return false;
  server.close();
  await once(server, 'close');
  return true;
}

/** Null if another server listens there. */
async function listen(port: number): Promise<Server | null> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return server;
  } catch {
    return null;
  }
}
