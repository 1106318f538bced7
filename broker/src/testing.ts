/// <reference lib="esnext.disposable" preserve="true" />
/** A node for the tests of your own app. */
import { findPort, ServerError } from './connection/listeners.js';
import { startBroker } from './node/broker.js';
import { createLog } from './observe/log.js';
import { loadConfig } from './settings/config.js';

/** A running node. Its disposal stops it. */
export interface TestNode extends AsyncDisposable {
  /** Where clients connect: `ws://127.0.0.1:<port>/ws`. */
  readonly url: string;
  /** Stops the node and closes its connections. What it stored is gone. */
  stop(): Promise<void>;
}

/**
 * Starts a node in this process: on a free port of this machine, without Redis, and with an empty memory. It logs only
 * errors. To test a lost connection or a reset, stop the node and start another one with `FANFARE_PORT` of the first.
 * `settings`: settings of the node by the names of their environment variables, such as
 * `{ FANFARE_TOPICS: '{">":{"level":"fast"}}' }`. The environment variables of the process do not count. Throws a
 * `ConfigError` if a setting is invalid.
 */
export async function startTestNode(settings: Readonly<Record<string, string>> = {}): Promise<TestNode> {
  if (settings['FANFARE_PORT'] !== undefined) return start(settings);
  for (let attempt = 1; ; attempt++) {
    // uWebSockets.js does not free a port for a minute if it has chosen it itself
    // (findings/uwebsockets-port-zero-restart.sh).
    const port = await findPort({ host: '127.0.0.1', port: 0 });
    try {
      return await start({ ...settings, FANFARE_PORT: String(port) });
    } catch (error) {
      // Another process may have taken the port meanwhile.
      if (!(error instanceof ServerError) || attempt === maxAttempts) throw error;
    }
  }
}

const maxAttempts = 10;

async function start(settings: Readonly<Record<string, string>>): Promise<TestNode> {
  const config = loadConfig({
    FANFARE_ADMIN_PORT: '0',
    FANFARE_LOG_LEVEL: 'error',
    // Clients that are still connected have no other node to move to.
    FANFARE_DRAIN_WINDOW_MS: '0',
    FANFARE_DRAIN_TIMEOUT_MS: '1000',
    ...settings,
  });
  const broker = await startBroker(config, createLog(config));
  let stopped: Promise<void> | null = null;
  const stop = (): Promise<void> => (stopped ??= broker.drain());
  const scheme = config.tlsCertFile === null ? 'ws' : 'wss';
  return { url: `${scheme}://127.0.0.1:${broker.port}/ws`, stop, [Symbol.asyncDispose]: stop };
}
