/** The process of the attackers. */
import { serve } from '@fanfare/kit/worker';
import type { AttackerCommands } from './attacker-process.js';
import { Attackers, type LinkCommand } from './attackers.js';
import { attacks } from './attacks/index.js';

let onLinked = (): void => {};

const notify = serve<AttackerCommands, LinkCommand>({
  start: () => null,
  attack: async ({ name, target, seconds }) => {
    const chosen = attacks.find((attack) => attack.name === name);
    if (chosen === undefined) throw new Error(`There is no attack ${name}.`);
    const attackers = new Attackers(target, seconds, chosen.answers, link);
    await chosen.run(attackers);
    return await attackers.report();
  },
  linked: () => {
    onLinked();
    return null;
  },
});

/** Resolves once the parent has done it. */
function link(command: LinkCommand): Promise<void> {
  notify(command);
  return new Promise((resolve) => {
    onLinked = resolve;
  });
}
