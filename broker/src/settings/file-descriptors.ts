/** How many sockets the system lets this process have. */
import { readFileSync } from 'node:fs';

/** What a node needs beside its clients' sockets: Redis, the admin port, logs, modules, workers. */
const reserve = 256;

/** Most sockets of clients; infinite where the system does not say. Node has raised the soft limit to the hard one by then. */
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
