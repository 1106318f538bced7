#!/usr/bin/env node
/** Starts a node: what `npm start` and the image run. The command `fanfare node` of @fanfare/cli does the same. */
import { runNode } from './command.js';

await runNode(process.argv.slice(2));
