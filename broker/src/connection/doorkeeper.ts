/** Decides at the opening handshake, before anything is kept for a client, whether it may come in. */
import { type Address, Addresses, type Networks } from '../limits/addresses.js';
import type { Origins } from '../limits/origins.js';
import { TokenBucket } from '../limits/token-bucket.js';
import type { Refused } from './upgrade.js';

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
  /** To be given back with {@link Doorkeeper.leave}; null where connections of this client are not counted. */
  readonly address: Address | null;
}

const soon = { 'Retry-After': '1' };
const later = { 'Retry-After': '10' };

export class Doorkeeper {
  readonly #settings: DoorkeeperSettings;
  readonly #counters: DoorkeeperCounters;
  readonly #addresses: Addresses;
  readonly #handshakes: TokenBucket;

  constructor(settings: DoorkeeperSettings, counters: DoorkeeperCounters) {
    this.#settings = settings;
    this.#counters = counters;
    this.#addresses = new Addresses(settings.trustedProxies);
    const { handshakesPerSecond } = settings;
    this.#handshakes = new TokenBucket(handshakesPerSecond, handshakesPerSecond, performance.now());
  }

  /** What is cheapest to refuse comes first. */
  judge({ origin, remoteAddress, forwardedFor }: Visitor, occupancy: Occupancy): Admitted | Refused {
    const { isAuthenticated, maxConnections, maxConnectionsPerAddress, maxUnauthenticatedPercent } = this.#settings;
    if (origin !== '' && !this.#welcomes(origin)) {
      this.#counters.originsRefused++;
      return {
        status: '403 Forbidden',
        headers: {},
        sentence: 'Pages of this origin may not connect here; FANFARE_ORIGINS lists those that may.',
      };
    }
    if (!this.#handshakes.take(1, performance.now())) {
      this.#counters.handshakesLimited++;
      return busy('Too many clients connect at once; try again in a moment.', soon);
    }
    if (occupancy.connections >= maxConnections) {
      this.#counters.connectionsOverCapacity++;
      return busy('This node has as many connections as it takes; another may have room.', later);
    }
    if (
      isAuthenticated &&
      occupancy.unauthenticated >= Math.max(1, (maxConnections * maxUnauthenticatedPercent) / 100)
    ) {
      this.#counters.connectionsOverCapacity++;
      return busy('Too many connections here have not authenticated yet; try again in a moment.', soon);
    }
    if (!isAuthenticated || maxConnectionsPerAddress === 0) return { address: null };
    const address = this.#addresses.of(this.#addresses.clientOf(remoteAddress, forwardedFor));
    if (address !== null && address.connections >= maxConnectionsPerAddress) {
      this.#counters.addressesRefused++;
      return {
        status: '429 Too Many Requests',
        headers: later,
        sentence: `Your address has ${maxConnectionsPerAddress} connections here, as many as it may; close some first.`,
      };
    }
    if (address !== null) this.#addresses.join(address);
    return { address };
  }

  #welcomes(origin: string): boolean {
    const { origins, isAuthenticated } = this.#settings;
    if (origins === null) return !isAuthenticated;
    return origins === 'any' || origins.has(origin);
  }

  /** A POST request costs about what a handshake costs. */
  judgePost(): Refused | null {
    if (this.#handshakes.take(1, performance.now())) return null;
    this.#counters.handshakesLimited++;
    return busy('Too many requests at once; try again in a moment.', soon);
  }

  /** A connection has ended. */
  leave(address: Address): void {
    this.#addresses.leave(address);
  }
}

function busy(sentence: string, headers: Readonly<Record<string, string>>): Refused {
  return { status: '503 Service Unavailable', headers, sentence };
}
