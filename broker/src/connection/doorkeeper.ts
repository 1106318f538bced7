/** Decides at the opening handshake, before anything is kept for a client, whether it may come in. */
import { type Address, Addresses, type Networks } from '../limits/addresses.js';
import type { Origins } from '../limits/origins.js';
import { TokenBucket } from '../limits/token-bucket.js';
import type { Log } from '../observe/log.js';
import { printable, type Refused } from './upgrade.js';

export interface DoorkeeperSettings {
  readonly isAuthenticated: boolean;
  /** Pages that may connect; null: any without authentication, else none. */
  readonly origins: Origins | null;
  readonly trustedProxies: Networks;
  readonly maxConnections: number;
  /** 0: they are not counted. */
  readonly maxConnectionsPerAddress: number;
  readonly handshakesPerSecond: number;
  readonly maxUnauthenticatedPercent: number;
}

export interface DoorkeeperCounters {
  originsRefused: number;
  addressesRefused: number;
  handshakesLimited: number;
  connectionsOverCapacity: number;
}

/** What is open now. */
export interface Occupancy {
  readonly connections: number;
  readonly unauthenticated: number;
}

/** A handshake as this file needs it. */
export interface Visitor {
  /** Empty where the header is not there. */
  readonly origin: string;
  readonly remoteAddress: string;
  readonly forwardedFor: string;
}

export interface Admitted {
  /** That of the client; null if it is not counted. A connection gives it back with {@link Doorkeeper.leave}. */
  readonly address: Address | null;
}

/** What one address may have of the handshakes of a second. */
const addressShare = 0.1;

const soon = { 'Retry-After': '1' };
const later = { 'Retry-After': '10' };

export class Doorkeeper {
  readonly #settings: DoorkeeperSettings;
  readonly #counters: DoorkeeperCounters;
  readonly #addresses: Addresses;
  readonly #handshakes: TokenBucket;
  readonly #posts: TokenBucket;

  constructor(settings: DoorkeeperSettings, counters: DoorkeeperCounters, log: Pick<Log, 'warn'>) {
    this.#settings = settings;
    this.#counters = counters;
    const { handshakesPerSecond } = settings;
    const bucket = (): TokenBucket => new TokenBucket(handshakesPerSecond, handshakesPerSecond, performance.now());
    this.#addresses = new Addresses(settings.trustedProxies, Math.max(1, handshakesPerSecond * addressShare), log);
    this.#handshakes = bucket();
    this.#posts = bucket();
  }

  /** How many may be here that have not shown who they are, or not even asked for a WebSocket. */
  get maxStrangers(): number {
    const { maxConnections, maxUnauthenticatedPercent } = this.#settings;
    return Math.max(1, (maxConnections * maxUnauthenticatedPercent) / 100);
  }

  /** What is cheapest to refuse comes first. */
  judge({ origin, remoteAddress, forwardedFor }: Visitor, occupancy: Occupancy): Admitted | Refused {
    const { isAuthenticated, maxConnections, maxConnectionsPerAddress } = this.#settings;
    const refused = this.judgeOrigin(origin);
    if (refused !== null) {
      this.#counters.originsRefused++;
      return refused;
    }
    const nowMs = performance.now();
    // Before what all share is asked for: one client alone is not to use it up.
    const isCounted = isAuthenticated && maxConnectionsPerAddress > 0;
    const address = isCounted ? this.#addresses.of(remoteAddress, forwardedFor) : null;
    if (address !== null && address.connections >= maxConnectionsPerAddress) {
      this.#counters.addressesRefused++;
      return {
        status: '429 Too Many Requests',
        headers: later,
        sentence: `Your address has reached the limit of ${maxConnectionsPerAddress} connections to this node. Close some first.`,
      };
    }
    if (address?.handshakes.take(1, nowMs) === false) {
      this.#counters.handshakesLimited++;
      return {
        status: '429 Too Many Requests',
        headers: soon,
        sentence: 'Too many handshakes from your address. Retry in a moment.',
      };
    }
    if (!this.#handshakes.take(1, nowMs)) {
      this.#counters.handshakesLimited++;
      return busy('Too many clients are connecting at once. Retry in a moment.', soon);
    }
    if (occupancy.connections >= maxConnections) {
      this.#counters.connectionsOverCapacity++;
      return busy('This node has reached its connection limit. Another node may have room.', later);
    }
    if (isAuthenticated && occupancy.unauthenticated >= this.maxStrangers) {
      this.#counters.connectionsOverCapacity++;
      return busy('Too many connections are waiting for authentication. Retry in a moment.', soon);
    }
    if (address !== null) address.connections++;
    return { address };
  }

  /** Whether pages of this origin may connect; empty if it is not said. */
  judgeOrigin(origin: string): Refused | null {
    if (origin === '' || this.#welcomes(origin)) return null;
    const quoted = printable(origin);
    const sentence = `The origin ${quoted} is not allowed. FANFARE_ORIGINS lists the allowed origins.`;
    return { status: '403 Forbidden', headers: {}, sentence, quoted };
  }

  #welcomes(origin: string): boolean {
    const { origins, isAuthenticated } = this.#settings;
    if (origins === null) return !isAuthenticated;
    return origins === 'any' || origins.has(origin);
  }

  /**
   * A POST request costs about what a handshake costs, and takes none of the node's. `isService`: whether it shows a good API key, which
   * is held to the limit of its address only. What merely looks like a key is held to both.
   */
  judgePost({ remoteAddress, forwardedFor }: Omit<Visitor, 'origin'>, isService: () => boolean): Admitted | Refused {
    const nowMs = performance.now();
    const address = this.#addresses.of(remoteAddress, forwardedFor);
    if (address?.handshakes.take(1, nowMs) !== false && (isService() || this.#posts.take(1, nowMs))) return { address };
    this.#counters.handshakesLimited++;
    return busy('Too many requests at once. Retry in a moment.', soon);
  }

  /** A connection has ended. */
  leave(address: Address): void {
    address.connections--;
  }

  /** To be called from time to time. */
  forgetIdle(nowMs: number): void {
    this.#addresses.forgetIdle(nowMs);
  }
}

function busy(sentence: string, headers: Readonly<Record<string, string>>): Refused {
  return { status: '503 Service Unavailable', headers, sentence };
}
