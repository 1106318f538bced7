/** How many sockets this process may open. */
import { readFileSync } from 'node:fs';

/** File descriptors for other purposes than clients: Redis, the admin port, logs, modules, workers. */
const reserve = 256;

/** Maximum number of client sockets; infinite if unknown. Node.js has already raised the soft limit to the hard one. */
export function maxClientSockets(): number {
  let limits: string;
  try {
    limits = readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return Number.POSITIVE_INFINITY;
  }
  const [, soft = 'unlimited'] = /^Max open files\s+(\w+)/m.exec(limits) ?? [];
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Math.max(1, Number(soft) - reserve);
}
