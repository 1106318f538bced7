#!/usr/bin/env node
/** The command `fanfare`. A node is a process of its own kind: nothing else may be loaded before it (node.ts). */
import { runNode } from './node.js';

const [, , name, ...args] = process.argv;
if (name === 'node') await runNode(args);
else if (name === 'api-key') await runNode([name, ...args]);
else {
  const { run } = await import('./program.js');
  await run(process.argv.slice(2));
}
