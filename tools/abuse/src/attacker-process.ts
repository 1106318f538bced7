/** The attackers' process, as its parent sees it. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { setCpus } from '@fanfare/kit/cpus';
import type { Attack } from './attack.js';
import type { AttackReport, LinkCommand } from './attackers.js';
import { addressesOf, type Target } from './target.js';

const main = fileURLToPath(new URL('../dist/attacker-main.js', import.meta.url));

export class AttackerProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #isReady: Promise<unknown>;
  readonly #link: Target['link'];

  /** `cpu`: where it runs; null: anywhere. */
  constructor({ name }: Attack, target: Target, seconds: number, cpu: number | null) {
    this.#link = target.link;
    this.#child = fork(main, [name, JSON.stringify(addressesOf(target)), String(seconds)], { execArgv: [] });
    if (cpu !== null && this.#child.pid !== undefined) setCpus(this.#child.pid, [cpu]);
    this.#isReady = this.#hear();
    // Told when it is waited for.
    this.#isReady.catch(() => {});
  }

  /** Resolves once the attackers can begin. */
  async ready(): Promise<void> {
    await this.#isReady;
  }

  /** Attacks; resolves with what the attackers have seen. */
  async attackers(): Promise<AttackReport> {
    this.#child.send('go');
    for (;;) {
      const message = (await this.#hear()) as AttackReport | LinkCommand;
      if (message === 'cut') this.#link?.blackhole();
      else if (message === 'heal') await this.#link?.heal();
      else return message;
      this.#child.send('done');
    }
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
