/** One worker as its supervisor sees it: a process that is started, asked, stopped, and that ends. */
import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Answers, FromWorker, ToWorker } from './messages.js';

const main = fileURLToPath(new URL('./worker-main.js', import.meta.url));

/**
 * Has the kernel kill a worker whose supervisor is gone, whatever the worker does: one that hangs or is stopped would keep the port, and accept
 * connections that nobody answers. The command becomes the worker; the pid stays the same.
 */
const dieWithSupervisor = ['setpriv', '--pdeathsig', 'KILL', '--'] as const;

/** Whether the system has that command (it belongs to util-linux). Without it, only a worker whose event loop turns ends with its supervisor. */
export const canDieWithSupervisor =
  spawnSync(dieWithSupervisor[0], [...dieWithSupervisor.slice(1), 'true']).status === 0;

export interface WorkerProcessOptions {
  readonly worker: number;
  readonly env: NodeJS.ProcessEnv;
  /** A line that it wrote on its standard output. */
  readonly onLine: (line: string) => void;
  readonly onListening: () => void;
}

export interface WorkerEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it could not start, in its own words; empty where it did not say. */
  readonly sentences: readonly string[];
}

/** As a shell tells it: 128 and the number of the signal, where one ended the process. */
export function exitCode({ code, signal }: WorkerEnd): number {
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

export class WorkerProcess {
  /** Resolves after its last line. Never rejects. */
  readonly ended: Promise<WorkerEnd>;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: Answers[keyof Answers]) => void>();
  #lastId = 0;
  #isListening = false;
  #sentences: readonly string[] = [];

  constructor({ worker, env, onLine, onListening }: WorkerProcessOptions) {
    // At a terminal its lines go there as they are, in colour. Else through us, line by line: what is longer than 4 KiB would be written to a
    // pipe in pieces, between which other workers write.
    const stdout = process.stdout.isTTY ? 'inherit' : 'pipe';
    const [execPath, ...execArgv] = [
      ...(canDieWithSupervisor ? dieWithSupervisor : []),
      process.execPath,
      ...process.execArgv,
    ];
    this.#child = fork(main, [String(worker)], {
      execPath,
      execArgv,
      env,
      stdio: ['ignore', stdout, 'inherit', 'ipc'],
    });
    if (this.#child.stdout !== null) createInterface({ input: this.#child.stdout }).on('line', onLine);
    this.#child.on('message', (message: FromWorker) => {
      if (message.type === 'listening') {
        this.#isListening = true;
        onListening();
      } else if (message.type === 'refused') {
        this.#sentences = message.sentences;
      } else {
        this.#waiting.get(message.id)?.(message.answer);
      }
    });
    this.ended = new Promise((resolve) => {
      this.#child.once('close', (code, signal) => resolve({ code, signal, sentences: this.#sentences }));
      this.#child.on('error', ({ message }) => {
        // With a pid it is about a signal or a message, which came too late.
        if (this.#child.pid === undefined) resolve({ code: 1, signal: null, sentences: [message] });
      });
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Whether it has begun to listen, and still runs. */
  get isListening(): boolean {
    return this.#isListening && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Null where it does not answer in time. */
  async ask<What extends keyof Answers>(what: What, timeoutMs: number): Promise<Answers[What] | null> {
    const id = ++this.#lastId;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise((resolve) => {
        timer = setTimeout(() => resolve(null), timeoutMs);
        this.#waiting.set(id, (answer) => resolve(answer as Answers[What]));
        this.#send({ type: 'ask', id, what });
      });
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  /** Asks it to drain and to end. */
  stop(atOnce: boolean): void {
    this.#send({ type: 'stop', atOnce });
  }

  /** SIGKILL. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #send(message: ToWorker): void {
    // One that is ending has no channel any more: its end is told by 'close'.
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }
}
