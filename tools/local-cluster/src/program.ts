/** A server that is an installed program: a child process with a temporary folder. It leaves nothing on disk. */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Child } from './child.js';

const startDeadlineMs = 60_000;
const pollIntervalMs = 10;

export interface ProgramOptions {
  /** For its folder and for errors. */
  readonly name: string;
  /** Where it listens on 127.0.0.1. */
  readonly port: number;
  /** Called once. It may write files into the folder, which is also the working directory. */
  command(folder: string): readonly [string, ...string[]];
  /** More environment variables. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether this process answers. Default: anything listens on the port. */
  answers?(child: Child): Promise<boolean>;
}

/** Folders that still exist; they are removed if this process ends first. */
const folders = new Set<string>();

process.on('exit', () => {
  for (const folder of folders) remove(folder);
});

export class Program implements AsyncDisposable {
  readonly #command: readonly [string, ...string[]];
  #child: Child;

  /** Resolves once it answers. */
  static async start(options: ProgramOptions): Promise<Program> {
    // In one turn of the event loop: if this process ended in between, the folder would remain.
    const folder = mkdtempSync(join(tmpdir(), `fanfare-${options.name}-`));
    folders.add(folder);
    try {
      const program = new Program(options, folder);
      await program.#untilItAnswers();
      return program;
    } catch (error) {
      remove(folder);
      throw error;
    }
  }

  private constructor(
    private readonly options: ProgramOptions,
    private readonly folder: string,
  ) {
    this.#command = options.command(folder);
    this.#child = this.#spawn();
  }

  get port(): number {
    return this.options.port;
  }

  get pid(): number {
    return this.#child.pid;
  }

  logs(): string[] {
    return this.#child.logs();
  }

  async stop(): Promise<void> {
    await this.#child.stop();
  }

  async kill(): Promise<void> {
    await this.#child.kill();
  }

  async pause(): Promise<void> {
    this.#child.pause();
  }

  async resume(): Promise<void> {
    this.#child.resume();
  }

  async restart(): Promise<void> {
    await this.stop();
    this.#child = this.#spawn();
    await this.#untilItAnswers();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.kill();
    remove(this.folder);
  }

  #spawn(): Child {
    return new Child({ command: this.#command, cwd: this.folder, env: { ...process.env, ...this.options.env } });
  }

  async #untilItAnswers(): Promise<void> {
    const { name, port, answers = () => doesListen(port) } = this.options;
    const child = this.#child;
    const deadline = performance.now() + startDeadlineMs;
    while (!child.hasExited && performance.now() < deadline) {
      if (await answers(child)) return;
      await delay(pollIntervalMs);
    }
    const what = child.hasExited ? 'ended before it answered' : `did not answer within ${startDeadlineMs} ms`;
    await child.kill();
    throw new Error(child.explain(`${name} on port ${port} ${what}.`));
  }
}

function remove(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  folders.delete(folder);
}

function doesListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    const finish = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('connect', () => finish(true));
    socket.on('error', () => finish(false));
  });
}
