/** The parts of a node that handlers use; each takes only those it needs. */
import type { Relay } from '../relay/relay.js';

export interface Parts {
  readonly relay: Relay;
  readonly limits: Limits;
  readonly greeting: Greeting;
  readonly counters: HandlerCounters;
  /** Told of an error that is a bug. */
  onBug(error: unknown): void;
}

export interface Limits {
  readonly maxSubscriptions: number;
}

/** What `connected` tells a client. */
export interface Greeting {
  readonly node: string;
  readonly pingIntervalMs: number;
  readonly maxFrameBytes: number;
}

export interface HandlerCounters {
  publicationsIn: number;
  commandErrors: number;
  commandsUnavailable: number;
  publicationsUnconfirmed: number;
  publicationsOutOfTurn: number;
  commandsNotPermitted: number;
}
