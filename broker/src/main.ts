#!/usr/bin/env node
/** The process: configuration in, signals out. */
import { parseArgs } from 'node:util';
import { startBroker } from './broker.js';
import { ConfigError, loadConfig } from './config.js';
import { createLog } from './log.js';
import { helpText } from './pages.js';

function readFlags() {
  try {
    return parseArgs({ options: { help: { type: 'boolean', short: 'h' } } });
  } catch (error) {
    throw new Error(`${(error as Error).message}. See --help.`);
  }
}

async function main(): Promise<void> {
  const { values } = readFlags();
  if (values.help) {
    process.stdout.write(helpText());
    return;
  }
  const config = loadConfig(process.env);
  const log = createLog(config);
  // A bug that nobody caught: what state is left is unknown, so the node ends, and the log says why.
  process.on('uncaughtException', (error) => {
    log.fatal({ event: 'bug', err: error }, 'The node ends because of an error that nobody caught: this is a bug.');
    process.exit(1);
  });
  const broker = await startBroker(config, log);
  let isStopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (isStopping) process.exit(1); // asked twice: at once
      isStopping = true;
      // At a terminal nobody wants to wait for the clients to find another node.
      broker.drain({ atOnce: signal === 'SIGINT' }).then(
        () => process.exit(0),
        (error: unknown) => {
          log.error({ event: 'bug', err: error }, 'Draining failed.');
          process.exit(1);
        },
      );
    });
  }
}

main().catch((error: unknown) => {
  // A configuration that is wrong, a port that is taken, a flag that is unknown: a sentence says more than a stack.
  const sentences = error instanceof ConfigError ? error.sentences : [(error as Error).message];
  for (const sentence of sentences) process.stderr.write(`fanfare: ${sentence}\n`);
  process.exitCode = 2;
});
