/** From where a client comes, and how many come from there. */
import { BlockList, isIPv4, isIPv6 } from 'node:net';
import { TokenBucket } from './token-bucket.js';

/** The clients of one address. */
export interface Address {
  readonly key: string;
  connections: number;
  /** POST requests without an answer yet. */
  openRequests: number;
  readonly handshakes: TokenBucket;
}

/** Networks in CIDR notation, or single addresses. */
export class Networks {
  readonly #list = new BlockList();

  /** Each must be valid: {@link isNetwork}. */
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

export class Addresses {
  readonly #trustedProxies: Networks;
  readonly #handshakesPerSecond: number;
  readonly #addresses = new Map<string, Address>();

  /** `handshakesPerSecond`: those of one address. */
  constructor(trustedProxies: Networks, handshakesPerSecond: number) {
    this.#trustedProxies = trustedProxies;
    this.#handshakesPerSecond = handshakesPerSecond;
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#addresses.size;
  }

  /**
   * The address of a client: that of the socket, or, where that is a trusted proxy, the last in `X-Forwarded-For` that is none. The
   * ones before it are anybody's claim.
   */
  clientOf(remote: string, forwardedFor: string): string {
    let client = canonical(remote);
    for (const hop of forwardedFor.split(',').reverse()) {
      if (!this.#trustedProxies.has(client)) break;
      const address = canonical(hop.trim());
      if (!isIPv4(address) && !isIPv6(address)) break;
      client = address;
    }
    return client;
  }

  /** How many connections there are from where this client comes. Null: they are not counted (this machine itself, a trusted proxy). */
  of(client: string): Address | null {
    if (loopback.has(client) || this.#trustedProxies.has(client)) return null;
    const key = isIPv6(client) ? networkOf(client) : client;
    let address = this.#addresses.get(key);
    if (address === undefined) {
      const handshakes = new TokenBucket(this.#handshakesPerSecond, this.#handshakesPerSecond, performance.now());
      address = { key, connections: 0, openRequests: 0, handshakes };
      this.#addresses.set(key, address);
    }
    return address;
  }

  /** Forgets those that have no connection and no open request, and may connect as often as anyone. To be called from time to time. */
  forgetIdle(nowMs: number): void {
    for (const [key, { connections, openRequests, handshakes }] of this.#addresses) {
      if (connections + openRequests === 0 && handshakes.isForgettable(nowMs)) this.#addresses.delete(key);
    }
  }
}

/** An IPv4 address in IPv6's clothes (RFC 4291 section 2.5.5.2) is an IPv4 address. */
function canonical(address: string): string {
  const mapped = /^(?:::ffff:|(?:0{1,4}:){5}ffff:)(.+)$/i.exec(address)?.[1];
  if (mapped === undefined) return address.toLowerCase();
  if (isIPv4(mapped)) return mapped;
  if (!/^[\da-f]{1,4}:[\da-f]{1,4}$/i.test(mapped)) return address.toLowerCase();
  const words = mapped.split(':').map((word) => Number.parseInt(word, 16));
  return words.flatMap((word) => [word >> 8, word & 255]).join('.');
}

/** The last 32 bits may be written as those of IPv4 (RFC 4291 section 2.2). */
function asTwoWords(ipv4: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = ipv4.split('.').map(Number);
  return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}

/** The /64 of an IPv6 address: one subscriber of a provider has all of it (RFC 6177). */
function networkOf(address: string): string {
  const [withoutZone = ''] = address.split('%');
  const [head = '', tail] = withoutZone.replace(/\d+\.\d+\.\d+\.\d+$/, asTwoWords).split('::');
  const words = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: Math.max(0, 8 - words.length - after.length) }, () => '0');
  const all = tail === undefined ? words : [...words, ...zeros, ...after];
  return `${all
    .slice(0, 4)
    .map((word) => Number.parseInt(word, 16).toString(16))
    .join(':')}::/64`;
}
