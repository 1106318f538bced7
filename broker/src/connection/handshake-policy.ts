/** Decides whether a client may connect, at the opening handshake, before the node keeps anything for it. */
import { type Address, Addresses, type Networks } from '../limits/addresses.js';
import type { Origins } from '../limits/origins.js';
import { TokenBucket } from '../limits/token-bucket.js';
import type { Log } from '../observe/log.js';
import { type HttpRefusal, printable, type Requester } from './handshake.js';

interface HandshakePolicySettings {
  readonly isAuthenticated: boolean;
  /** Origins of pages that may connect. Null: any without authentication, none with it. */
  readonly origins: Origins | null;
  readonly trustedProxies: Networks;
  readonly maxConnections: number;
  /** 0: no limit. */
  readonly maxConnectionsPerAddress: number;
  readonly handshakesPerSecond: number;
  readonly maxUnauthenticatedPercent: number;
}

interface HandshakePolicyCounters {
  originsRefused: number;
  addressesRefused: number;
  handshakesLimited: number;
  connectionsOverCapacity: number;
}

/** The connections that are open now. */
interface Occupancy {
  readonly connections: number;
  readonly unauthenticated: number;
}

interface Admitted {
  /**
   * The address of the client; null if it is not counted. A closed connection returns it with
   * {@link HandshakePolicy.leave}.
   */
  readonly address: Address | null;
}

/**
 * What a new connection takes from the limits of rates. `handshake`: it is a WebSocket. `request`: it is the response to
 * a request, and has the limit of those. `nothing`: it costs no more than a request to a node without authentication, or
 * the rate of its subject limits it.
 */
export type Toll = 'handshake' | 'request' | 'nothing';

/** The share of all handshakes in a second that one address may use. */
const addressShare = 0.1;

const soon = { 'Retry-After': '1' };
const later = { 'Retry-After': '10' };

export class HandshakePolicy {
  readonly #addresses: Addresses;
  readonly #handshakes: TokenBucket;
  /** For requests whose token is not known, and for event streams: they cannot use up the handshakes. */
  readonly #requests: TokenBucket;

  constructor(
    private readonly settings: HandshakePolicySettings,
    private readonly counters: HandshakePolicyCounters,
    log: Pick<Log, 'warn'>,
  ) {
    const { handshakesPerSecond } = settings;
    const bucket = (): TokenBucket => new TokenBucket(handshakesPerSecond, handshakesPerSecond, performance.now());
    this.#addresses = new Addresses(settings.trustedProxies, Math.max(1, handshakesPerSecond * addressShare), log);
    this.#handshakes = bucket();
    this.#requests = bucket();
  }

  /** Maximum number of sockets that have not authenticated, or have not even sent a WebSocket handshake. */
  get maxUnauthenticated(): number {
    const { maxConnections, maxUnauthenticatedPercent } = this.settings;
    return Math.max(1, (maxConnections * maxUnauthenticatedPercent) / 100);
  }

  /** The cheapest checks come first. */
  judge({ origin, remoteAddress, forwardedFor }: Requester, occupancy: Occupancy, toll: Toll): Admitted | HttpRefusal {
    const { isAuthenticated, maxConnections, maxConnectionsPerAddress } = this.settings;
    const refusal = this.judgeOrigin(origin);
    if (refusal !== null) {
      this.counters.originsRefused++;
      return refusal;
    }
    const nowMs = performance.now();
    // Checked before the limits that all share: one client must not use them up.
    const isCounted = isAuthenticated && maxConnectionsPerAddress > 0;
    const address = isCounted ? this.#addresses.of(remoteAddress, forwardedFor) : null;
    if (address !== null && address.connections >= maxConnectionsPerAddress) {
      this.counters.addressesRefused++;
      return {
        status: '429 Too Many Requests',
        headers: later,
        sentence: `Your address has reached the limit of ${maxConnectionsPerAddress} connections to this node. Close some first.`,
      };
    }
    if (toll !== 'nothing' && address?.handshakes.take(1, nowMs) === false) {
      this.counters.handshakesLimited++;
      return {
        status: '429 Too Many Requests',
        headers: soon,
        sentence: `Too many ${toll}s from your address. Retry in a moment.`,
      };
    }
    if (toll !== 'nothing' && !(toll === 'request' ? this.#requests : this.#handshakes).take(1, nowMs)) {
      this.counters.handshakesLimited++;
      return busy('Too many clients are connecting at once. Retry in a moment.', soon);
    }
    if (occupancy.connections >= maxConnections) {
      this.counters.connectionsOverCapacity++;
      return busy('This node has reached its connection limit. Another node may have room.', later);
    }
    if (isAuthenticated && toll !== 'nothing' && occupancy.unauthenticated >= this.maxUnauthenticated) {
      this.counters.connectionsOverCapacity++;
      return busy('Too many connections are waiting for authentication. Retry in a moment.', soon);
    }
    if (address !== null) address.connections++;
    return { address };
  }

  /** Whether pages of this origin may connect. `origin`: empty if there is none. */
  judgeOrigin(origin: string): HttpRefusal | null {
    if (origin === '' || this.#allowsOrigin(origin)) return null;
    const quoted = printable(origin);
    const sentence = `The origin ${quoted} is not allowed. FANFARE_ORIGINS lists the allowed origins.`;
    return { status: '403 Forbidden', headers: {}, sentence, quoted };
  }

  #allowsOrigin(origin: string): boolean {
    const { origins, isAuthenticated } = this.settings;
    if (origins === null) return !isAuthenticated;
    return origins === 'any' || origins.has(origin);
  }

  /**
   * A POST request costs about as much as a handshake, but has a limit of its own. `isService`: whether it has a valid
   * API key. For services, only the limit of their address applies. For a token that only looks like a key, both limits
   * apply.
   */
  judgePost(
    { remoteAddress, forwardedFor }: Omit<Requester, 'origin'>,
    isService: () => boolean,
  ): Admitted | HttpRefusal {
    const nowMs = performance.now();
    const address = this.#addresses.of(remoteAddress, forwardedFor);
    if (address?.handshakes.take(1, nowMs) !== false && (isService() || this.#requests.take(1, nowMs)))
      return { address };
    this.counters.handshakesLimited++;
    return busy('Too many requests at once. Retry in a moment.', soon);
  }

  /** A connection has closed. */
  leave(address: Address): void {
    address.connections--;
  }

  /** Call this from time to time. */
  forgetIdle(nowMs: number): void {
    this.#addresses.forgetIdle(nowMs);
  }
}

function busy(sentence: string, headers: Readonly<Record<string, string>>): HttpRefusal {
  return { status: '503 Service Unavailable', headers, sentence };
}
