/** The attackers' process: carries out one attack when its parent says so, tells what was seen, and ends. */
import { once } from 'node:events';
import { type Addresses, Attackers, type LinkCommand } from './attackers.js';
import { attacks } from './attacks/index.js';

const [name = '', addresses = '', seconds = ''] = process.argv.slice(2);
const chosen = attacks.find((attack) => attack.name === name);
if (chosen === undefined) throw new Error(`There is no attack ${name}.`);

/** Resolves once the parent has done it. */
async function link(command: LinkCommand): Promise<void> {
  process.send?.(command);
  await once(process, 'message');
}

process.once('message', async () => {
  const target = JSON.parse(addresses) as Addresses;
  const attackers = new Attackers(target, Number(seconds), chosen.answers, link);
  await chosen.run(attackers);
  process.send?.(await attackers.report(), () => process.exit());
});
// The parent is gone: so is the reason to be here.
process.once('disconnect', () => process.exit(1));
process.send?.('ready');
