/**
 * Moves connections to nodes that have fewer: new nodes would else stay empty until clients come and go. A node that has more than
 * its share invites some to move each second, as a node that stops does; nobody is closed, and who cannot move stays.
 */
import type { Connection } from './connection/connection.js';
import type { Log } from './log.js';
import type { Spread } from './relay/relay.js';

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

/** A node that has so much more than its share leaves it at that: load balancers do not divide evenly. */
const tolerance = 0.1;

export class Rebalance {
  readonly #settings: RebalanceSettings;
  readonly #parts: Rebalanced;
  readonly #timer: NodeJS.Timeout | null;
  #isUnderWay = false;
  /** How many nodes there are, and since when, by performance.now(). */
  #nodes = { count: 0, since: 0 };

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
    const { connections, counters } = this.#parts;
    const spread = this.#parts.spread();
    const nodes = spread?.nodes ?? 0;
    if (nodes !== this.#nodes.count) this.#nodes = { count: nodes, since: now };
    // In the middle of a deploy clients would be moved to nodes that are about to stop, and moved on from there.
    if (now - this.#nodes.since < this.#settings.rebalanceAfterMs) return;
    const count = connections.length;
    const share = shareOf(spread, count);
    const excess = count > share * (1 + tolerance) ? Math.floor(count - share) : 0;
    this.#say(count, share, excess > 0);
    // Each is invited once: those that do not heed it are not asked for ever.
    let left = Math.min(this.#settings.rebalanceRate, excess);
    const start = Math.floor(Math.random() * count);
    for (let step = 0; step < count && left > 0; step++) {
      const connection = connections[(start + step) % count];
      if (connection === undefined || connection.isInvited) continue;
      connection.invite(Math.floor(Math.random() * lookMs));
      counters.connectionsRebalanced++;
      left--;
    }
  }

  /** When it begins and when it is over, not each second between. */
  #say(count: number, share: number, isUnderWay: boolean): void {
    if (isUnderWay === this.#isUnderWay) return;
    this.#isUnderWay = isUnderWay;
    const { rebalanceRate } = this.#settings;
    const fields = { event: 'rebalancing', connections: count, share: Math.round(share), isUnderWay };
    this.#parts.log.info(
      fields,
      isUnderWay
        ? `This node has ${count} connections where its share is ${fields.share}: inviting ${rebalanceRate} a second to move.`
        : `This node has ${count} connections, its share or nearly so: nobody is invited to move any more.`,
    );
  }
}

/** What each node would have if all had the same; what this one has where that is not known. */
function shareOf(spread: Spread | null, own: number): number {
  return spread === null || spread.nodes === 0 ? own : spread.connections / spread.nodes;
}
