/** The sockets of the admin port: however many somebody holds, the next probe gets one. */
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { networkOf } from '../limits/addresses.js';

/** Sockets at once: they take file descriptors that clients need. One more takes the place of another. */
export const maxAdminSockets = 128;

interface Peer {
  /** Its address; of IPv6 the /64. */
  readonly network: string;
  /** Requests whose answer has not left yet. */
  requests: number;
}

/** Keeps at most {@link maxAdminSockets} sockets open, and never refuses a new one. */
export function boundSockets(http: HttpServer): void {
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
 * Of the address that has most sockets, the oldest without a request, or else the oldest. So an address that has few keeps them, and a probe
 * that has just connected is the last to go, also if it comes from the address of an attacker.
 */
function leastNeeded(peers: ReadonlyMap<Socket, Peer>): Socket {
  const counts = new Map<string, number>();
  for (const { network } of peers.values()) counts.set(network, (counts.get(network) ?? 0) + 1);
  const most = Math.max(...counts.values());
  const candidates = [...peers].filter(([, { network }]) => counts.get(network) === most);
  const [[oldest]] = candidates as [[Socket, Peer]];
  return candidates.find(([, { requests }]) => requests === 0)?.[0] ?? oldest;
}
