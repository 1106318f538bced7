/** The parts of a node that handlers use. Each handler takes only those it needs. */
import type { Command, Publish, ReplyError } from '@fanfare/protocol';
import type { Relay } from '../relay/relay.js';
import type { Caller } from './caller.js';

export interface Parts {
  readonly relay: Relay;
  readonly limits: Limits;
  readonly greeting: Greeting;
  readonly counters: HandlerCounters;
  /** Called for an unexpected error: a bug. */
  onBug(error: unknown): void;
  /** Called for each command that is answered with an error; null if nobody listens. */
  readonly onRefused: ((caller: Caller, command: RefusedCommand | null, error: ReplyError) => void) | null;
}

/** A command that was refused. The payload of a publish is not kept for that long. */
export type RefusedCommand = Exclude<Command, Publish> | Pick<Publish, 'type' | 'topic' | 'messageId'>;

interface Limits {
  readonly maxSubscriptions: number;
}

/** What `connected` reports to a client. */
interface Greeting {
  readonly node: string;
  readonly pingIntervalMs: number;
  readonly maxFrameBytes: number;
}

interface HandlerCounters {
  publicationsIn: number;
  commandErrors: number;
  commandsUnavailable: number;
  publicationsUnconfirmed: number;
  publicationsOutOfTurn: number;
  commandsNotPermitted: number;
}
