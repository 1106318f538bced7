/** Our own Redis, as a process or in a container. */

export interface RedisOptions {
  /** More arguments for `redis-server`, for example `['--appendonly', 'yes']`. */
  readonly args?: readonly string[];
  /** More environment variables. Not in a container. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default: a free one. */
  readonly port?: number;
  /** Whether a Redis that is neither on the PATH nor in Docker may be installed with apt (default true). */
  readonly mayInstall?: boolean;
}

export interface RedisProcess extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Process id; throws if Redis runs in a container. */
  readonly pid: number;
  /** The last lines that it logged. */
  logs(): string[];
  /** SIGTERM; resolves once it is gone. */
  stop(): Promise<void>;
  /** SIGKILL; resolves once it is gone. */
  kill(): Promise<void>;
  /** SIGSTOP: its connections stay open and nothing answers. */
  pause(): Promise<void>;
  /** SIGCONT. */
  resume(): Promise<void>;
  /** Stops it if it runs, and starts it again on the same port. Data survives only if `args` enable persistence. */
  restart(): Promise<void>;
  /** SIGKILL, and its files are removed. */
  [Symbol.asyncDispose](): Promise<void>;
}
