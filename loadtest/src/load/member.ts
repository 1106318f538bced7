/** A subscribing connection, as a shard sees it. */
export interface Member {
  /** Whether it recovers missed publications when it reconnects. Otherwise it is replaced by a new one. */
  readonly recovers: boolean;
  readonly isConnected: boolean;
  subscribe(topics: readonly string[]): Promise<void>;
  unsubscribe(topics: readonly string[]): Promise<void>;
  /** Reads nothing from now on. */
  pause(): void;
  /** Breaks the connection, without a close frame. */
  leave(): void;
  /** Resolves once it has reconnected; rejects after the timeout. Only for members that recover. */
  comeBack(timeoutMs: number): Promise<void>;
  close(): void;
}
