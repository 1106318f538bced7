/** A subscribing connection, as a shard sees it. */
export interface Member {
  /** Whether it gets what it has missed when it comes back, and so need not be made anew. */
  readonly recovers: boolean;
  subscribe(topics: readonly string[]): Promise<void>;
  unsubscribe(topics: readonly string[]): Promise<void>;
  /** Reads nothing from now on. */
  pause(): void;
  /** Breaks the connection, without a goodbye. */
  leave(): void;
  /** Resolves when it is connected again. For those that recover. */
  comeBack(): Promise<void>;
  close(): void;
}
