/** What an error of Redis, or of the way to it, means and what to do: one sentence for the log and /readyz. */
import { RedisCredentialsError } from './redis-credentials.js';
import type { RedisAddress } from './redis-url.js';

/** Whether the data in Redis was written by a release that this one does not understand (lua/recover.lua, lua/heartbeat.lua). */
export function isOfAnotherLayout({ message }: Error): boolean {
  return /^LAYOUT\b/.test(message);
}

/** Whether Redis is full, and refuses to write. */
export function isOutOfMemory({ message }: Error): boolean {
  return /^OOM\b/.test(message);
}

/**
 * Whether Redis refuses to write whatever it holds: to ask it for its generation tells nothing new. Where it lacks replicas it may be a master that
 * was cut off, and another connection may lead to another one; only where it is full, or cannot save, is that in vain.
 */
export function isWriteRefusal({ message }: Error): boolean {
  return /^(OOM|MISCONF|NOREPLICAS)\b/.test(message);
}

/** Whether a script has called a command that this Redis does not have. Redis does not say which. */
export function isUnknownInScript({ message }: Error): boolean {
  return /unknown redis command called from script/i.test(message);
}

/** The name of the command that failed, in lower case; null if the error is no answer to a command. */
export function commandOf(error: Error): string | null {
  const { command } = error as { readonly command?: { readonly name: string } };
  return command?.name.toLowerCase() ?? null;
}

/** The server that answered is not one that a node can work with: `mode` is its `redis_mode` (INFO). */
export class ServerModeError extends Error {
  override readonly name = 'ServerModeError';
  constructor(readonly mode: 'cluster' | 'sentinel') {
    super(`redis_mode:${mode}`);
  }
}

/**
 * The text of an error without what may be a password: the arguments of a command, which Redis repeats, and a host that has no address, which may
 * be a password that was put in its place.
 */
export function reasonOf({ message }: Error): string {
  return message.replace(/, with args beginning with:.*$/s, '').replace(/(?<=getaddrinfo \w+) \S+/, '');
}

/** A Sentinel named a master in whose place another was announced: `master`, host and port. */
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

export interface FaultContext {
  readonly address: RedisAddress;
  /** Whether this connection has worked before: then host, port and scheme in FANFARE_REDIS_URL are right. */
  readonly hasWorked: boolean;
  readonly hasClientCertificate: boolean;
}

/** What a person should read and do. */
export function explain(error: Error, context: FaultContext): string {
  if (error instanceof RedisCredentialsError) return error.message;
  if (error instanceof ReplacedMasterError)
    return `A Sentinel still names the old master, although ${error.master} was announced as the new one: asking the next Sentinel.`;
  return explainConnection(error, context) ?? explainAnswer(error, context) ?? 'The connection to Redis failed.';
}

/** Errors of the network and of TLS. */
function explainConnection(error: Error, { address, hasWorked, hasClientCertificate }: FaultContext): string | null {
  const { code } = error as NodeJS.ErrnoException;
  const { message } = error;
  if (message.startsWith('All sentinels are unreachable')) {
    if (message.includes('No such master'))
      return 'The Sentinels in FANFARE_REDIS_URL know no master of that name: check the name behind the slash.';
    if (message.includes('NOPERM'))
      return 'The Sentinels do not permit a command to this user: give it the permissions in docs/operations.md, Sentinels.';
    return 'No Sentinel in FANFARE_REDIS_URL answers: are they running, and are host, port, password and TLS (rediss or redis) right?';
  }
  if (address.socketPath !== null && code === 'ENOENT')
    return 'There is no Unix socket at the path in FANFARE_REDIS_URL: is Redis running, and is the path that of its setting "unixsocket"?';
  if (code === 'EACCES')
    return 'The node has no permission for the Unix socket in FANFARE_REDIS_URL: set "unixsocketperm" in Redis, or add the user of the node to its group.';
  if (code === 'ECONNREFUSED')
    return 'Redis refuses the connection: is it running, and does FANFARE_REDIS_URL name its host and port?';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return 'The host in FANFARE_REDIS_URL has no address: check the name.';
  if (code !== undefined && untrusted.has(code))
    return 'The certificate of Redis is signed by a CA that this node does not trust: name a PEM file with the certificate of that CA in FANFARE_REDIS_CA_FILE.';
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return 'The certificate of Redis has expired or is not valid yet: renew it, or correct the clock of this machine.';
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return explainWrongName(error);
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER')
    return 'FANFARE_REDIS_URL asks for TLS (rediss://), and the port does not speak it: name the TLS port, or write redis://.';
  if (code !== undefined && /_ALERT_(CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|UNKNOWN_CA|BAD_CERTIFICATE)/.test(code))
    return explainClientCertificate(hasClientCertificate);
  if (code === 'ECONNRESET' || code === 'EPIPE') {
    if (hasWorked)
      return 'Redis closed the connection: it may be stopping or starting, or the network cut it. The node tries again.';
    return address.isTls
      ? explainClientCertificate(hasClientCertificate)
      : 'Redis closed the connection before it answered. Does its port speak TLS? Then write rediss:// in FANFARE_REDIS_URL.';
  }
  if (message.startsWith('Protocol error'))
    return address.isTls || hasWorked
      ? 'The server does not speak the protocol of Redis: check host and port in FANFARE_REDIS_URL.'
      : 'The server does not speak the protocol of Redis: check host and port in FANFARE_REDIS_URL, and write rediss:// if the port speaks TLS.';
  if (code === 'ETIMEDOUT' || message.includes('timed out'))
    return address.isTls && !hasWorked
      ? 'Redis does not answer: is the host up and reachable? If its port does not speak TLS, write redis:// in FANFARE_REDIS_URL.'
      : 'Redis does not answer: is the host up, reachable, and a Redis?';
  return null;
}

function explainWrongName(error: Error): string {
  const { host, cert } = error as { readonly host?: string; readonly cert?: { readonly subjectaltname?: string } };
  const altNames = cert?.subjectaltname ?? 'none';
  return `The certificate of Redis is for other names (${altNames}) than ${host}, to which the node connects: put a name of the certificate into FANFARE_REDIS_URL, or issue a certificate for this one.`;
}

function explainClientCertificate(hasClientCertificate: boolean): string {
  return hasClientCertificate
    ? 'Redis ended the TLS handshake: it may not trust the client certificate in FANFARE_REDIS_CERT_FILE, or that has expired.'
    : 'Redis ended the TLS handshake: if it asks for a client certificate, set FANFARE_REDIS_CERT_FILE and FANFARE_REDIS_KEY_FILE (or "tls-auth-clients no" in Redis).';
}

/** Errors that Redis answers. */
function explainAnswer(error: Error, { address }: FaultContext): string | null {
  const { message } = error;
  const login = 'FANFARE_REDIS_URL or FANFARE_REDIS_PASSWORD_FILE';
  if (/^(CROSSSLOT|MOVED|ASK|TRYAGAIN|CLUSTERDOWN)\b|cluster mode|^redis_mode:cluster$/.test(message))
    return 'FANFARE_REDIS_URL leads to a Redis Cluster, and Redis Cluster is not supported: name a single Redis, or its Sentinels.';
  if (error instanceof ServerModeError)
    return 'FANFARE_REDIS_URL leads to a Sentinel, not to a Redis: if Sentinels are meant, FANFARE_REDIS_URL is redis+sentinel://host:26379/name.';
  if (commandOf(error) === 'select') return explainDatabase(error, address.database);
  if (message.startsWith('WRONGPASS') || message.includes('invalid password'))
    return `Redis refuses the user or password in ${login}: correct it.`;
  if (message.startsWith('NOAUTH'))
    return `Redis wants a password: put it into ${login} (redis://:password@host:port).`;
  if (/^NOPERM .*(keys|channels)|executing the script can't (access|publish)/.test(message))
    return 'Redis does not permit this user the keys or channels of FANFARE_REDIS_PREFIX: give it both, as ~fanfare:* and &fanfare:* for the prefix "fanfare" (docs/operations.md, The user of the nodes).';
  if (/^NOPERM|executing the script can't run/.test(message)) {
    const refused = /run the '([^']+)'/.exec(message)?.[1];
    return `Redis does not permit ${refused === undefined ? 'a command' : `the command ${refused.toUpperCase()}`} to this user: give it the rules in docs/operations.md, The user of the nodes.`;
  }
  if (isOfAnotherLayout(error))
    return `What stands in Redis was written by another release of Fanfare (layout ${message.slice('LAYOUT '.length)}): give this one a FANFARE_REDIS_PREFIX of its own (docs/operations.md, Upgrades).`;
  if (message.startsWith('READONLY')) return 'Redis is a read-only replica: FANFARE_REDIS_URL must lead to the master.';
  if (message.startsWith('NOREPLICAS'))
    return 'Redis refuses to write because too few replicas are connected to it (min-replicas-to-write).';
  if (message.startsWith('WAIT'))
    return 'Fewer replicas of Redis than FANFARE_DURABLE_REPLICAS confirm in time: publishes to topics of level durable are answered unconfirmed. Add a replica, or see what holds it up.';
  const unknown = /unknown command ['`]?([\w, ]+?)['`]?(?:$|,? with args| called)/i.exec(message)?.[1];
  if (unknown !== undefined || isUnknownInScript(error))
    return `This Redis does not have ${unknown?.toUpperCase() ?? 'a command that Fanfare calls in scripts'}, renamed or disabled by rename-command: Fanfare needs it.`;
  if (isOutOfMemory(error)) return 'Redis is out of memory (maxmemory): give it more, or keep less history.';
  if (message.startsWith('TOOMANY'))
    return `Redis holds ${message.slice('TOOMANY '.length)}, the most that nodes keep: lower maxLifetimeSeconds of the issuers in FANFARE_AUTH.`;
  if (message.startsWith('MISCONF')) return 'Redis refuses to write because it cannot save to its disk.';
  if (message.startsWith('LOADING')) return 'Redis is still loading its data.';
  return null;
}

function explainDatabase({ message }: Error, database: number): string {
  const refused = `Redis refuses database ${database}, which FANFARE_REDIS_URL asks for, and the node uses no other`;
  if (message.includes('out of range'))
    return `${refused}: it has fewer databases. Correct the number, or raise "databases" in Redis.`;
  if (message.startsWith('NOPERM'))
    return `${refused}: its user may not SELECT. Permit it (ACL SETUSER … +select), or use database 0.`;
  return `${refused}: ${reasonOf({ name: '', message })}.`;
}
