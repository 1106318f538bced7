/** The parts of a node that handlers use; each takes only those it needs. */
import type { Command, ReplyError } from '@fanfare/protocol';
import type { Relay } from '../relay/relay.js';
import type { Caller } from './caller.js';

export interface Parts {
  readonly relay: Relay;
  readonly limits: Limits;
  readonly greeting: Greeting;
  readonly counters: HandlerCounters;
  /** Told of an error that is a bug. */
  onBug(error: unknown): void;
  /** Told of each command that is answered with an error; null if nobody wants to know. */
  readonly onRefused: ((caller: Caller, command: RefusedCommand | null, error: ReplyError) => void) | null;
}

/** What is left of a command that is refused. */
export interface RefusedCommand {
  readonly type: Command['type'];
  readonly topic?: string;
  /** Of a publish. */
  readonly messageId?: string | null;
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
