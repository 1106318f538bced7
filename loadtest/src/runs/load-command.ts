/** Runs scenarios: starts the servers, applies the load, and returns the results. */

import { checkBroker } from '@fanfare/kit/broker-url';
import { Disposables } from '@fanfare/kit/disposables';
import { UsageError } from '@fanfare/kit/options';
import { maxStreams } from '@fanfare/kit/stamp';
import { remoteDeployment } from '../load/deployment.js';
import { carryOutEarlier } from '../load/earlier-load.js';
import { GarbageMeter } from '../load/garbage-meter.js';
import type { LoadResult, Moment } from '../load/result.js';
import { runLoad } from '../load/run-load.js';
import { streamsOf } from '../load/workload.js';
import { type ProtocolName, protocols, type Transport } from '../protocols/protocols.js';
import type { Run } from '../scenarios/scenario.js';
import type { ServerKind } from '../servers/servers.js';
import { servers } from '../servers/servers.js';

/** Connections of one process: many machines let a process open only 20,000 files. */
const maxConnectionsPerGenerator = 15_000;

export interface LoadSettings {
  /** Names of the servers to start. */
  readonly servers: readonly string[];
  /** A running broker to use instead; null: none. */
  readonly url: string | null;
  readonly token: string | null;
  readonly encoding: 'msgpack' | 'json';
  /** How clients reach Fanfare. */
  readonly protocol: Transport;
  /** Whether the typed client is used in any case. */
  readonly isTyped: boolean;
  /** Generator processes; null: as many as the connections need. */
  readonly generators: number | null;
  readonly rounds: number;
  /** Whether the garbage collections of servers on Node are measured. */
  readonly garbage: boolean;
}

export interface Show {
  line(text: string): void;
  moment(moment: Moment): void;
}

/** Throws a {@link UsageError} if a run is impossible with these settings: before an hour of load, not after it. */
export function checkRun(run: Run, settings: LoadSettings): void {
  const { servers: names, url, generators, isTyped, protocol } = settings;
  const { workload, label } = run;
  const streams = streamsOf(workload);
  if (streams > maxStreams) {
    throw new UsageError(`Topics and publishers may be at most ${maxStreams}, whichever is more, not ${streams}.`);
  }
  const connections = Math.max(workload.subscribers, workload.perSecond > 0 ? workload.publishers : 0);
  if (generators !== null && generators > connections) {
    throw new UsageError(
      `--generators must be at most ${connections} for "${label}", so that each has a connection, not ${generators}.`,
    );
  }
  const needsClient = isTyped || run.needsClient;
  if (run.needsClient && protocol !== 'websocket') {
    throw new UsageError(`${run.scenario} needs clients that recover, which use the WebSocket: omit --protocol.`);
  }
  if (unsubscribes(run) && protocols[protocolOf(null, settings)].subscriber.unsubscribe([]) === null) {
    throw new UsageError(`--protocol ${protocol} cannot end a subscription, as ${run.scenario} does: omit it.`);
  }
  for (const name of url === null ? names : []) {
    const cannot = whatItCannot(name, { ...run, needsClient }, settings);
    if (cannot !== null) throw new UsageError(`${name} cannot ${cannot}: omit it.`);
  }
}

function unsubscribes({ workload }: Run): boolean {
  return workload.disturbances.some((each) => each.name === 'resubscribe');
}

/** Whether `--protocol` applies: to Fanfare, unless its name is already about a protocol. */
function servesTransports(name: string): boolean {
  return name.startsWith('fanfare') && ['msgpack', 'json'].includes(kindNamed(name).protocol);
}

/** Of the clients. `name`: the server that is started; null: there is a URL, or the server does not matter. */
function protocolOf(name: string | null, { url, encoding, protocol }: LoadSettings): ProtocolName {
  if (protocol !== 'websocket') return protocol;
  return url !== null || name === null ? encoding : kindNamed(name).protocol;
}

/** What a run requires but this kind of server cannot do; null: nothing. */
function whatItCannot(name: string, run: Run, settings: LoadSettings): string | null {
  const { workload, nodes, needsClient } = run;
  const { isAlone, onlyPublishes } = kindNamed(name);
  if (settings.protocol !== 'websocket' && !servesTransports(name)) return `serve --protocol ${settings.protocol}`;
  if (onlyPublishes && workload.subscribers > 0) return 'deliver to subscribers, as this load needs';
  if (needsClient && !name.startsWith('fanfare')) {
    return "serve the typed client, which this needs and which speaks only Fanfare's protocol";
  }
  if (isAlone && nodes > 1) return `be ${nodes} nodes, because its processes do not connect to each other`;
  if (unsubscribes(run) && protocols[protocolOf(name, settings)].subscriber.unsubscribe([]) === null)
    return 'end a subscription, as this load does';
  return null;
}

/**
 * Servers take turns, so that other load on the machine affects all of them alike. Each result is in `results` as soon
 * as its run has ended, so it is kept if a later run fails or is stopped.
 */
export async function carryOutRuns(
  runs: readonly Run[],
  settings: LoadSettings,
  show: Show,
  results: LoadResult[] = [],
): Promise<readonly LoadResult[]> {
  const present = await findPresent(settings, show);
  for (const run of runs) {
    for (let round = 1; round <= settings.rounds; round++) {
      // Each round has the reverse order of the previous one.
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
  const isTyped = settings.isTyped || needsClient;
  const { url, token } = settings;
  const { nodes, env } = run;
  await using parts = new Disposables();
  const garbage = settings.garbage ? parts.use(await GarbageMeter.start()) : null;
  const deployment = parts.use(
    url === null
      ? await kindNamed(name).start({ nodes, env: { ...env, ...garbage?.env } })
      : remoteDeployment(await checkBroker(url, token)),
  );
  const protocol = protocolOf(name, settings);
  const wanted = Math.ceil(Math.max(workload.subscribers, workload.publishers) / maxConnectionsPerGenerator);
  const earlier: string[] = [];
  for (const load of run.before) earlier.push(...(await carryOutEarlier(parts, load, deployment, protocol)));
  const result = await runLoad({
    scenario,
    label,
    server: isTyped ? `${name}, typed client` : settings.protocol === 'websocket' ? name : `${name}, ${protocol}`,
    workload,
    deployment,
    protocol,
    isTyped,
    generators: settings.generators ?? wanted,
    garbage,
    onMoment: (moment) => show.moment(moment),
    onHole: ({ message }) => show.line(`The samples have a gap: ${message}`),
  });
  return { ...result, complaints: [...earlier, ...result.complaints] };
}

/** The servers that this machine can start. Prints a reason for each of the others. */
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
  throw new UsageError(`Unknown server "${name}". Valid: ${Object.keys(servers).join(', ')}.`);
}
