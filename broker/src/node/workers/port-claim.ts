/**
 * Claims a port for the workers of one supervisor. SO_REUSEPORT alone lets every process of the same user share a port:
 * a second supervisor would get half of the clients, unnoticed.
 */
import { createServer, type Server as NetServer } from 'node:net';
import { cannotListen, findPort } from '../../connection/listeners.js';

interface Address {
  readonly host: string;
  readonly port: number;
}

/** How many free ports are tried, because other supervisors may claim them first. */
const attempts = 5;

/**
 * Claims `port`, or a free one if it is 0, until this process exits. Throws ServerError if another supervisor has
 * claimed it, or if a process listens on it.
 *
 * The supervisor makes the claim before it checks the port, and keeps it. So two supervisors cannot both find the port
 * free, and no supervisor can take the port while all workers of another restart. A single node may take the port at
 * such a moment. It does not share the port: the workers then report that they cannot listen.
 */
export async function claimPort({ host, port }: Address): Promise<number> {
  if (port !== 0) {
    if ((await claim(port)) === null) throw cannotListen({ port });
    return await findPort({ host, port });
  }
  for (let attempt = 0; attempt < attempts; attempt++) {
    const free = await findPort({ host, port });
    if ((await claim(free)) !== null) return free;
  }
  throw cannotListen({ port });
}

/**
 * Returns null if it is claimed. Uses an abstract Unix socket (its name begins with a zero byte). As with a port, only
 * one process of a network namespace can have this socket, and the kernel frees it when that process exits. It leaves
 * no file.
 */
function claim(port: number): Promise<NetServer | null> {
  const socket = createServer((peer) => peer.destroy());
  return new Promise((resolve, reject) => {
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(null);
      else reject(error);
    });
    socket.listen(`\0fanfare:port:${port}`, () => resolve(socket));
    // The claim must not keep this process from exiting.
    socket.unref();
  });
}
