/** The log: JSON lines for machines, readable lines for a person at a terminal. */
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { Repeats } from './repeats.js';
import { StandardOutput } from './standard-output.js';

export type Log = Logger;

/** Every `event` that a line can carry, and what it means. */
export const logEvents = {
  listening:
    'The node serves; with `port` and `adminPort`. With several workers each says its `port`, and the supervisor says both once all of them serve.',
  certificateRenewed: 'The files of the certificate have changed, and new connections are shown the new one.',
  certificateNotRenewed:
    'The files of the certificate have changed, but cannot be used: new connections are still shown the one of before.',
  certificateExpires:
    'The certificate has expired, is not good yet, or expires within 14 days (`notAfter`). Said at start, and of each new one.',
  authReread:
    'A file of FANFARE_AUTH (`@` and a path, `secretFile`, `publicKeyFile`) has changed, and the node uses what it holds now (`issuers`, `apiKeys`: how many).',
  authRefused:
    'A file of FANFARE_AUTH has changed and cannot be used: what it held before still counts. The message says what is wrong.',
  jwksRead:
    'The published keys of an `issuer` (its place in FANFARE_AUTH) were read: at start, and after they could not be.',
  jwksFailed: 'The published keys of an `issuer` cannot be read. Said once while it lasts.',
  jwksKeysRemoved:
    'An `issuer` has taken back `keys`, a number, from its `jwksUrl`: connections with tokens that they signed are closed (4003).',
  revoked:
    'A subject, a token or a connection (`kind`) was revoked at this node, `by` an API key, and is remembered `until` then (null: for ever). `isConfirmed` false: Redis did not take it, and the node tries again until it does.',
  hookFailed: 'The hook of FANFARE_AUTH does not answer as it should; said at once, then every 10 s while it lasts.',
  logDropped:
    'The node dropped log lines, and `lines` is their number: the program that reads standard output did not keep up or was gone, or the disk was full.',
  repeated:
    'A connection to Redis comes and goes: lines of the last minute that were not written (`omitted`), by their event and connection, after three of each. Also when the node has stopped.',
  durableWithoutRedis: 'FANFARE_TOPICS has topics of level durable, and no Redis keeps them: fit for development only.',
  systemLimit:
    'At start, unless it listens on loopback only: the system gives this node less than its settings ask for (`limit`, `value`, `wanted`); what to set is in the line and in docs/operations.md.',
  rebalancing:
    'The node has more connections than its `share` and invites some to move: `state` is `begun`, `over`, or `inVain` where the load balancer brings them back.',
  draining: 'The node was asked to stop: it invites its `connections` to move within `windowMs`.',
  drainWave: 'Connections that have not moved are closed; with how many are `left`.',
  stopped:
    'The node has let go of everything and ends; of its connections at the beginning, how many `left` by themselves, were `closed` in waves, or were `cutOff`, in `ms`.',
  workerStarted: 'The supervisor has started a process, `pid`, as `worker`.',
  workerEnded:
    'A worker ended although it was not asked to (`code` or `signal`, and `why` where it said so itself): it is started again in `againInMs`, the others serve meanwhile.',
  setprivMissing:
    'At start: the system has no `setpriv` (util-linux). A worker that hangs while the supervisor is killed lives on and keeps the port.',
  workerKilled:
    'A worker that was asked to stop has not ended in the time that this takes (`afterMs`): it is killed (SIGKILL).',
  outageBegan:
    'The node does not reach the others: `reason`, how many `connections` it has, and in the text what that means for them. Also where it has not within 3 s of its start.',
  outageLasts: 'It lasts, since `lastsMs`: said once a minute, with what it has done so far, as in `outageOver`.',
  outageOver:
    'It is over, after `lastedMs`; Redis has been back for a second. `times` it broke; commands `refused`, publishes `unconfirmed`, publications without acknowledgement `unrelayed`, publications delivered `late`, `gaps` and `resets` told. `isOver` false: the node stops meanwhile.',
  refusals:
    'Whom the node has refused or closed in the last minute (`seconds`), by kind, as the metrics name them; of failed authentications also the `reasons`. At most one a minute, and what is left when the node stops.',
  refused:
    'Level debug: a command was answered with an error, or a connection closed (`code`); which `connection`, `subject`, `command` and `topic`. Nothing else of what the client sent.',
  handshakeRefused:
    'Level debug: a handshake or another request was refused with `status`; from which `address`, and from pages of which `origin`. Nothing else of what the client sent.',
  proxyNotTrusted:
    'On this machine is a `proxy` (it sends X-Forwarded-For) that FANFARE_TRUSTED_PROXIES does not name: no limit of an address holds for its clients. Logged once.',
  clientAddressUnknown:
    'A trusted `proxy` does not name its client in X-Forwarded-For; the entry is missing or unreadable (`kind`). The limits of one address hold for all such clients together. Logged once for each kind.',
  redisConnected:
    'A connection to Redis (`link`: publisher, durable, subscriber, auth or check) works; `downMs` says how long it did not. `check` tries changed files of passwords and certificates, and is closed again.',
  redisLost:
    'A connection to Redis that worked does not any more, or the node closed it: the line says which, and why. The node tries again until it is back.',
  redisReset: 'Redis has not answered in time: the node closes the connection and opens another.',
  masterAnnounced:
    'A `sentinel` announces another master. The connections to the old one are closed (`redisLost`), and the new one is used.',
  sentinelRefused:
    'A `sentinel` does not let the node hear of failovers (`reason`): which user, password or permission to correct. Logged once until it does; asked again every 10 s.',
  redisError: 'What is wrong with Redis and what to do; said at once when it is new, then every 10 s while it lasts.',
  redisCredentialsAccepted:
    'The files of a password or certificate for Redis have changed, and a new connection with them succeeded. If it fails, `redisError` with `link` check says why, until it succeeds.',
  redisSettings:
    'A setting of Redis (`setting`) puts at risk what is promised; what to set is in the line and in docs/operations.md. Said once.',
  redisEvicts: 'Redis has deleted `keys` because it is full. Logged again every 10 minutes while it continues.',
  waitingForNodes:
    'Redis has just started, and so have all nodes that have come so far: they wait for nodes that know what Redis held, for `newNodeWaitMs` at most.',
  redisRecovered:
    'Redis came with another state (restarted, flushed, failed over), and the nodes gave back what it had lost; with the new `generation`.',
  probeMissed: 'A probe did not come back in time; `accepted` says whether Redis took it.',
  probeBack: 'After a miss, the probe comes back.',
  busDead: 'Two probes in a row did not come back: both connections to Redis are closed and opened again.',
  topicsCompared:
    'After a lost connection: topics compared with Redis, and what came of it (`publications` delivered late, `gaps` and `resets` told). `left` could not be compared yet.',
  topicRepaired: 'One topic had missed publications (level debug).',
  policiesDiffer: 'Another node has another FANFARE_TOPICS. Said once.',
  redisMessageUnreadable: 'A message on our channels in Redis is not ours. Said once.',
  tracing: 'Publications are traced: where spans are sent (`url`: scheme, host and port), and the `ratio`.',
  tracingFailed:
    'The collector does not take spans. They are dropped, and nothing else suffers. Said once while it lasts; what came of it, when it takes them again.',
  tracingBack: 'The collector takes spans again; with how many were `dropped`.',
  bug: 'Something happened that must not. Please report it, with the line.',
} as const;

export interface LogSettings {
  readonly logLevel: string;
  readonly logFormat: 'json' | 'pretty' | null;
  readonly nodeName: string;
}

/** Each line carries `node`, and `event`: a stable name for what happened, to search and alert by. */
export function createLog(settings: LogSettings, destination?: DestinationStream): Log {
  const repeats = new Repeats((omitted) => {
    const told = Object.entries(omitted).map(([kind, lines]) => `${lines} × ${kind}`);
    log.warn({ event: 'repeated', omitted }, `In the last minute not said again: ${told.join(', ')}.`);
  });
  const options: LoggerOptions = {
    level: settings.logLevel,
    base: { node: settings.nodeName },
    hooks: {
      logMethod(args, method) {
        const [fields] = args as readonly unknown[];
        const event = typeof fields === 'object' && fields !== null && 'event' in fields ? fields.event : null;
        if (repeats.admits(event, () => this.bindings()['link'])) method.apply(this, args);
      },
    },
  };
  const onDropped = (lines: number): void =>
    log.warn(
      { event: 'logDropped', lines },
      `${lines} lines of this log were dropped: the program that reads it did not keep up or was gone, or the disk was full.`,
    );
  const log = pino(options, destination ?? openDestination(settings.logFormat, onDropped));
  return log;
}

/** One for all that this process writes there: of two, one could begin a line inside a line of the other. */
let standardOutput: StandardOutput | null = null;

function openDestination(logFormat: LogSettings['logFormat'], onDropped: (lines: number) => void): DestinationStream {
  standardOutput ??= new StandardOutput(onDropped);
  const output = standardOutput;
  const format = logFormat ?? (process.stdout.isTTY ? 'pretty' : 'json');
  if (format === 'json') return output;
  const pretty = prettyFactory({ ignore: 'node,event', messageFormat: '{event}: {msg}' });
  return { write: (line) => output.write(pretty(line)) };
}

/** Writes lines of other processes, whole, to where the log of this one goes. To be called after {@link createLog}. */
export function createLineWriter(): (line: string) => void {
  const output = standardOutput;
  if (output === null) throw new Error('There is no log yet.');
  return (line) => output.write(`${line}\n`);
}

/** A bug that nobody caught: what state is left is unknown, so the process ends, and the log says why. */
export function endOnBug(log: Log): void {
  process.on('uncaughtException', (error) => {
    log.fatal({ event: 'bug', err: error }, 'The node ends because of an error that nobody caught: this is a bug.');
    process.exit(1);
  });
}
