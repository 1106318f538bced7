#!/usr/bin/env node
/**
 * The command `fanfare`. Commands that belong to other packages get their arguments as they are. A node must come
 * first: nothing else may be loaded before it (broker/src/command.ts).
 */
import { runNode } from './node.js';

const [, , name, ...args] = process.argv;
switch (name) {
  case 'node':
    await runNode(args);
    break;
  case 'api-key':
    await runNode([name, ...args]);
    break;
  case 'bench':
    await (await import('./bench.js')).runBench(args);
    break;
  default:
    await (await import('./program.js')).run(process.argv.slice(2));
}
