/** The process of one worker, as its supervisor sees it. */
import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Answers, FromWorker, ToWorker } from './messages.js';

const main = fileURLToPath(new URL('./worker-main.js', import.meta.url));

/**
 * Makes the kernel kill a worker when its supervisor is gone. A hanging or suspended worker would keep the port and
 * accept connections that nobody answers. The command replaces itself by the worker, so the pid stays the same.
 */
const dieWithSupervisor = ['setpriv', '--pdeathsig', 'KILL', '--'] as const;

/**
 * Whether the system has that command (package util-linux). Without it, a worker with a stuck event loop survives its
 * supervisor.
 */
export const canDieWithSupervisor =
  spawnSync(dieWithSupervisor[0], [...dieWithSupervisor.slice(1), 'true']).status === 0;

interface WorkerProcessOptions {
  readonly worker: number;
  readonly env: NodeJS.ProcessEnv;
  /** Called with each line of its standard output. */
  readonly onLine: (line: string) => void;
  readonly onListening: () => void;
}

export interface WorkerEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Why it could not start; empty if it did not say. */
  readonly sentences: readonly string[];
}

/** As in a shell: 128 plus the number of the signal, if a signal ended the process. */
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
    // At a terminal, workers write directly, in colour. Otherwise the supervisor writes their lines: pipes split writes
    // above 4 KiB, so workers would mix their lines.
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
        // With a pid, the error is about a signal or a message that came too late.
        if (this.#child.pid === undefined) resolve({ code: 1, signal: null, sentences: [message] });
      });
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Whether it listens. */
  get isListening(): boolean {
    return this.#isListening && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves with null if it does not answer in time. */
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

  /** Asks it to drain and to exit. */
  stop(atOnce: boolean): void {
    this.#send({ type: 'stop', atOnce });
  }

  /** SIGKILL. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #send(message: ToWorker): void {
    // An exiting worker has no channel any more. Its 'close' event follows.
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }
}
