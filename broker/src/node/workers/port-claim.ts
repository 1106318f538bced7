/**
 * A port that several processes of one broker share, and nobody else does. SO_REUSEPORT alone lets in every process of the same user that
 * sets it: a second supervisor would get half of the clients, unnoticed.
 */
import { createServer, type Server as NetServer } from 'node:net';
import { cannotListen, findPort } from '../../connection/listeners.js';

interface Address {
  readonly host: string;
  readonly port: number;
}

/** How many free ports are tried where the system chooses and other supervisors claim them first. */
const attempts = 5;

/**
 * Claims `port`, or a free one where that is 0, until this process ends, however it ends. Throws ServerError where another supervisor
 * has claimed it or anybody listens on it.
 *
 * The claim comes first and stays, so that two supervisors never pass each other between the look at the port and the workers that take it,
 * or while all workers of one are being started again. A node without workers that takes the port in such a moment does not share it: then
 * the workers cannot listen, and say so.
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
 * Null where it is taken. An abstract Unix socket (its name begins with a zero byte): the kernel gives it to one process of a network
 * namespace, as it does with ports, and takes it back when that process ends. No file stays behind.
 */
function claim(port: number): Promise<NetServer | null> {
  const socket = createServer((peer) => peer.destroy());
  return new Promise((resolve, reject) => {
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(null);
      else reject(error);
    });
    socket.listen(`\0fanfare:port:${port}`, () => resolve(socket));
    // It holds the port, not this process.
    socket.unref();
  });
}
