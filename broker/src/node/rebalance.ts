/**
 * Moves connections to nodes that have fewer: new nodes would else stay empty until clients come and go. A node that has more than
 * its share invites some to move each second, as a node that stops does; nobody is closed, and who cannot move stays. Full nodes are no
 * place to go, and do not count in the share of the others.
 */
import type { Connection } from '../connection/connection.js';
import type { Log } from '../observe/log.js';
import type { Load, Spread } from '../relay/relay.js';

export interface RebalanceSettings {
  /** Connections that are invited in a second, at most; 0: none ever. */
  readonly rebalanceRate: number;
  /** How long the number of nodes must have been the same. */
  readonly rebalanceAfterMs: number;
}

export interface Rebalanced {
  readonly connections: readonly Connection[];
  /** Null while it is not known. */
  spread(): Spread | null;
  readonly counters: { connectionsRebalanced: number };
  readonly log: Log;
}

const lookMs = 1_000;

/** From so much of its limit on a node is full: the rest is for those who come by themselves. */
const fullShare = 0.95;
/** A full node has room again below so much of its limit: one that comes and goes there would have the others move clients to it each time. */
const openShare = 0.85;

/** The load of a node that takes `max` connections at most. */
export function loadOf(connections: number, max: number, wasFull: boolean): Load {
  return { connections, isFull: connections >= max * (wasFull ? openShare : fullShare) };
}

/** A node that has so much more than its share leaves it at that: load balancers do not divide evenly. */
const tolerance = 0.1;

/**
 * So many invitations for each connection too many; a balancer that knows nothing of the counts brings most of those who move back to where
 * they came from. More do not help: clients are bound to this node, or the others are behind another balancer.
 */
const patience = 5;

/** A node that has had its share for so long, in milliseconds, begins anew with its invitations; before that they are of one story. */
const calmMs = 600_000;

export class Rebalance {
  readonly #settings: RebalanceSettings;
  readonly #parts: Rebalanced;
  readonly #timer: NodeJS.Timeout | null;
  /** How many nodes there are, and since when, by performance.now(). */
  #nodes = { count: 0, since: 0 };
  #isUnderWay = false;
  /** Since the number of nodes changed, or the last calm: how many were invited, and the most that were too many. */
  #invited = 0;
  #mostExcess = 0;
  #hasGivenUp = false;
  /** Since when this node has its share, by performance.now(); null while it has more. */
  #evenSince: number | null = null;

  constructor(settings: RebalanceSettings, parts: Rebalanced) {
    this.#settings = settings;
    this.#parts = parts;
    this.#timer = settings.rebalanceRate === 0 ? null : setInterval(() => this.look(), lookMs);
    this.#timer?.unref();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  look(now = performance.now()): void {
    const spread = this.#parts.spread();
    const nodes = spread?.nodes ?? 0;
    if (nodes !== this.#nodes.count) {
      this.#nodes = { count: nodes, since: now };
      this.#beginAnew();
    }
    // In the middle of a deploy clients would be moved to nodes that are about to stop, and moved on from there.
    if (spread === null || nodes === 0 || now - this.#nodes.since < this.#settings.rebalanceAfterMs) return;
    // Both as of the last heartbeat: where all nodes grow, what this one has now is more than its share of what all had then.
    const share = spread.connections / spread.open;
    const excess = spread.own > share * (1 + tolerance) ? Math.floor(spread.own - share) : 0;
    if (excess === 0) {
      this.#evenSince ??= now;
      if (this.#isUnderWay) this.#end(spread.own, share);
      return;
    }
    if (this.#evenSince !== null && now - this.#evenSince >= calmMs) this.#beginAnew();
    this.#evenSince = null;
    if (!this.#hasGivenUp) this.#invite(excess, spread.own, share);
  }

  #beginAnew(): void {
    this.#invited = 0;
    this.#mostExcess = 0;
    this.#hasGivenUp = false;
  }

  #invite(excess: number, own: number, share: number): void {
    const { connections, counters, log } = this.#parts;
    const { rebalanceRate } = this.#settings;
    this.#mostExcess = Math.max(this.#mostExcess, excess);
    if (!this.#isUnderWay) {
      this.#isUnderWay = true;
      log.info(
        { event: 'rebalancing', connections: own, share: Math.round(share), state: 'begun' },
        `This node has ${own} connections; its share is ${Math.round(share)}. Asking ${rebalanceRate} clients per second to move.`,
      );
    }
    let left = Math.min(rebalanceRate, excess, this.#mostExcess * patience - this.#invited);
    const start = Math.floor(Math.random() * connections.length);
    // Each is invited once: those that do not heed it are not asked for ever.
    for (let step = 0; step < connections.length && left > 0; step++) {
      const connection = connections[(start + step) % connections.length];
      if (connection === undefined || connection.isInvited) continue;
      connection.invite(Math.floor(Math.random() * lookMs));
      counters.connectionsRebalanced++;
      this.#invited++;
      left--;
    }
    if (this.#invited < this.#mostExcess * patience) return;
    this.#hasGivenUp = true;
    log.warn(
      { event: 'rebalancing', connections: own, share: Math.round(share), state: 'inVain' },
      `This node has asked ${patience} times its excess of clients to move but still has ${own} connections; its share is ${Math.round(share)}. The load balancer returns them to this node. Rebalancing pauses until the number of nodes changes or this node has had its share for 10 minutes.`,
    );
  }

  #end(own: number, share: number): void {
    this.#isUnderWay = false;
    this.#parts.log.info(
      { event: 'rebalancing', connections: own, share: Math.round(share), state: 'over' },
      `Rebalancing is complete: this node has ${own} connections, about its share.`,
    );
  }
}
