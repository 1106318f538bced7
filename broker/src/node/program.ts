/** The process: configuration in, signals out. One node, or the supervisor of several. */
import { parseArgs } from 'node:util';
import { createLog, endOnBug, type Log } from '../observe/log.js';
import { isLoopback, loadConfig, sentencesOf } from '../settings/config.js';
import { systemLimits } from '../settings/system-limits.js';

function readFlags(args: readonly string[]) {
  try {
    const options = { help: { type: 'boolean', short: 'h' } } as const;
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch {
    throw new Error('Unknown option. The only option is --help.');
  }
}

/** Never rejects. */
export async function run(args: readonly string[]): Promise<void> {
  try {
    await carryOut(args);
  } catch (error) {
    for (const sentence of sentencesOf(error)) process.stderr.write(`fanfare: ${sentence}\n`);
    process.exitCode = 2;
  }
}

async function carryOut(args: readonly string[]): Promise<void> {
  const { values, positionals } = readFlags(args);
  if (values.help) {
    const { helpText } = await import('../settings/help-text.js');
    process.stdout.write(helpText());
    return;
  }
  const [command, ...names] = positionals;
  if (command !== undefined) {
    if (command !== 'api-key') throw new Error('Unknown command. The only command is api-key. See --help.');
    process.stdout.write(await apiKeyText(names));
    return;
  }
  const config = loadConfig(process.env);
  const log = createLog(config);
  endOnBug(log);
  // Not on loopback: a development machine does not need them.
  const limits = isLoopback(config.host) ? [] : systemLimits(config);
  for (const { limit, value, wanted, sentence } of limits) {
    log.warn({ event: 'systemLimit', limit, value, wanted }, sentence);
  }
  // Imported when needed: a supervisor does not need the parts of a node, which take 15 MB.
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

async function apiKeyText(names: readonly string[]): Promise<string> {
  const { createApiKey, isApiKeyId } = await import('../auth/api-keys.js');
  const [id = '', ...others] = names;
  if (!isApiKeyId(id) || others.length > 0) {
    throw new Error(
      'api-key requires one name, of 1 to 64 characters of A-Z a-z 0-9 and -. Example: fanfare api-key orders',
    );
  }
  const { key, entry } = createApiKey(id);
  return `API key for the service. It is shown only once:\n\n  ${key}\n\nEntry for "apiKeys" in FANFARE_AUTH. Add the permissions of the key:\n\n  ${JSON.stringify(entry)}\n`;
}

/**
 * Signals within this time after the first one are the same request, in milliseconds. A supervisor that signals the
 * whole process group reaches a node below `npm start` twice, and some supervisors send SIGHUP after SIGTERM.
 */
const sameRequestMs = 2_000;

/** `drain` resolves with the exit code. */
function drainOnSignal(log: Log, drain: (options: { readonly atOnce: boolean }) => Promise<number>): void {
  let askedAt: number | null = null;
  // Node.js resets an ignored SIGHUP (nohup). Without a handler the node would exit without draining when its terminal
  // closes.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (askedAt !== null) {
        if (performance.now() - askedAt > sameRequestMs) process.exit(1);
        return;
      }
      askedAt = performance.now();
      // Ctrl+C at a terminal: do not wait for clients to move.
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
