/** A child process that carries out commands for its parent: the parent has a `Worker`, the child calls `serve`. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { within } from './within.js';

/** Input and output of each command. */
type Commands = Readonly<Record<string, readonly [input: unknown, output: unknown]>>;

interface Request {
  readonly id: number;
  readonly name: string;
  readonly input: unknown;
}

type Answer =
  | { readonly id: number; readonly output: unknown }
  | { readonly id: number; readonly error: string }
  | { readonly notice: unknown };

interface Waiting {
  readonly resolve: (output: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class Worker<Known extends Commands, Notice = never> implements AsyncDisposable {
  /** Called with messages that the child sends on its own. */
  onNotice: (notice: Notice) => void = () => {};
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #hasEnded = false;

  /** `main` is the built file of the child. `name` begins the sentences of errors, such as `A generator process`. */
  constructor(
    main: string,
    readonly name: string,
  ) {
    // Typed arrays arrive as typed arrays.
    this.#child = fork(main, { execArgv: [], serialization: 'advanced' });
    this.#child.on('message', (answer: Answer) => this.#onAnswer(answer));
    for (const event of ['exit', 'error']) this.#child.on(event, () => this.#onEnd());
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Rejects if the child fails, ends, or does not answer in time. */
  async ask<Name extends keyof Known & string>(
    name: Name,
    input: Known[Name][0],
    timeoutMs?: number,
  ): Promise<Known[Name][1]> {
    const id = ++this.#lastId;
    const output = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    const onUnsent = (error: Error | null): void => void (error !== null && this.#onEnd());
    if (this.#hasEnded || !this.#child.connected) this.#onEnd();
    else this.#child.send({ id, name, input } satisfies Request, onUnsent);
    try {
      return await (timeoutMs === undefined
        ? output
        : within(timeoutMs, output, `${this.name} did not answer "${name}"`));
    } finally {
      this.#waiting.delete(id);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }

  #onAnswer(answer: Answer): void {
    if ('notice' in answer) this.onNotice(answer.notice as Notice);
    else if ('error' in answer) this.#waiting.get(answer.id)?.reject(new Error(answer.error));
    else this.#waiting.get(answer.id)?.resolve(answer.output);
  }

  #onEnd(): void {
    this.#hasEnded = true;
    for (const { reject } of this.#waiting.values()) reject(new Error(`${this.name} ended.`));
  }
}

type Handlers<Known extends Commands> = {
  readonly [Name in keyof Known]: (input: Known[Name][0]) => Known[Name][1] | Promise<Known[Name][1]>;
};

/** In the child: carries out the commands of the parent. Returns a function that sends a notice. */
export function serve<Known extends Commands, Notice = never>(handlers: Handlers<Known>): (notice: Notice) => void {
  const send = (answer: Answer): void => void process.send?.(answer);
  process.on('message', async ({ id, name, input }: Request) => {
    try {
      const handle = handlers[name];
      if (handle === undefined) throw new Error(`Unknown command ${name}.`);
      send({ id, output: await handle(input) });
    } catch (error) {
      send({ id, error: (error as Error).message });
    }
  });
  process.on('disconnect', () => process.exit());
  // Ctrl+C reaches the child too. The parent decides when it ends.
  process.on('SIGINT', () => {});
  return (notice) => send({ notice });
}
