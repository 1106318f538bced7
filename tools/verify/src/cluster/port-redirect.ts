/**
 * Runs in a node before it starts (`--import`): its connections to some ports of this machine go to other ports. So a
 * proxy can be between one node and one Redis, whatever address of that Redis the node has learned.
 */
import { Socket } from 'node:net';
import { redirectVariable } from './redirected-ports.js';

const targets = new Map(
  (process.env[redirectVariable] ?? '').split(',').map((pair) => {
    const [from, to] = pair.split('=').map(Number);
    return [from, to] as const;
  }),
);

const connect = Socket.prototype.connect;

/** `net.connect` calls it with a list whose first element is the options; others call it with the options. */
Socket.prototype.connect = function redirected(this: Socket, ...args: readonly unknown[]): Socket {
  const [first] = args;
  const options = (Array.isArray(first) ? first[0] : first) as { port?: number } | undefined;
  const target = targets.get(options?.port);
  if (options !== undefined && target !== undefined) options.port = target;
  return Reflect.apply(connect, this, args) as Socket;
};
