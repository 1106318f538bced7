/** The addresses of clients, and how many connections each has. */
import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net';
import type { Log } from '../observe/log.js';
import { TokenBucket } from './token-bucket.js';

/** The clients of one address. */
export interface Address {
  readonly key: string;
  connections: number;
  /** HTTP requests whose body is not complete. */
  openRequests: number;
  readonly handshakes: TokenBucket;
}

/** Networks in CIDR notation, or single addresses. */
export class Networks {
  readonly #list = new BlockList();

  /** All must be valid: see {@link isNetwork}. */
  constructor(networks: Iterable<string>) {
    for (const network of networks) {
      const [address = '', bits] = network.split('/');
      const family = isIPv4(address) ? 'ipv4' : 'ipv6';
      if (bits === undefined) this.#list.addAddress(address, family);
      else this.#list.addSubnet(address, Number(bits), family);
    }
  }

  has(address: string): boolean {
    if (isIPv4(address)) return this.#list.check(address, 'ipv4');
    return isIPv6(address) && this.#list.check(address, 'ipv6');
  }
}

/** Whether the text is an address, or a network such as 10.0.0.0/8. */
export function isNetwork(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const most = isIPv4(address) ? 32 : isIPv6(address) ? 128 : null;
  if (most === null || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most);
}

const loopback = new Networks(['127.0.0.0/8', '::1']);

/** Why a client counts under the address of its trusted proxy: the proxy sent no readable address, or none at all. */
type Unnamed = 'unreadable' | 'missing';

interface Client {
  readonly address: string;
  /** Null if `address` belongs to the client. Otherwise it belongs to the proxy, and this is the reason. */
  readonly unnamed: Unnamed | null;
}

export class Addresses {
  readonly #addresses = new Map<string, Address>();
  /** Warnings that were already logged. */
  readonly #logged = new Set<Unnamed | 'untrusted'>();

  /** `handshakesPerSecond`: limit of one address. */
  constructor(
    private readonly trustedProxies: Networks,
    private readonly handshakesPerSecond: number,
    private readonly log: Pick<Log, 'warn'>,
  ) {}

  /** How many addresses are kept. */
  get size(): number {
    return this.#addresses.size;
  }

  /**
   * The address of a client: the address of the socket, unless this is a trusted proxy. Then it is the last entry of
   * `X-Forwarded-For` that is not a trusted proxy. Anyone can have written the entries before it.
   */
  clientOf(remote: string, forwardedFor: string): Client {
    const hops = forwardedFor === '' ? [] : forwardedFor.split(',');
    let address = canonical(remote);
    while (this.trustedProxies.has(address)) {
      const hop = hops.pop();
      if (hop === undefined) return { address, unnamed: 'missing' };
      const next = readHop(hop);
      if (next === null) return { address, unnamed: 'unreadable' };
      address = next;
    }
    return { address, unnamed: null };
  }

  /**
   * The counters of the client's address. Null if the client is on this machine and so is not counted. Clients of a
   * proxy on this machine are counted.
   */
  of(remote: string, forwardedFor: string): Address | null {
    const socket = canonical(remote);
    if (loopback.has(socket) && !this.trustedProxies.has(socket)) {
      if (forwardedFor !== '' && this.#isFirst('untrusted')) this.#warnOfUntrusted(socket);
      return null;
    }
    const client = this.clientOf(remote, forwardedFor);
    if (client.unnamed !== null && this.#isFirst(client.unnamed)) this.#warnOfUnnamed(client.unnamed, client.address);
    const key = networkOf(client.address);
    let address = this.#addresses.get(key);
    if (address === undefined) {
      const handshakes = new TokenBucket(this.handshakesPerSecond, this.handshakesPerSecond, performance.now());
      address = { key, connections: 0, openRequests: 0, handshakes };
      this.#addresses.set(key, address);
    }
    return address;
  }

  /**
   * Forgets addresses without connections and open requests whose rate limit is not used. Call this from time to time.
   */
  forgetIdle(nowMs: number): void {
    for (const [key, { connections, openRequests, handshakes }] of this.#addresses) {
      if (connections + openRequests === 0 && handshakes.isForgettable(nowMs)) this.#addresses.delete(key);
    }
  }

  #isFirst(kind: Unnamed | 'untrusted'): boolean {
    const isFirst = !this.#logged.has(kind);
    this.#logged.add(kind);
    return isFirst;
  }

  #warnOfUntrusted(proxy: string): void {
    this.log.warn(
      { event: 'proxyNotTrusted', proxy },
      `${proxy} sends X-Forwarded-For like a proxy, but FANFARE_TRUSTED_PROXIES does not list it. Its clients count as local, so limits per address do not apply to them. If it is a proxy, set FANFARE_TRUSTED_PROXIES=${proxy}. Logged once.`,
    );
  }

  #warnOfUnnamed(kind: Unnamed, proxy: string): void {
    const remedy = {
      unreadable: 'Its entry in X-Forwarded-For is not an IP address. Configure it to send the address of the client.',
      missing: `X-Forwarded-For is missing or lists trusted proxies only. Configure the proxy to set it. If ${proxy} is a client, remove it from FANFARE_TRUSTED_PROXIES.`,
    };
    this.log.warn(
      { event: 'clientAddressUnknown', kind, proxy },
      `The trusted proxy ${proxy} does not send the address of its client. All such clients share the limits of one address. ${remedy[kind]} Logged once.`,
    );
  }
}

/**
 * The address in an entry of `X-Forwarded-For`, or null if the entry has no address. Some proxies add a port, and with it the
 * brackets of IPv6 and quotes (RFC 7239 section 6), or a zone (RFC 4007 section 11).
 */
function readHop(entry: string): string | null {
  const text = entry.trim().replace(/^"(.*)"$/, '$1');
  const host = /^\[(.*)\](?::\d+)?$/.exec(text)?.[1] ?? /^([^:]*):\d+$/.exec(text)?.[1] ?? text;
  const address = canonical(host);
  return isIP(address) === 0 ? null : address;
}

/** The canonical form of an address: without a zone, and IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2) as IPv4. */
function canonical(text: string): string {
  const [address = ''] = text.split('%');
  const mapped = /^(?:::ffff:|(?:0{1,4}:){5}ffff:)(.+)$/i.exec(address)?.[1];
  if (mapped === undefined) return address.toLowerCase();
  if (isIPv4(mapped)) return mapped;
  if (!/^[\da-f]{1,4}:[\da-f]{1,4}$/i.test(mapped)) return address.toLowerCase();
  const words = mapped.split(':').map((word) => Number.parseInt(word, 16));
  return words.flatMap((word) => [word >> 8, word & 255]).join('.');
}

/** The last 32 bits of IPv6 may be written like IPv4 (RFC 4291 section 2.2). */
function asTwoWords(ipv4: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = ipv4.split('.').map(Number);
  return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}

/**
 * The network that an address counts as. For IPv6 this is its /64, because a provider gives all of it to one customer
 * (RFC 6177).
 */
export function networkOf(text: string): string {
  const address = canonical(text);
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.replace(/\d+\.\d+\.\d+\.\d+$/, asTwoWords).split('::');
  const words = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: Math.max(0, 8 - words.length - after.length) }, () => '0');
  const all = tail === undefined ? words : [...words, ...zeros, ...after];
  return `${all
    .slice(0, 4)
    .map((word) => Number.parseInt(word, 16).toString(16))
    .join(':')}::/64`;
}
