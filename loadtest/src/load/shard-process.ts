/** A shard as its parent sees it: a process of its own, with sockets, a CPU and a source address of its own. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Progress, RunReport, SettleReport, ShardPlan } from './shard.js';

export type ShardCommand =
  | { readonly name: 'open'; readonly plan: ShardPlan }
  | { readonly name: 'run'; readonly startUs: number; readonly seconds: number; readonly isMeasured: boolean }
  | { readonly name: 'settle'; readonly published: Float64Array; readonly timeoutMs: number };

export type ShardAnswer =
  | { readonly name: 'done'; readonly report: RunReport | SettleReport | null }
  | { readonly name: 'failed'; readonly message: string }
  | { readonly name: 'progress'; readonly progress: Progress };

const main = fileURLToPath(new URL('../../dist/load/shard-main.js', import.meta.url));

export class ShardProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  #progress: Progress = { published: 0, deliveries: 0, connected: 0 };
  #settle: { readonly resolve: (report: unknown) => void; readonly reject: (error: Error) => void } | null = null;

  constructor() {
    this.#child = fork(main, { execArgv: [], serialization: 'advanced' });
    this.#child.on('message', (answer: ShardAnswer) => this.#take(answer));
    for (const event of ['exit', 'error'] as const) {
      this.#child.on(event, () => this.#settle?.reject(new Error('A generator process ended.')));
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** As it was told last, within a quarter of a second. */
  get progress(): Progress {
    return this.#progress;
  }

  async open(plan: ShardPlan): Promise<void> {
    await this.#ask({ name: 'open', plan });
  }

  run(startUs: number, seconds: number, isMeasured: boolean): Promise<RunReport> {
    return this.#ask({ name: 'run', startUs, seconds, isMeasured }) as Promise<RunReport>;
  }

  settle(published: Float64Array, timeoutMs: number): Promise<SettleReport> {
    return this.#ask({ name: 'settle', published, timeoutMs }) as Promise<SettleReport>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }

  #ask(command: ShardCommand): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      if (!this.#child.connected) reject(new Error('A generator process ended.'));
      else this.#child.send(command, (error) => error !== null && reject(new Error('A generator process ended.')));
    });
  }

  #take(answer: ShardAnswer): void {
    if (answer.name === 'progress') {
      this.#progress = answer.progress;
      return;
    }
    const settle = this.#settle;
    this.#settle = null;
    if (answer.name === 'done') settle?.resolve(answer.report);
    else settle?.reject(new Error(answer.message));
  }
}
