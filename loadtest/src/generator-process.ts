/** The generator as its parent sees it: a process of its own, so that its work is not counted as the server's. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { CrowdOptions, Run, RunResult } from './crowd.js';
import { pin } from './pinning.js';
import type { WireName } from './wire.js';

export type GeneratorCommand =
  | {
      readonly type: 'open';
      readonly port: number;
      readonly wire: WireName;
      readonly publicationBytes: number;
      readonly crowd: CrowdOptions;
    }
  | { readonly type: 'run'; readonly topic: string; readonly run: Run };

export type GeneratorAnswer =
  | { readonly type: 'opened' }
  | { readonly type: 'ran'; readonly result: RunResult }
  | { readonly type: 'failed'; readonly message: string };

export interface GeneratorOptions {
  readonly port: number;
  readonly wire: WireName;
  readonly publicationBytes: number;
  /** The CPU that it may use; null: any. */
  readonly cpu: number | null;
}

const main = fileURLToPath(new URL('../dist/generator.js', import.meta.url));

export class GeneratorProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #options: GeneratorOptions;

  constructor(options: GeneratorOptions) {
    this.#options = options;
    this.#child = fork(main, { execArgv: [] });
    if (options.cpu !== null && this.#child.pid !== undefined) pin(this.#child.pid, options.cpu);
  }

  async open(crowd: CrowdOptions): Promise<void> {
    const { port, wire, publicationBytes } = this.#options;
    await this.#ask({ type: 'open', port, wire, publicationBytes, crowd });
  }

  async run(topic: string, run: Run): Promise<RunResult> {
    const answer = await this.#ask({ type: 'run', topic, run });
    if (answer.type !== 'ran') throw new Error(`The generator answered ${answer.type} to a run.`);
    return answer.result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }

  async #ask(command: GeneratorCommand): Promise<GeneratorAnswer> {
    const ended = new AbortController();
    const onExit = (): void => ended.abort(new Error('The generator ended.'));
    this.#child.once('exit', onExit);
    this.#child.send(command);
    try {
      const [answer] = (await once(this.#child, 'message', { signal: ended.signal })) as [GeneratorAnswer];
      if (answer.type === 'failed') throw new Error(answer.message);
      return answer;
    } catch (error) {
      throw ended.signal.aborted ? ended.signal.reason : error;
    } finally {
      this.#child.off('exit', onExit);
    }
  }
}
