/** Limits the sockets of the admin port, so that a probe always gets one, even if another peer holds many. */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { networkOf } from '../limits/addresses.js';

/** Maximum number of sockets: they use file descriptors that clients need. One more closes one of them. */
export const maxAdminSockets = 128;

interface Peer {
  /** Its address, or the /64 of IPv6. */
  readonly network: string;
  /** Requests without a complete answer. */
  requests: number;
}

/** Keeps at most {@link maxAdminSockets} sockets open, and never refuses a new one. */
export function limitSockets(http: HttpServer): void {
  /** The oldest comes first. */
  const peers = new Map<Socket, Peer>();
  http.on('connection', (socket: Socket) => {
    if (peers.size >= maxAdminSockets) {
      const dropped = leastNeeded(peers);
      peers.delete(dropped);
      dropped.destroy();
    }
    peers.set(socket, { network: networkOf(socket.remoteAddress ?? ''), requests: 0 });
    socket.once('close', () => peers.delete(socket));
  });
  http.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const peer = peers.get(socket);
    if (peer === undefined) return;
    peer.requests++;
    response.once('close', () => peer.requests--);
  });
}

/**
 * Selects a socket of the address that has most sockets: the oldest one without a request, or else the oldest one. So
 * an address with few sockets keeps them. A new probe is dropped last, even if it has the address of an attacker.
 */
function leastNeeded(peers: ReadonlyMap<Socket, Peer>): Socket {
  const counts = new Map<string, number>();
  for (const { network } of peers.values()) counts.set(network, (counts.get(network) ?? 0) + 1);
  const most = Math.max(...counts.values());
  const candidates = [...peers].filter(([, { network }]) => counts.get(network) === most);
  const [[oldest]] = candidates as [[Socket, Peer]];
  return candidates.find(([, { requests }]) => requests === 0)?.[0] ?? oldest;
}
