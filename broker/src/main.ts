#!/usr/bin/env node
/** The process: configuration in, signals out. One node, or the supervisor of several. */
import { parseArgs } from 'node:util';
import { loadConfig, sentencesOf } from './config.js';
import { createLog, endOnBug, type Log } from './log.js';
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
  endOnBug(log);
  // Each loads what it needs: a supervisor has no use for a node's parts, which take 15 MB.
  if (config.workers === 1) {
    const { startBroker } = await import('./broker.js');
    const broker = await startBroker(config, log);
    drainOnSignal(log, (options) => broker.drain(options).then(() => 0));
    return;
  }
  const { Supervisor } = await import('./workers/supervisor.js');
  const supervisor = await Supervisor.start(config, log);
  drainOnSignal(log, (options) => supervisor.drain(options));
  await supervisor.listening;
}

/** `drain` resolves with the exit code. */
function drainOnSignal(log: Log, drain: (options: { readonly atOnce: boolean }) => Promise<number>): void {
  let isStopping = false;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      if (isStopping) process.exit(1); // asked twice: at once
      isStopping = true;
      // At a terminal nobody wants to wait for the clients to find another node.
      drain({ atOnce: signal === 'SIGINT' }).then(
        (code) => process.exit(code),
        (error: unknown) => {
          log.error({ event: 'bug', err: error }, 'Draining failed.');
          process.exit(1);
        },
      );
    });
  }
}

main().catch((error: unknown) => {
  for (const sentence of sentencesOf(error)) process.stderr.write(`fanfare: ${sentence}\n`);
  process.exitCode = 2;
});
