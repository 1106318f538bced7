/** What waits for replies of Redis. */
import type { Reply } from './reply-reader.js';

/** Waits for the replies to some commands that follow each other. */
export abstract class PendingCall {
  /** When the commands were written, by performance.now(). */
  readonly sentAt = performance.now();
  /** The call that was sent after this one. */
  later: PendingCall | null = null;

  /** The next reply, or the error that Redis returned instead. Returns whether it was the last one of this call. */
  abstract onReply(reply: Reply): boolean;

  /** All replies have arrived. */
  abstract onComplete(): void;

  /** Called instead of {@link onComplete}: the connection was lost. Commands without a reply may have been executed or not. */
  abstract onLost(): void;
}
