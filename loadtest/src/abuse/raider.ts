/** The attackers' process, as its parent sees it. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Attack } from './attack.js';
import type { RaidReport } from './raid.js';

const main = fileURLToPath(new URL('../../dist/abuse/raider-main.js', import.meta.url));

export class Raider implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #isReady: Promise<unknown>;

  constructor({ name }: Attack, port: number, seconds: number) {
    this.#child = fork(main, [name, String(port), String(seconds)], { execArgv: [] });
    this.#isReady = this.#hear();
    // Told when it is waited for.
    this.#isReady.catch(() => {});
  }

  /** Resolves once the attackers can begin. */
  async ready(): Promise<void> {
    await this.#isReady;
  }

  /** Attacks; resolves with what the attackers have seen. */
  async raid(): Promise<RaidReport> {
    const report = this.#hear();
    this.#child.send('go');
    return (await report) as RaidReport;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }

  async #hear(): Promise<unknown> {
    const failed = once(this.#child, 'exit').then(() => {
      throw new Error('The attackers ended before they were done.');
    });
    const [message] = await Promise.race([once(this.#child, 'message'), failed]);
    return message;
  }
}
