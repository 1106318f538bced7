/** What one server of a Redis Cluster knows about the servers: its reply to `CLUSTER NODES`. */

export interface ClusterMember {
  readonly id: string;
  /** Where it talks to the other servers. */
  readonly busPort: number;
  /** Null if it is a master. */
  readonly masterId: string | null;
  /** `online`: neither unknown yet, nor suspected or known to have failed. */
  readonly state: 'online' | 'handshake' | 'suspected' | 'failed';
  /** Of two masters that claim a slot, the one with the higher number has it. */
  readonly configEpoch: number;
  /** First and last slot of each range. */
  readonly slots: readonly (readonly [number, number])[];
  /** Whether a slot is on its way to or from this server. A server knows it only of itself. */
  readonly isMoving: boolean;
}

export interface ClusterView {
  /** The server that replied. */
  readonly own: ClusterMember;
  readonly members: ReadonlyMap<string, ClusterMember>;
}

/** Each line: id, address, flags, id of its master, two times, config epoch, state of the link, slots. */
export function readClusterView(reply: string): ClusterView {
  const members = new Map<string, ClusterMember>();
  let own: ClusterMember | null = null;
  for (const line of reply.split('\n')) {
    const [id = '', address = '', flags = '', masterId = '-', , , configEpoch, , ...ranges] = line.trim().split(' ');
    if (id === '') continue;
    const names = flags.split(',');
    const member: ClusterMember = {
      id,
      busPort: Number(/@(\d+)/.exec(address)?.[1]),
      masterId: names.includes('master') || masterId === '-' ? null : masterId,
      state: stateOf(names),
      configEpoch: Number(configEpoch),
      slots: ranges.filter((range) => !range.startsWith('[')).map(readRange),
      isMoving: ranges.some((range) => range.startsWith('[')),
    };
    members.set(id, member);
    if (names.includes('myself')) own = member;
  }
  if (own === null) throw new Error(`A server of the Redis Cluster does not list itself: ${reply}`);
  return { own, members };
}

export function hasSlot({ slots }: ClusterMember, slot: number): boolean {
  return slots.some(([first, last]) => first <= slot && slot <= last);
}

function stateOf(flags: readonly string[]): ClusterMember['state'] {
  if (flags.includes('handshake')) return 'handshake';
  if (flags.includes('fail')) return 'failed';
  return flags.includes('fail?') ? 'suspected' : 'online';
}

/** `5` or `5-9` */
function readRange(text: string): readonly [number, number] {
  const [first = Number.NaN, last = first] = text.split('-').map(Number);
  return [first, last];
}
