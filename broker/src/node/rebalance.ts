/**
 * Moves connections to nodes with fewer: otherwise new nodes would stay empty until clients reconnect. A node with more
 * than its share asks some clients to move each second, and closes none. Full nodes do not count in the share of the
 * others.
 */
import type { OpenConnection } from '../connection/open-connection.js';
import type { Log } from '../observe/log.js';
import type { Load, Spread } from '../relay/relay.js';

interface RebalanceSettings {
  /** Maximum number of clients that the node asks to move per second. 0: none. */
  readonly rebalanceRate: number;
  /** How long the number of nodes must have been stable. */
  readonly rebalanceAfterMs: number;
}

interface RebalanceParts {
  readonly connections: readonly OpenConnection[];
  /** Null while it is unknown. */
  spread(): Spread | null;
  readonly counters: { connectionsRebalanced: number };
  readonly log: Log;
}

const intervalMs = 1_000;

/** From this share of its limit a node counts as full. The rest is for new clients. */
const fullShare = 0.95;
/**
 * Below this share a full node has room again. The two differ so that small changes do not make the others move clients
 * to it each time.
 */
const openShare = 0.85;

/** The load of a node with a limit of `max` connections. */
export function loadOf(connections: number, max: number, wasFull: boolean): Load {
  return { connections, isFull: connections >= max * (wasFull ? openShare : fullShare) };
}

/** How much more than its share a node may have: load balancers do not distribute evenly. */
const tolerance = 0.1;

/**
 * Most requests to move for each excess connection. A load balancer that ignores connection counts returns most clients
 * to the same node. More requests do not help: then clients are bound to this node, or the others are behind another
 * load balancer.
 */
const maxRequestsPerExcess = 5;

/** After it has had its share for this long, in milliseconds, a node counts its requests from zero again. */
const calmMs = 600_000;

export class Rebalance {
  readonly #timer: NodeJS.Timeout | null;
  /** The number of nodes, and since when, by performance.now(). */
  #nodes = { count: 0, since: 0 };
  #isActive = false;
  /** Since the last reset: how many clients were asked to move, and the largest excess. */
  #invited = 0;
  #mostExcess = 0;
  #hasGivenUp = false;
  /** Since when this node has its share, by performance.now(); null while it has more. */
  #evenSince: number | null = null;

  constructor(
    private readonly settings: RebalanceSettings,
    private readonly parts: RebalanceParts,
  ) {
    this.#timer = settings.rebalanceRate === 0 ? null : setInterval(() => this.check(), intervalMs);
    this.#timer?.unref();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  check(now = performance.now()): void {
    const spread = this.parts.spread();
    const nodes = spread?.nodes ?? 0;
    if (nodes !== this.#nodes.count) {
      this.#nodes = { count: nodes, since: now };
      this.#reset();
    }
    // During a deploy, clients would move to nodes that are about to stop, and then move again.
    if (spread === null || nodes === 0 || now - this.#nodes.since < this.settings.rebalanceAfterMs) return;
    // Both numbers are from the last heartbeat. While all nodes grow, the current number of this node would exceed its
    // share of that older total.
    const share = spread.connections / spread.open;
    const excess = spread.own > share * (1 + tolerance) ? Math.floor(spread.own - share) : 0;
    if (excess === 0) {
      this.#evenSince ??= now;
      if (this.#isActive) this.#end(spread.own, share);
      return;
    }
    if (this.#evenSince !== null && now - this.#evenSince >= calmMs) this.#reset();
    this.#evenSince = null;
    if (!this.#hasGivenUp) this.#invite(excess, spread.own, share);
  }

  #reset(): void {
    this.#invited = 0;
    this.#mostExcess = 0;
    this.#hasGivenUp = false;
  }

  #invite(excess: number, own: number, share: number): void {
    const { connections, counters, log } = this.parts;
    const { rebalanceRate } = this.settings;
    this.#mostExcess = Math.max(this.#mostExcess, excess);
    if (!this.#isActive) {
      this.#isActive = true;
      log.info(
        { event: 'rebalancing', connections: own, share: Math.round(share), state: 'begun' },
        `This node has ${own} connections; its share is ${Math.round(share)}. Asking ${rebalanceRate} clients per second to move.`,
      );
    }
    let left = Math.min(rebalanceRate, excess, this.#mostExcess * maxRequestsPerExcess - this.#invited);
    const start = Math.floor(Math.random() * connections.length);
    // Each client is asked only once. A client that polls would return to this node, and count as in vain.
    for (let step = 0; step < connections.length && left > 0; step++) {
      const connection = connections[(start + step) % connections.length];
      if (connection === undefined || connection.isInvited || connection.isBrief) continue;
      connection.invite(Math.floor(Math.random() * intervalMs));
      counters.connectionsRebalanced++;
      this.#invited++;
      left--;
    }
    if (this.#invited < this.#mostExcess * maxRequestsPerExcess) return;
    this.#hasGivenUp = true;
    log.warn(
      { event: 'rebalancing', connections: own, share: Math.round(share), state: 'inVain' },
      `This node has asked ${maxRequestsPerExcess} times its excess of clients to move but still has ${own} connections; its share is ${Math.round(share)}. The load balancer returns them to this node. Rebalancing pauses until the number of nodes changes or this node has had its share for 10 minutes.`,
    );
  }

  #end(own: number, share: number): void {
    this.#isActive = false;
    this.parts.log.info(
      { event: 'rebalancing', connections: own, share: Math.round(share), state: 'over' },
      `Rebalancing is complete: this node has ${own} connections, about its share.`,
    );
  }
}
