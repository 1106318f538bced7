/** Starts servers of one kind on this machine. */
import type { Deployment } from '../load/deployment.js';

interface StartOptions {
  /** Processes that share the load, if the server can be several. */
  readonly nodes: number;
  /** More environment variables for each process. */
  readonly env: Readonly<Record<string, string>>;
}

export interface Launcher {
  /** Why it cannot run on this machine, in a sentence that says what to do; null if it can. */
  missing(): Promise<string | null>;
  start(options: StartOptions): Promise<Deployment>;
}
