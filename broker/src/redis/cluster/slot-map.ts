/** Which server of a Redis Cluster has which slot, as one of its servers reports it (CLUSTER SLOTS). */
import { isIPv6 } from 'node:net';
import type { Reply } from '../reply-reader.js';

interface Range {
  readonly first: number;
  readonly last: number;
  readonly owner: string;
}

export class SlotMap {
  private constructor(
    private readonly ranges: readonly Range[],
    /** The names of all masters and replicas. */
    readonly servers: ReadonlySet<string>,
  ) {}

  /**
   * Reads the reply to CLUSTER SLOTS. `from`: the name of the server that sent it. Servers that it knows no address of
   * are left out. Throws if the reply is of another kind.
   */
  static read(reply: Reply, from: string): SlotMap {
    if (!Array.isArray(reply)) throw new Error('Protocol error: an unexpected reply to CLUSTER SLOTS.');
    const ranges: Range[] = [];
    const servers = new Set<string>();
    for (const [first, last, ...addresses] of reply as readonly (readonly [number, number, ...Address[]])[]) {
      const names = addresses.map((address) => nameOf(address, from));
      const [owner] = names;
      if (owner !== undefined && owner !== null) ranges.push({ first, last, owner });
      for (const name of names) if (name !== null) servers.add(name);
    }
    return new SlotMap(ranges, servers);
  }

  /** The name of the master; null if no server has the slot. */
  ownerOf(slot: number): string | null {
    return this.ranges.find(({ first, last }) => first <= slot && slot <= last)?.owner ?? null;
  }
}

type Address = readonly [host: Reply, port: number, ...rest: Reply[]];

function nameOf([host, port]: Address, from: string): string | null {
  const text = host === null ? '' : String(host);
  // The server does not know the host name that it should report.
  return text === '?' ? null : serverName(text, port, from);
}

/** Host and port as in a URL. An empty `host` is the host of `from`: a server that knows no address of itself says so. */
function serverName(host: string, port: number | string, from: string): string {
  if (host === '') return `${from.slice(0, from.lastIndexOf(':'))}:${port}`;
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

/** What MOVED says: which server has the slot. Null for any other error. `from`: the name of the server that replied. */
export function readMoved({ message }: Error, from: string): { readonly slot: number; readonly server: string } | null {
  const [, slot, host = '', port = ''] = /^MOVED (\d+) (.*):(\d+)$/.exec(message) ?? [];
  return slot === undefined ? null : { slot: Number(slot), server: serverName(host, port, from) };
}
