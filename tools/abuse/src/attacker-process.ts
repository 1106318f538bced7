/** The process of the attackers, as its parent sees it. */
import { fileURLToPath } from 'node:url';
import { setCpus } from '@fanfare/kit/cpus';
import { Worker } from '@fanfare/kit/worker';
import type { Attack } from './attack.js';
import type { Addresses, AttackReport, LinkCommand } from './attackers.js';
import { addressesOf, type Target } from './target.js';

export type AttackerCommands = {
  /** Answers once the process has started. */
  start: [null, null];
  attack: [{ readonly name: string; readonly target: Addresses; readonly seconds: number }, AttackReport];
  /** The link has the state that the process requested in its notice. */
  linked: [null, null];
};

const main = fileURLToPath(new URL('../dist/attacker-main.js', import.meta.url));

export class AttackerProcess extends Worker<AttackerCommands, LinkCommand> {
  /** `cpu`: the CPU that it runs on; null: any. */
  constructor(
    private readonly attackToMake: Attack,
    private readonly target: Target,
    private readonly seconds: number,
    cpu: number | null,
  ) {
    super(main, 'The process of the attackers');
    if (cpu !== null) setCpus(this.pid, [cpu]);
    this.onNotice = async (command) => {
      if (command === 'cut') target.link?.blackhole();
      else await target.link?.heal();
      await this.ask('linked', null);
    };
  }

  /** Resolves with what the attackers have seen. */
  attack(): Promise<AttackReport> {
    const { attackToMake, target, seconds } = this;
    return this.ask('attack', { name: attackToMake.name, target: addressesOf(target), seconds });
  }
}
