/** A connection of a client, of whatever kind: a WebSocket, an event stream, or a held poll. */
import type { CloseReason } from '@fanfare/protocol';
import type { Authentication } from '../session/authentication.js';

/** What the node as a whole needs of a connection: the sweep, drain, rebalancing and revocation visit all of them. */
export interface OpenConnection {
  /** Its place in the list of the server. */
  index: number;
  /** Whether it ends soon anyway, and its client then opens the next one, usually to the same node: a long poll. */
  readonly isBrief: boolean;
  /** Whether the node has asked the client to move. */
  readonly isInvited: boolean;
  /** Whether the node only waits for the client to read the buffered bytes. */
  readonly isClosing: boolean;
  /** Null without authentication. */
  readonly authentication: Authentication | null;
  /** Bytes that the client has not read, without those in the kernel. */
  readonly bufferedBytes: number;
  /** Asks the client to move to another node, after `delayMs`. */
  invite(delayMs: number): void;
  close(reason: CloseReason): void;
  /** Stops waiting for refused publications that were not retried. Called once a second. */
  tickPublishOrder(): void;
  /** Keeps the connection alive, and ends it if its time is over. Called once a second with performance.now(). */
  keepAlive(nowMs: number): void;
}
