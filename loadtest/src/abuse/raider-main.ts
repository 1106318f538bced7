/** The attackers' process: carries out one attack when its parent says so, tells what was seen, and ends. */
import { readInteger, readNumber } from '../flags.js';
import { attacks } from './attacks/index.js';
import { Raid } from './raid.js';

const [name = '', port = '', seconds = ''] = process.argv.slice(2);
const chosen = attacks.find((attack) => attack.name === name);
if (chosen === undefined) throw new Error(`There is no attack ${name}.`);

process.once('message', async () => {
  const raid = new Raid(readInteger('port', port, 1, 65_535), readNumber('seconds', seconds, 0, 3_600), chosen.answers);
  await chosen.run(raid);
  process.send?.(await raid.report(), () => process.exit());
});
// The parent is gone: so is the reason to be here.
process.once('disconnect', () => process.exit(1));
process.send?.('ready');
