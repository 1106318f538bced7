/** A kind of server that can be put under load: Fanfare, or what it is compared with. */
import type { Deployment } from '../load/deployment.js';
import type { ProtocolName } from '../protocols/protocols.js';

export interface StartOptions {
  /** Processes that share the load, where the server can be several. */
  readonly nodes: number;
  /** More environment variables for each process. */
  readonly env: Readonly<Record<string, string>>;
}

export interface ServerKind {
  /** What it is and how it is set up, for the report. */
  readonly about: string;
  readonly protocol: ProtocolName;
  /** Its processes know nothing of each other: it is one node. */
  readonly isAlone?: true;
  /** Why it cannot run on this machine, in a sentence that says what to do; null where it can. */
  missing(): Promise<string | null>;
  start(options: StartOptions): Promise<Deployment>;
}
