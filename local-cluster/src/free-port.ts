/** Ports for servers that cannot choose one themselves. */
import { once } from 'node:events';
import { createServer } from 'node:net';

// Below the range that outgoing connections take (32768 and up on Linux): a server that is restarted on its port finds it free.
const lowestPort = 20_000;
const highestPort = 32_000;

/** A port of 127.0.0.1 that was free a moment ago. */
export async function findFreePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = lowestPort + Math.floor(Math.random() * (highestPort - lowestPort));
    if (await isFree(port)) return port;
  }
  throw new Error(`No free port was found between ${lowestPort} and ${highestPort}.`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}
