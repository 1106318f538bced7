/** How the servers of each kind start on this machine. */
import { fileURLToPath } from 'node:url';
import type { Level } from '@fanfare/kit/level';
import { Child, startNode } from '@fanfare/local-cluster';
import type { Launcher } from './launcher.js';
import { mosquitto } from './mosquitto.js';
import { nats } from './nats.js';
import { nchan } from './nchan.js';
import { deployNodes, deployNodesOnRedis, deployNodesOnShards, type ServerProcess } from './node-deployment.js';

const startDeadlineMs = 60_000;

/** The other servers have no such limits. `npm run abuse` measures what these limits cost. */
const noLimits = { FANFARE_HANDSHAKES_PER_SECOND: '1000000', FANFARE_MAX_CONNECTIONS: '1000000' };

/** `hasRedis`: also a single node has one, as in a cluster. */
function fanfare(level: Level, hasRedis = false): Launcher {
  return {
    missing: async () => null,
    start: async ({ nodes, env }) => {
      const settings = { ...noLimits, FANFARE_TOPICS: JSON.stringify({ '>': { level } }), ...env };
      // Level durable is a promise about Redis, so even a single node gets a Redis.
      const isDurable = level === 'durable';
      return nodes === 1 && !isDurable && !hasRedis
        ? await deployNodes(nodes, () => startNode({ env: settings }))
        : await deployNodesOnRedis(nodes, (redisUrl) => startNode({ env: settings, redisUrl }), isDurable);
    },
  };
}

/** Level recoverable, with several Redis servers. */
function fanfareOnShards(count: number): Launcher {
  return {
    missing: async () => null,
    start: async ({ nodes, env }) =>
      await deployNodesOnShards(nodes, (redisUrl) => startNode({ env: { ...noLimits, ...env }, redisUrl }), count),
  };
}

/**
 * A program for Node in this folder, which prints its port in one line. If it needs a Redis, its first argument is the
 * URL of it.
 */
function script(file: string, needsRedis: boolean, ...args: readonly string[]): Launcher {
  return {
    missing: async () => null,
    start: async ({ nodes, env }) =>
      needsRedis
        ? await deployNodesOnRedis(nodes, (redisUrl) => startScript(file, [redisUrl, ...args], env))
        : await deployNodes(nodes, () => startScript(file, args, env)),
  };
}

async function startScript(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<ServerProcess> {
  const path = fileURLToPath(new URL(`../../dist/launch/${file}.js`, import.meta.url));
  const child = new Child({ command: [process.execPath, path, ...args], env: { ...process.env, ...env } });
  const port = await child.find(readPort, AbortSignal.timeout(startDeadlineMs));
  if (port === null) throw new Error(child.explain(`The server ${file} ended before it listened.`));
  return Object.assign(child, { port });
}

function readPort(line: string): number | null {
  return line.startsWith('{') ? (JSON.parse(line) as { port: number }).port : null;
}

export const launchers: Readonly<Record<string, Launcher>> = {
  fanfare: fanfare('recoverable'),
  'fanfare-json': fanfare('recoverable'),
  'fanfare-fast': fanfare('fast'),
  'fanfare-fast-json': fanfare('fast'),
  'fanfare-durable': fanfare('durable'),
  'fanfare-shards-2': fanfareOnShards(2),
  'fanfare-shards-4': fanfareOnShards(4),
  'fanfare-http': fanfare('recoverable'),
  'fanfare-http-fast': fanfare('fast'),
  'fanfare-http-redis': fanfare('recoverable', true),
  'fanfare-http-redis-fast': fanfare('fast', true),
  'fanfare-batch-fast': fanfare('fast'),
  'fanfare-batch-redis': fanfare('recoverable', true),
  'fanfare-sse': fanfare('recoverable'),
  'fanfare-sse-fast': fanfare('fast'),
  'fanfare-long-poll': fanfare('recoverable'),
  'raw-http': script('raw-http-server', false),
  fastify: script('fastify-server', true),
  'fastify-history': script('fastify-server', true, '--history'),
  raw: script('raw-server', false),
  'raw-deferred': script('raw-server', false, '--deferred'),
  ioredis: script('ioredis-server', true),
  'ws-redis': script('ws-redis-server', true),
  socketio: script('socketio-server', true),
  'socketio-sharded': script('socketio-server', true, '--sharded'),
  'socketio-uws': script('socketio-server', true, '--uws'),
  nats,
  nchan,
  'nchan-http': nchan,
  'nchan-sse': nchan,
  'nchan-long-poll': nchan,
  mosquitto,
  aedes: script('aedes-server', false),
};
