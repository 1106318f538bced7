/** A Fanfare node in its own process. */
import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Child } from './child.js';
import { findFreePort } from './free-port.js';

const main = fileURLToPath(new URL('../../../broker/dist/main.js', import.meta.url));
const startDeadlineMs = 60_000;
const pollIntervalMs = 10;

export interface NodeOptions {
  /** Nodes with the same Redis form one broker. Default: the in-memory relay. */
  readonly redisUrl?: string;
  /** More settings, `FANFARE_…`. The node does not inherit the settings of this process. */
  readonly env?: Readonly<Record<string, string>>;
  /** The loopback address of both ports. Default: 127.0.0.1. */
  readonly host?: string;
  /** Default: a free one. */
  readonly port?: number;
  /** Default: a free one. */
  readonly adminPort?: number;
  /** The program. Default: the output of `npm run build`. */
  readonly program?: string;
  /** Arguments of the program. */
  readonly args?: readonly string[];
  /** Whether to wait until the node says that it is ready (default), or only until it listens. */
  readonly waitReady?: boolean;
}

/** A child process that is a node. Disposing of it sends SIGKILL; a test that needs a drain calls `stop`. */
export interface NodeProcess extends Child, Ports {
  /** Where clients connect. */
  readonly url: string;
  readonly adminUrl: string;
}

interface Ports {
  readonly port: number;
  readonly adminPort: number;
}

/** Starts a node and waits until it is ready. */
export async function startNode(options: NodeOptions = {}): Promise<NodeProcess> {
  if (!existsSync(options.program ?? main)) throw new Error('The broker has not been built: run "npm run build".');
  for (let attempt = 1; ; attempt++) {
    // Do not let the system choose the port. After a kill, the sockets in TIME_WAIT were bound without SO_REUSEADDR, so
    // a node could not use that port for a minute.
    const port = options.port ?? (await findFreePort());
    try {
      return await startOn(port, options);
    } catch (error) {
      // Another process may have taken the port since we found it free.
      const isTaken = (error as Error).message.includes(
        `port ${port} of the address in FANFARE_HOST: the port is in use`,
      );
      if (options.port !== undefined || attempt === 3 || !isTaken) throw error;
    }
  }
}

async function startOn(port: number, options: NodeOptions): Promise<NodeProcess> {
  const {
    redisUrl,
    env = {},
    host = '127.0.0.1',
    adminPort = 0,
    program = main,
    args = [],
    waitReady = true,
  } = options;
  const child = new Child({
    command: [process.execPath, program, ...args],
    env: {
      ...ownEnvironment(),
      FANFARE_HOST: host,
      FANFARE_PORT: String(port),
      FANFARE_ADMIN_HOST: host,
      FANFARE_ADMIN_PORT: String(adminPort),
      // The Redis of a test is new, so there is no other node to wait for.
      FANFARE_NEW_NODE_WAIT_MS: '0',
      ...(redisUrl === undefined ? {} : { FANFARE_REDIS_URL: redisUrl }),
      ...env,
    },
  });
  const signal = AbortSignal.timeout(startDeadlineMs);
  try {
    const ports = await child.find(readPorts, signal);
    if (ports === null) throw new Error(child.explain('The node ended before it listened.'));
    const scheme = env['FANFARE_TLS_CERT_FILE'] === undefined ? 'ws' : 'wss';
    const [url, adminUrl] = [`${scheme}://${host}:${ports.port}/ws`, `http://${host}:${ports.adminPort}`];
    const node = Object.assign(child, { ...ports, url, adminUrl });
    if (waitReady) await becomesReady(node, signal);
    return node;
  } catch (error) {
    await child.kill();
    if (error !== signal.reason) throw error;
    throw new Error(
      child.explain(`The node was not ${waitReady ? 'ready' : 'listening'} after ${startDeadlineMs} ms.`),
    );
  }
}

/** If a test sets `FANFARE_…` for itself, the nodes that it starts must not inherit it. */
function ownEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('FANFARE_')));
}

function readPorts(line: string): Ports | null {
  if (!line.startsWith('{') || !line.includes('"listening"')) return null;
  const { event, port, adminPort } = JSON.parse(line) as Partial<Ports> & { event?: string };
  if (event !== 'listening' || port === undefined || adminPort === undefined) return null;
  return { port, adminPort };
}

async function becomesReady(node: NodeProcess, signal: AbortSignal): Promise<void> {
  while (true) {
    if (node.hasExited) throw new Error(node.explain('The node ended before it was ready.'));
    const response = await fetch(`${node.adminUrl}/readyz`, { signal }).catch(() => null);
    await response?.body?.cancel();
    if (response?.status === 200) return;
    signal.throwIfAborted();
    await delay(pollIntervalMs);
  }
}
