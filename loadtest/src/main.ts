/** `npm run loadtest`. */
import { runLoadtest } from './command.js';

await runLoadtest(process.argv.slice(2));
