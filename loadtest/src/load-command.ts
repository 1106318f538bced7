/** Carries out scenarios: starts what they need, puts the load on it, and answers what came of it. */
import { connect } from 'node:net';
import { UsageError } from './flags.js';
import type { Target } from './load/connection.js';
import type { Deployment } from './load/deployment.js';
import type { LoadResult, Moment } from './load/result.js';
import { runLoad } from './load/run-load.js';
import { maxStreams } from './load/stamp.js';
import { streamsOf } from './load/workload.js';
import type { ProtocolName } from './protocols/protocols.js';
import type { Run } from './scenarios/scenario.js';
import type { ServerKind } from './servers/server.js';
import { servers } from './servers/servers.js';

/** Connections of one process: it may open 20,000 files on many machines. */
const maxConnectionsPerGenerator = 15_000;

export interface LoadSettings {
  /** Names of the servers that are started for it. */
  readonly servers: readonly string[];
  /** A broker that runs already, instead of them; null: none. */
  readonly url: string | null;
  readonly token: string | null;
  readonly encoding: 'msgpack' | 'json';
  /** Whether the typed client is used in any case. */
  readonly isTyped: boolean;
  /** Generator processes; null: as many as the connections need. */
  readonly generators: number | null;
  readonly rounds: number;
}

export interface Show {
  line(text: string): void;
  moment(moment: Moment): void;
}

/** Runs in turns, so that what disturbs the machine disturbs all servers alike. */
export async function carryOutRuns(
  runs: readonly Run[],
  settings: LoadSettings,
  show: Show,
): Promise<readonly LoadResult[]> {
  const results: LoadResult[] = [];
  const present = await findPresent(settings, show);
  for (const run of runs) {
    for (let round = 1; round <= settings.rounds; round++) {
      // Whoever comes first in one round comes last in the next.
      for (const name of round % 2 === 1 ? present : present.toReversed()) {
        show.line(`${run.label}: ${name}${settings.rounds > 1 ? `, round ${round} of ${settings.rounds}` : ''}`);
        results.push(await carryOutRun(run, name, settings, show));
      }
    }
  }
  return results;
}

export async function carryOutRun(run: Run, name: string, settings: LoadSettings, show: Show): Promise<LoadResult> {
  const { scenario, label, workload, needsClient } = run;
  const streams = streamsOf(workload);
  if (streams > maxStreams)
    throw new UsageError(`Topics and publishers may make up to ${maxStreams} streams, not ${streams}.`);
  const isTyped = settings.isTyped || needsClient;
  const kind = settings.url === null ? kindNamed(name) : null;
  if (isTyped && kind !== null && !name.startsWith('fanfare')) {
    throw new UsageError(`${name} cannot serve the typed client, which this needs: it speaks only Fanfare's protocol.`);
  }
  const { nodes, env } = run;
  if (isTyped && settings.token !== null) {
    throw new UsageError(
      '--token cannot go with this scenario yet: it needs the typed client, which has no token to send.',
    );
  }
  await using deployment = kind === null ? await findBroker(settings) : await kind.start({ nodes, env });
  const protocol: ProtocolName = kind?.protocol ?? settings.encoding;
  const wanted = Math.ceil(Math.max(workload.subscribers, workload.publishers) / maxConnectionsPerGenerator);
  return await runLoad({
    scenario,
    label,
    server: isTyped ? `${name}, typed client` : name,
    workload,
    deployment,
    protocol,
    isTyped,
    generators: settings.generators ?? wanted,
    onMoment: (moment) => show.moment(moment),
  });
}

/** Those that this machine has; the others are left out aloud. */
export async function findPresent({ servers: names, url }: LoadSettings, show: Show): Promise<readonly string[]> {
  if (url !== null) return ['the broker at the URL'];
  const present: string[] = [];
  const reasons: string[] = [];
  for (const name of names) {
    const missing = await kindNamed(name).missing();
    if (missing === null) present.push(name);
    else reasons.push(`${name} cannot be started: ${missing}`);
  }
  if (present.length === 0) throw new UsageError(reasons.join(' '));
  for (const reason of reasons) show.line(reason);
  return present;
}

function kindNamed(name: string): ServerKind {
  const kind = servers[name];
  if (kind !== undefined) return kind;
  throw new UsageError(`--servers does not know "${name}", only ${Object.keys(servers).join(', ')}.`);
}

async function findBroker({ url, token }: LoadSettings): Promise<Deployment> {
  const target = parseTarget(url ?? '', token);
  await new Promise<void>((resolve, reject) => {
    const socket = connect({ host: target.host, port: target.port });
    socket.on('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.on('error', ({ message }) => reject(new Error(`There is no broker at ${url}: ${message}.`)));
  });
  return {
    targets: [target],
    processes: [],
    redisPort: null,
    metricsUrls: [],
    [Symbol.asyncDispose]: async () => undefined,
  };
}

export function parseTarget(text: string, token: string | null): Target {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'ws:' && url.protocol !== 'wss:')) {
    throw new UsageError(`--url must be like ws://127.0.0.1:8080/ws or wss://…, not "${text}".`);
  }
  const isTls = url.protocol === 'wss:';
  const port = url.port === '' ? (isTls ? 443 : 80) : Number(url.port);
  const path = `${url.pathname === '/' ? '/ws' : url.pathname}${url.search}`;
  return { host: url.hostname, port, isTls, path, token };
}
