/**
 * Explains errors of Redis and of the network in one sentence for the log and /readyz: what happened, and what to do.
 */
import { RedisCredentialsError } from './redis-credentials.js';
import type { RedisAddress } from './redis-url.js';

/**
 * Whether the data in Redis was written by a release that this one does not understand (lua/recover.lua,
 * lua/heartbeat.lua).
 */
export function isOfAnotherLayout({ message }: Error): boolean {
  return /^LAYOUT\b/.test(message);
}

/** Whether Redis is full, so that it refuses writes. */
export function isOutOfMemory({ message }: Error): boolean {
  return /^OOM\b/.test(message);
}

/**
 * Whether Redis refuses all writes, for a reason other than its generation. A master without replicas may be cut off: a
 * new connection may reach another master. If Redis is full or cannot save, a new connection does not help.
 */
export function isWriteRefusal({ message }: Error): boolean {
  return /^(OOM|MISCONF|NOREPLICAS)\b/.test(message);
}

/** Whether another server of the Redis Cluster has the keys, so that this one has done nothing. */
export function isMoved({ message }: Error): boolean {
  return /^MOVED\b/.test(message);
}

/** Whether a script called a command that this Redis does not have. Redis does not say which one. */
export function isUnknownInScript({ message }: Error): boolean {
  return /unknown redis command called from script/i.test(message);
}

/** The name of the failed command, in lower case; null if the error is not an answer to a command. */
export function commandOf(error: Error): string | null {
  const { command } = error as { readonly command?: { readonly name: string } };
  return command?.name.toLowerCase() ?? null;
}

/** The server is of another kind than FANFARE_REDIS_URL says. `mode`: its `redis_mode` in INFO. */
export class ServerModeError extends Error {
  override readonly name = 'ServerModeError';
  constructor(readonly mode: string) {
    super(`redis_mode:${mode}`);
  }
}

/**
 * The text of an error without possible passwords: without the arguments of commands and without the names of unknown
 * hosts.
 */
export function reasonOf({ message }: Error): string {
  return message.replace(/, with args beginning with:.*$/s, '').replace(/(?<=getaddrinfo \w+) \S+/, '');
}

/** A Sentinel returned a master that was replaced. `master`: host and port of the new one. */
export class ReplacedMasterError extends Error {
  override readonly name = 'ReplacedMasterError';
  constructor(readonly master: string) {
    super(`replaced by ${master}`);
  }
}

const untrusted = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_SIGNATURE_FAILURE',
]);

interface FaultContext {
  readonly address: RedisAddress;
  /** Whether this connection has worked before: then host, port and scheme in FANFARE_REDIS_URL are correct. */
  readonly hasWorked: boolean;
  readonly hasClientCertificate: boolean;
  /** Whether FANFARE_REDIS_URL names a Redis Cluster. Default: false. */
  readonly isCluster?: boolean;
}

/** The sentence for the operator. */
export function explain(error: Error, context: FaultContext): string {
  if (error instanceof RedisCredentialsError) return error.message;
  if (error instanceof ReplacedMasterError)
    return `A Sentinel still reports the old master, although ${error.master} was announced as the new one. Asking the next Sentinel.`;
  return explainConnection(error, context) ?? explainAnswer(error, context) ?? 'The connection to Redis failed.';
}

/** Errors of the network and of TLS. */
function explainConnection(error: Error, context: FaultContext): string | null {
  const { address, hasWorked, hasClientCertificate, isCluster = false } = context;
  const { code } = error as NodeJS.ErrnoException;
  const { message } = error;
  if (message.startsWith('All sentinels are unreachable')) {
    if (message.includes('No such master'))
      return 'The Sentinels in FANFARE_REDIS_URL have no master of that name. Check the name after the slash.';
    if (message.includes('NOPERM'))
      return 'The Sentinels do not permit a required command to this user. Grant the permissions in docs/operations.md, Sentinels.';
    return 'No Sentinel in FANFARE_REDIS_URL responds. Check that they are running and that host, port, password and TLS (rediss or redis) are correct.';
  }
  if (address.socketPath !== null && code === 'ENOENT')
    return 'No Unix socket exists at the path in FANFARE_REDIS_URL. Check that Redis is running and that its setting "unixsocket" has this path.';
  if (code === 'EACCES')
    return 'The node has no permission to use the Unix socket in FANFARE_REDIS_URL. Set "unixsocketperm" in Redis, or add the user of the node to the group of the socket.';
  if (isCluster && (code === 'ECONNREFUSED' || code === 'EHOSTUNREACH' || code === 'ENETUNREACH'))
    return `A server of the Redis Cluster refuses the connection or is unreachable: ${address.servers.map(({ host, port }) => `${host}:${port}`).join()}. Check that it is running, and that the Redis Cluster announces addresses that nodes can reach (cluster-announce-ip, cluster-announce-hostname).`;
  if (code === 'ECONNREFUSED')
    return 'Redis refuses the connection. Check that it is running and that FANFARE_REDIS_URL has its host and port.';
  if (isCluster && (code === 'ENOTFOUND' || code === 'EAI_AGAIN'))
    return 'DNS has no address for a server of the Redis Cluster. Check the names in FANFARE_REDIS_URL, and those that the servers announce (cluster-announce-hostname).';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return 'DNS has no address for the host in FANFARE_REDIS_URL. Check the name.';
  if (code !== undefined && untrusted.has(code))
    return 'The certificate of Redis is signed by a CA that this node does not trust. Set FANFARE_REDIS_CA_FILE to a PEM file with the certificate of that CA.';
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return 'The certificate of Redis has expired or is not valid yet. Renew it, or correct the clock of this machine.';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return explainWrongName(error);
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER')
    return 'FANFARE_REDIS_URL requests TLS (rediss://), but the port does not use TLS. Use the TLS port, or write redis://.';
  if (code !== undefined && /_ALERT_(CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|UNKNOWN_CA|BAD_CERTIFICATE)/.test(code))
    return explainClientCertificate(hasClientCertificate);
  if (code === 'ECONNRESET' || code === 'EPIPE') {
    if (hasWorked)
      return 'Redis closed the connection. It may be stopping or starting, or the network failed. The node retries.';
    return address.isTls
      ? explainClientCertificate(hasClientCertificate)
      : 'Redis closed the connection before it answered. If its port uses TLS, write rediss:// in FANFARE_REDIS_URL.';
  }
  if (message.startsWith('Protocol error'))
    return address.isTls || hasWorked
      ? 'The server does not use the Redis protocol. Check host and port in FANFARE_REDIS_URL.'
      : 'The server does not use the Redis protocol. Check host and port in FANFARE_REDIS_URL. If the port uses TLS, write rediss://.';
  if (code === 'ETIMEDOUT' || message.includes('timed out'))
    return address.isTls && !hasWorked
      ? 'Redis does not respond. Check that the host is up and reachable. If its port does not use TLS, write redis:// in FANFARE_REDIS_URL.'
      : 'Redis does not respond. Check that the host is up, reachable and runs Redis.';
  return null;
}

function explainWrongName(error: Error): string {
  const { host, cert } = error as { readonly host?: string; readonly cert?: { readonly subjectaltname?: string } };
  const altNames = cert?.subjectaltname ?? 'none';
  return `The certificate of Redis is not valid for ${host}, only for: ${altNames}. Use a name of the certificate in FANFARE_REDIS_URL, or issue a certificate for ${host}.`;
}

function explainClientCertificate(hasClientCertificate: boolean): string {
  return hasClientCertificate
    ? 'Redis rejected the TLS handshake. It may not trust the client certificate in FANFARE_REDIS_CERT_FILE, or the certificate has expired.'
    : 'Redis rejected the TLS handshake. If it requires a client certificate, set FANFARE_REDIS_CERT_FILE and FANFARE_REDIS_KEY_FILE (or "tls-auth-clients no" in Redis).';
}

/** Errors that Redis answers. */
function explainAnswer(error: Error, { address, isCluster = false }: FaultContext): string | null {
  const { message } = error;
  const login = 'FANFARE_REDIS_URL or FANFARE_REDIS_PASSWORD_FILE';
  if (error instanceof ServerModeError && error.mode === 'sentinel')
    return 'FANFARE_REDIS_URL points to a Sentinel, not to a Redis. To use Sentinels, write redis+sentinel://host:26379/name.';
  if (isCluster) {
    const sentence = explainClusterAnswer(error);
    if (sentence !== null) return sentence;
  } else if (/^(CROSSSLOT|MOVED|ASK|TRYAGAIN|CLUSTERDOWN)\b|cluster mode|^redis_mode:cluster$/.test(message))
    return 'FANFARE_REDIS_URL points to a server of a Redis Cluster. Write redis+cluster://host1:6379,host2:6379 with some of its servers.';
  if (commandOf(error) === 'select') return explainDatabase(error, address.database);
  if (message.startsWith('WRONGPASS') || message.includes('invalid password'))
    return `Redis rejects the user or password in ${login}. Correct it.`;
  if (message.startsWith('NOAUTH'))
    return `Redis requires a password. Set it in ${login} (redis://:password@host:port).`;
  if (/^NOPERM .*(keys|channels)|executing the script can't (access|publish)/.test(message))
    return 'The Redis user has no permission for the keys or channels of FANFARE_REDIS_PREFIX. Grant both, for example ~fanfare:* and &fanfare:* for the prefix "fanfare" (docs/operations.md, The user of the nodes).';
  if (/^NOPERM|executing the script can't run/.test(message)) {
    const refused = /run the '([^']+)'/.exec(message)?.[1];
    return `Redis does not permit ${refused === undefined ? 'a command' : `the command ${refused.toUpperCase()}`} to this user. Grant the rules in docs/operations.md, The user of the nodes.`;
  }
  const [, stored, own] = /^LAYOUT 3\.(\d+) is not 3\.(\d+)$/.exec(message) ?? [];
  if (stored !== undefined)
    return `The data in Redis has ${stored} partitions, but FANFARE_REDIS_PARTITIONS is ${own}. Set it to ${stored}: the number is fixed for the lifetime of FANFARE_REDIS_PREFIX.`;
  if (isOfAnotherLayout(error))
    return `The data in Redis was written by an incompatible release of Fanfare (layout ${message.slice('LAYOUT '.length)}). Use a different FANFARE_REDIS_PREFIX for this release (docs/operations.md, Upgrades).`;
  if (message.startsWith('READONLY'))
    return 'Redis is a read-only replica. FANFARE_REDIS_URL must point to the master.';
  if (message.startsWith('NOREPLICAS'))
    return 'Redis rejects writes because too few replicas are connected (min-replicas-to-write). Check the replicas.';
  if (message.startsWith('WAIT'))
    return 'Fewer Redis replicas than FANFARE_DURABLE_REPLICAS confirm in time. Publishes to topics of level durable are answered unconfirmed. Add a replica, or check why the replicas are slow.';
  const unknown = /unknown command ['`]?([\w, ]+?)['`]?(?:$|,? with args| called)/i.exec(message)?.[1];
  if (unknown !== undefined || isUnknownInScript(error))
    return `This Redis does not have ${unknown?.toUpperCase() ?? 'a command that Fanfare calls in scripts'}, which Fanfare needs. It may be renamed or disabled by rename-command.`;
  if (isOutOfMemory(error)) return 'Redis is out of memory (maxmemory). Give it more memory, or keep less history.';
  if (message.startsWith('TOOMANY'))
    return `Redis has reached a limit of Fanfare: ${message.slice('TOOMANY '.length)}. Lower maxLifetimeSeconds of the issuers in FANFARE_AUTH.`;
  if (message.startsWith('MISCONF'))
    return 'Redis rejects writes because it cannot save to disk. Check the disk and the log of Redis.';
  if (message.startsWith('LOADING')) return 'Redis is still loading its data.';
  // Lua reports a value that it cannot use with the line of the script.
  if (message.startsWith('WRONGTYPE') || /user_script:\d+: /.test(message))
    return 'Another program has changed keys of FANFARE_REDIS_PREFIX in Redis, so that a script of Fanfare fails. Give that program another prefix, and delete the keys that it has written.';
  return null;
}

/** Errors that only the servers of a Redis Cluster return, or that have another cause there. */
function explainClusterAnswer(error: Error): string | null {
  const { message } = error;
  if (error instanceof ServerModeError || message.includes('cluster support disabled'))
    return 'FANFARE_REDIS_URL names a Redis Cluster, but this server does not belong to one (cluster-enabled no). Write redis://host:6379 for a single Redis.';
  if (/^(ASK|TRYAGAIN)\b/.test(message))
    return 'The Redis Cluster is moving a slot to another server. Publications to topics of that slot are refused until the move ends. If it was interrupted, redis-cli --cluster fix completes it.';
  if (message.startsWith('CLUSTERDOWN'))
    return 'The Redis Cluster is down: a master has failed and has no replacement yet, or slots have no server. Run redis-cli --cluster check. With cluster-require-full-coverage no, the other masters continue to serve.';
  if (message.startsWith('READONLY') || message.startsWith('MASTERDOWN'))
    return 'This server of the Redis Cluster is a replica now. The node looks for the new master.';
  if (message.startsWith('MOVED'))
    return 'A slot of the Redis Cluster has moved to another server. The node follows it.';
  return null;
}

function explainDatabase({ message }: Error, database: number): string {
  const refused = `Redis rejects database ${database} of FANFARE_REDIS_URL`;
  if (message.includes('out of range'))
    return `${refused}: it has fewer databases. Correct the number, or raise "databases" in Redis.`;
  if (message.startsWith('NOPERM'))
    return `${refused}: the user has no permission for SELECT. Grant it (ACL SETUSER … +select), or use database 0.`;
  return `${refused}: ${reasonOf({ name: '', message })}.`;
}
