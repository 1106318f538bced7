/** The process of a worker: a node that shares its port with others and follows its supervisor. */
import { createLog, endOnBug, type Log } from '../../observe/log.js';
import { loadConfig, sentencesOf } from '../../settings/config.js';
import { type Broker, startBroker } from '../broker.js';
import type { FromWorker, ToWorker } from './messages.js';

async function main(): Promise<void> {
  // For systems without `setpriv` (worker-process.ts): an orphaned worker would keep the port.
  process.on('disconnect', () => process.exit(1));
  if (!process.connected)
    throw new Error('This program is not for direct use. Run `fanfare` with FANFARE_WORKERS instead.');
  const config = loadConfig(process.env);
  const log = createLog(config);
  endOnBug(log);
  const starting = startBroker(config, log, Number(process.argv[2]));
  followSupervisor(starting, log);
  await starting;
  send({ type: 'listening' });
}

/** Messages that arrive while the node starts are handled when it has started. */
function followSupervisor(starting: Promise<Broker>, log: Log): void {
  let isStopping = false;
  const stop = (atOnce: boolean): void => {
    if (isStopping) return;
    isStopping = true;
    starting
      .then((broker) => broker.drain({ atOnce }))
      .then(
        () => process.exit(0),
        (error: unknown) => {
          log.error({ event: 'bug', err: error }, 'Draining failed.');
          process.exit(1);
        },
      );
  };
  // Terminals and some service managers signal all processes at once. So a signal in addition to the message of the
  // supervisor is not a second request. A signal to this worker alone drains it, and the supervisor starts a new one.
  process.on('SIGTERM', () => stop(false));
  process.on('SIGHUP', () => stop(false));
  process.on('SIGINT', () => stop(true));
  process.on('message', (message: ToWorker) => {
    if (message.type === 'stop') return stop(message.atOnce);
    const { id, what } = message;
    void starting.then(async (broker) => {
      const answer = what === 'readiness' ? broker.readiness() : await broker.metrics();
      send({ type: 'answer', id, answer });
    });
  });
}

function send(message: FromWorker): void {
  process.send?.(message);
}

main().catch((error: unknown) => {
  const sentences = sentencesOf(error);
  if (!process.connected) {
    process.stderr.write(`fanfare: ${sentences.join(' ')}\n`);
    process.exit(2);
  }
  process.send?.({ type: 'refused', sentences } satisfies FromWorker, () => process.exit(2));
});
