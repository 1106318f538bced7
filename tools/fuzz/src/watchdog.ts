/**
 * Watches from its own thread, because an input that causes an endless loop blocks this one. It writes that input to a
 * file and ends the process.
 */
import { Worker } from 'node:worker_threads';

/**
 * How long one run may take, in seconds. This limit is not a measure of speed: every run that ends at all is much
 * faster.
 */
const maxSeconds = 20;

interface Watchdog {
  /** Called before each run. */
  onRun(input: Uint8Array): void;
  stop(): Promise<void>;
}

export function startWatchdog(maxBytes: number, file: string, sentence: string): Watchdog {
  const counts = new Int32Array(new SharedArrayBuffer(8));
  const copy = new Uint8Array(new SharedArrayBuffer(maxBytes));
  const worker = new Worker(program, { eval: true, workerData: { counts, copy, file, sentence, maxSeconds } });
  worker.unref();
  return {
    onRun(input) {
      copy.set(input.subarray(0, maxBytes));
      counts[1] = input.length;
      counts[0] = (counts[0] as number) + 1;
    },
    async stop() {
      await worker.terminate();
    },
  };
}

const program = `
const { workerData: { counts, copy, file, sentence, maxSeconds } } = require('node:worker_threads');
const { mkdirSync, writeFileSync, writeSync } = require('node:fs');
let last = 0, silent = 0;
setInterval(() => {
  silent = counts[0] === last ? silent + 1 : 0;
  last = counts[0];
  if (silent < maxSeconds || last === 0) return;
  mkdirSync(require('node:path').dirname(file), { recursive: true });
  writeFileSync(file, copy.slice(0, counts[1]));
  writeSync(2, sentence + '\\n');
  process.kill(process.pid, 'SIGKILL');
}, 1_000);
`;
