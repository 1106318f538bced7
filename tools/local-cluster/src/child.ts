/** A child process that never outlives this one: its log, its exit, and the signals that tests send. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

/** Lines of the log to keep; older lines are dropped. */
const maxLogLines = 2_000;

/** How many lines an error message quotes. */
const quotedLines = 20;

const running = new Set<ChildProcess>();

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/**
 * The 'exit' listener does not run if this process is killed, and a test runner kills hanging workers. So the kernel
 * kills the child too, if the system supports that. `setpriv` execs the command, so the pid stays the same.
 */
const dieWithParent: readonly string[] =
  process.platform === 'linux' && spawnSync('setpriv', ['--pdeathsig', 'KILL', 'true']).status === 0
    ? ['setpriv', '--pdeathsig', 'KILL', '--']
    : [];

export interface ChildOptions {
  readonly command: readonly [string, ...string[]];
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

export class Child implements AsyncDisposable {
  /** Resolves with the exit code, or null if a signal ended it. Never rejects. */
  readonly exited: Promise<number | null>;
  readonly #name: string;
  readonly #process: ChildProcess;
  readonly #lines: string[] = [];
  readonly #watchers = new Set<(line: string) => void>();
  #hasExited = false;

  constructor({ command, env, cwd }: ChildOptions) {
    const [file, ...args] = [...dieWithParent, ...command] as [string, ...string[]];
    this.#name = command[0];
    const child = spawn(file, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    running.add(child);
    this.#read(child.stdout);
    this.#read(child.stderr);
    this.exited = new Promise((resolve) => {
      child.once('error', (error) => {
        this.#take(`${this.#name} cannot be started: ${error.message}`);
        // With a pid, the error is about a signal: the process still runs, and 'close' will follow.
        if (child.pid === undefined) this.#end(resolve, null);
      });
      // 'close' follows the last line of output; 'exit' may precede it.
      child.once('close', (code) => this.#end(resolve, code));
    });
  }

  get pid(): number {
    if (this.#process.pid === undefined) throw new Error(this.explain(`${this.#name} was not started.`));
    return this.#process.pid;
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  /** Its lines on stdout and stderr, without the oldest ones. */
  logs(): string[] {
    return [...this.#lines];
  }

  /** The sentence, followed by the last lines of the log. */
  explain(sentence: string): string {
    const last = this.#lines.slice(-quotedLines);
    return last.length === 0 ? `${sentence} It logged nothing.` : `${sentence} Its last lines:\n${last.join('\n')}`;
  }

  /** The first result of `read` for a past or future line; null if the process ends without one. */
  async find<Answer>(read: (line: string) => Answer | null, signal: AbortSignal): Promise<Answer | null> {
    let watch = (_line: string): void => {};
    let abort = (): void => {};
    try {
      return await new Promise<Answer | null>((resolve, reject) => {
        watch = (line) => {
          const answer = read(line);
          if (answer !== null) resolve(answer);
        };
        abort = () => reject(signal.reason);
        for (const line of this.#lines) watch(line);
        if (signal.aborted) abort();
        this.#watchers.add(watch);
        signal.addEventListener('abort', abort);
        void this.exited.then(() => resolve(null));
      });
    } finally {
      this.#watchers.delete(watch);
      signal.removeEventListener('abort', abort);
    }
  }

  /**
   * Sends SIGTERM and returns the exit code. After the deadline, which is longer than a drain, it kills the process and
   * throws.
   */
  async stop(deadlineMs = 60_000): Promise<number | null> {
    this.#process.kill('SIGTERM');
    // A paused process would receive the signal, but not act on it.
    this.#process.kill('SIGCONT');
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#process.kill('SIGKILL');
    }, deadlineMs);
    const code = await this.exited;
    clearTimeout(timer);
    if (isLate) throw new Error(this.explain(`${this.#name} did not end within ${deadlineMs} ms of SIGTERM.`));
    return code;
  }

  /** SIGKILL; resolves once it is gone. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.exited;
  }

  /** SIGSTOP: its sockets stay open and nothing answers. */
  pause(): void {
    this.#process.kill('SIGSTOP');
  }

  /** SIGCONT. */
  resume(): void {
    this.#process.kill('SIGCONT');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }

  #read(stream: Readable): void {
    createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', (line) => this.#take(line));
  }

  #take(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > maxLogLines) this.#lines.shift();
    for (const watch of this.#watchers) watch(line);
  }

  #end(resolve: (code: number | null) => void, code: number | null): void {
    this.#hasExited = true;
    running.delete(this.#process);
    resolve(code);
  }
}
