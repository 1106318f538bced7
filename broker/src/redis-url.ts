/** FANFARE_REDIS_URL: one Redis, or the Sentinels that know which of several is the master. */

/** What a `redis+sentinel://` URL says. */
export interface SentinelAddress {
  readonly sentinels: readonly { readonly host: string; readonly port: number }[];
  /** What the Sentinels call the master. */
  readonly masterName: string;
  /** Of Redis, percent-decoded; null where the URL has none. Those of the Sentinels stand in its query. */
  readonly username: string | null;
  readonly password: string | null;
  readonly sentinelUsername: string | null;
  readonly sentinelPassword: string | null;
  /** Redis and Sentinels alike. */
  readonly isTls: boolean;
  readonly database: number;
}

const sentinelPort = 26_379;
const sentinelUrl =
  /^(rediss?)\+sentinel:\/\/(?:([^:@/?#]*)(?::([^@/?#]*))?@)?([^@/?#]+)\/([A-Za-z0-9._-]+)(?:\?([^#]*))?$/;
const sentinelHost = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/;
const queryFields: ReadonlySet<string> = new Set(['db', 'sentinelUsername', 'sentinelPassword']);

/** Whether it is the URL of a Redis, or of the Sentinels of one. */
export function isRedisUrl(text: string): boolean {
  if (isSentinelUrl(text)) return readSentinelUrl(text) !== null;
  return URL.canParse(text) && /^rediss?:$/.test(new URL(text).protocol) && new URL(text).hostname !== '';
}

/** Whether Sentinels are meant, well written or not. */
export function isSentinelUrl(text: string): boolean {
  return /^rediss?\+sentinel:/.test(text);
}

/** Null where it is not well written. */
export function readSentinelUrl(text: string): SentinelAddress | null {
  const match = sentinelUrl.exec(text);
  if (match === null) return null;
  const [, scheme, username, password, hosts = '', masterName = '', query = ''] = match;
  const sentinels: { host: string; port: number }[] = [];
  for (const address of hosts.split(',')) {
    const [, host, port = String(sentinelPort)] = sentinelHost.exec(address) ?? [];
    if (host === undefined || Number(port) < 1 || Number(port) > 65_535) return null;
    sentinels.push({ host: host.replace(/^\[|\]$/g, ''), port: Number(port) });
  }
  const fields = new URLSearchParams(query);
  const database = fields.get('db') ?? '0';
  if (![...fields.keys()].every((field) => queryFields.has(field)) || !/^\d{1,5}$/.test(database)) return null;
  try {
    return {
      sentinels,
      masterName,
      username: decoded(username),
      password: decoded(password),
      sentinelUsername: fields.get('sentinelUsername'),
      sentinelPassword: fields.get('sentinelPassword'),
      isTls: scheme === 'rediss',
      database: Number(database),
    };
  } catch {
    // A percent sign that encodes nothing.
    return null;
  }
}

function decoded(part: string | undefined): string | null {
  return part === undefined || part === '' ? null : decodeURIComponent(part);
}
