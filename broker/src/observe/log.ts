/** The log: JSON lines for machines, readable lines for a person at a terminal. */
import { createRequire } from 'node:module';
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';
import { LogThrottle } from './log-throttle.js';
import { StandardOutput } from './standard-output.js';

export type Log = Logger;

/** Every `event` of a line, and its meaning. */
export const logEvents = {
  listening:
    'The node accepts connections on `port`; `adminPort` is the admin port, and `pid` the process. With several workers, each logs its `port`; the supervisor logs both when all workers are ready.',
  certificateRenewed: 'The certificate files have changed. New connections use the new certificate.',
  certificateNotRenewed:
    'The certificate files have changed but are unusable. New connections still use the previous certificate.',
  certificateExpires:
    'The certificate has expired, is not valid yet, or expires within 14 days (`notAfter`). Logged at startup and for each new certificate.',
  authReread:
    'A file of FANFARE_AUTH (`@` path, `secretFile`, `publicKeyFile`) has changed. The node uses the new content (`issuers`, `apiKeys`: number of each).',
  authRefused:
    'A file of FANFARE_AUTH has changed but is unusable. The node keeps using the previous content. The message says what is wrong.',
  jwksRead:
    'The node has read the published keys of an `issuer` (its place in FANFARE_AUTH). Logged at startup and after a failure.',
  jwksFailed: 'The node cannot read the published keys of an `issuer`. Logged once per failure period.',
  jwksKeysRemoved:
    'An `issuer` has removed keys (`keys`: how many) from its `jwksUrl`. The node closes connections whose tokens they signed (4003).',
  revoked:
    'An API key (`by`) has revoked a subject, a token or a connection (`kind`) on this node, valid `until` (null: forever). If `isConfirmed` is false, Redis has not stored it; the node keeps retrying.',
  hookFailed: 'The authorization hook of FANFARE_AUTH fails. Logged at once, then every 10 s while it fails.',
  logDropped:
    'The node dropped log lines (`lines`: how many). The reader of standard output was too slow or gone, or the disk was full.',
  repeated:
    'A Redis connection fails repeatedly. The node writes three lines per event, connection and minute; `omitted` counts the rest. Also logged when the node stops.',
  durableWithoutRedis:
    'FANFARE_TOPICS has topics of level durable, but no Redis is configured. Suitable for development only.',
  systemLimit:
    'At startup, unless the node listens on loopback only: a system limit is too low for the settings (`limit`, `value`, `wanted`). The line and docs/operations.md say what to set.',
  rebalancing:
    'The node has more connections than its `share` and asks some clients to move. `state` is `begun`, `over`, or `inVain` if the load balancer returns them to this node.',
  draining: 'The node is stopping. It asks its `connections` to move within `windowMs`.',
  drainWave: 'The node closes connections that have not moved. `left`: how many remain.',
  stopped:
    'The node has stopped, after `ms`. Of its connections, `left` moved by themselves, `closed` were closed in waves, and `cutOff` were dropped.',
  workerStarted: 'The supervisor has started a process, `pid`, as `worker`.',
  workerEnded:
    'A worker exited unexpectedly (`code` or `signal`, and `why` if it gave a reason). The supervisor restarts it in `againInMs`. The other workers keep serving.',
  setprivMissing:
    'At startup: the system has no `setpriv` (util-linux). If the supervisor is killed while a worker hangs, the worker survives and keeps the port.',
  workerKilled: 'A stopping worker did not exit within `afterMs`. The supervisor kills it (SIGKILL).',
  shardMap: 'Level debug: the node works according to this `map` of partitions (`fanfare shards`).',
  shardMapFault:
    'The node cannot follow the map of partitions, and is not ready. The message says why and what to do. Logged once for each reason.',
  outageBegan:
    'The node cannot reach the other nodes (`reason`). `connections`: how many clients it has. The message says what this means for them. Also logged if the node has no connection within 3 s of startup.',
  outageLasts: 'The outage has lasted for `lastsMs`. Logged once a minute, with the same counts as `outageOver`.',
  outageOver:
    'The outage is over after `lastedMs`: Redis has been back for a second. `times`: number of failures. Counts: commands `refused`, publishes `unconfirmed`, unacknowledged publications `unrelayed`, publications delivered `late`, `gaps` and `resets` sent to subscribers. If `isOver` is false, the node stops during the outage.',
  shardLost:
    'One of several Redis (`shard`) could not be used for a second, while others could. Topics in `unavailable` of its `partitions` are unavailable. Also logged if a starting node does not reach it within 3 s.',
  shardBack: 'The `shard` is back after `lastedMs`.',
  refusals:
    'Refused requests and closed connections of the last minute (`seconds`), by kind, named like the metrics. Includes the `reasons` of failed authentications. Logged at most once a minute, and when the node stops.',
  refused:
    'Level debug: the node answered a command with an error, or closed a connection (`code`). With `connection`, `subject`, `command` and `topic`; nothing else from the client.',
  requestRefused:
    'Level debug: the node answered an HTTP request with an error: its `status` and `code`, the `address`, and the `origin` of the page; nothing else from the client.',
  handshakeRefused:
    'Level debug: the node refused a handshake with `status`. With the `address` and the `origin` of the page; nothing else from the client.',
  proxyNotTrusted:
    'A `proxy` on this machine sends X-Forwarded-For, but FANFARE_TRUSTED_PROXIES does not list it. Limits per address do not apply to its clients. Logged once.',
  clientAddressUnknown:
    'The X-Forwarded-For of a trusted `proxy` is missing or unreadable (`kind`). All its clients share the limits of one address. Logged once per kind.',
  redisConnected:
    'A Redis connection (`link`: publisher, durable, subscriber, auth or check) is up, after `downMs` down. `check` tests changed password and certificate files; the node closes it afterwards.',
  redisLost: 'A Redis connection failed, or the node closed it. The line says which one and why. The node reconnects.',
  redisReset: 'Redis did not answer in time. The node reconnects.',
  masterAnnounced:
    'A `sentinel` announced a new master. The node closes its connections to the old master (`redisLost`) and uses the new one.',
  sentinelRefused:
    'A `sentinel` rejects the subscription to announcements of failovers. `reason` says which user, password or permission to correct. Logged once until it succeeds; retried every 10 s.',
  redisError: 'A Redis problem and its remedy. Logged at once, then every 10 s while it lasts.',
  redisCredentialsAccepted:
    'The password or certificate files for Redis have changed, and a new connection with them succeeded. If it fails, `redisError` with `link` check says why.',
  redisSettings:
    'A Redis setting (`setting`) puts the delivery guarantees at risk. The line and docs/operations.md say what to set. Logged once.',
  redisEvicts:
    'Redis has evicted keys (`keys`: how many) because it is full. Repeated every 10 minutes while it continues.',
  waitingForNodes:
    'Redis and all connected nodes have just started. They wait up to `newNodeWaitMs` for older nodes that can restore the lost data.',
  redisRecovered:
    'Redis has a different state (restart, flush, failover), and the nodes restored the lost data. `generation`: the new generation.',
  probeMissed: 'A probe did not return in time. `accepted`: whether Redis accepted it.',
  probeBack: 'Probes return again after a miss.',
  busDead:
    'Two probes in a row did not return. The node reconnects both Redis connections. In a Redis Cluster, each `slot` has its own probes: if those of other slots return through the same server (`shard`), its connections stay, and the node looks for the server of this slot.',
  topicsCompared:
    'After a lost connection, the node compared its topics with Redis. Result: `publications` delivered late, `gaps` and `resets` sent. `left`: topics not compared yet.',
  topicRepaired: 'Level debug: one topic had missed publications.',
  policiesDiffer: 'Another node has a different FANFARE_TOPICS. Logged once.',
  redisMessageUnreadable: 'The node received a Redis message that it cannot decode on its channels. Logged once.',
  tracing: 'Tracing is on. `url`: the collector (scheme, host and port); `ratio`: the share of traced publications.',
  tracingFailed:
    'The collector does not accept spans. The node drops them; publications are not affected. Logged once per failure period.',
  tracingBack: 'The collector accepts spans again. `dropped`: how many spans were lost.',
  bug: 'An internal error. Please report it, with the line.',
} as const;

interface LogSettings {
  readonly logLevel: string;
  readonly logFormat: 'json' | 'pretty' | null;
  readonly nodeName: string;
}

/** Each line has `node` and `event`. The event is a stable name for searches and alerts. */
export function createLog(settings: LogSettings, destination?: DestinationStream): Log {
  const throttle = new LogThrottle((omitted) => {
    const counts = Object.entries(omitted).map(([kind, lines]) => `${lines} × ${kind}`);
    log.warn({ event: 'repeated', omitted }, `Repeated lines omitted in the last minute: ${counts.join(', ')}.`);
  });
  const options: LoggerOptions = {
    level: settings.logLevel,
    base: { node: settings.nodeName },
    hooks: {
      logMethod(args, method) {
        const [fields] = args as readonly unknown[];
        const event = typeof fields === 'object' && fields !== null && 'event' in fields ? fields.event : null;
        if (throttle.admits(event, () => this.bindings()['link'])) method.apply(this, args);
      },
    },
  };
  const onDropped = (lines: number): void =>
    log.warn(
      { event: 'logDropped', lines },
      `${lines} log lines were dropped. The reader of standard output was too slow or gone, or the disk was full.`,
    );
  const log = pino(options, destination ?? openDestination(settings.logFormat, onDropped));
  return log;
}

/** One output for the whole process: two could mix their lines. */
let standardOutput: StandardOutput | null = null;

function openDestination(logFormat: LogSettings['logFormat'], onDropped: (lines: number) => void): DestinationStream {
  standardOutput ??= new StandardOutput(onDropped);
  const output = standardOutput;
  const format = logFormat ?? (process.stdout.isTTY ? 'pretty' : 'json');
  if (format === 'json') return output;
  // Loaded only for a terminal: it has 40 files.
  const { prettyFactory } = createRequire(import.meta.url)('pino-pretty') as typeof import('pino-pretty');
  const pretty = prettyFactory({ ignore: 'node,event', messageFormat: '{event}: {msg}' });
  return { write: (line) => output.write(pretty(line)) };
}

/**
 * Returns a function that adds whole lines of other processes to the log of this one. Call this after
 * {@link createLog}.
 */
export function createLineWriter(): (line: string) => void {
  const output = standardOutput;
  if (output === null) throw new Error('There is no log yet.');
  return (line) => output.write(`${line}\n`);
}

/** Exits on an uncaught error, because the state of the process is then unknown, and logs the error. */
export function endOnBug(log: Log): void {
  process.on('uncaughtException', (error) => {
    log.fatal(
      { event: 'bug', err: error },
      'The node exits because of an uncaught error. This is a bug: please report it.',
    );
    process.exit(1);
  });
}
