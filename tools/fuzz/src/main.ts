/** `npm run fuzz`. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { runCommand, UsageError } from '@fanfare/kit/options';
import { parseCommandLine, type Request } from './command-line.js';
import { readCorpus, writeCorpus } from './corpus.js';
import { Coverage } from './coverage.js';
import { Fuzzer, stretched } from './fuzzer.js';
import { runOnce } from './limits.js';
import type { Target } from './target.js';
import { startWatchdog } from './watchdog.js';

const coverage = new Coverage();
// Before the code that it counts is loaded.
coverage.start();
const { targets } = await import('./targets/index.js');

const say = (text: string): void => void process.stdout.write(`${text}\n`);

async function carryOut(request: Request): Promise<void> {
  if (request.name === 'replay') return replay(request.target, request.file);
  for (const name of request.targets) await fuzz(name, targets[name] as Target, request);
}

async function replay(name: string, file: string): Promise<void> {
  let input: Uint8Array;
  try {
    input = Uint8Array.from(readFileSync(file));
  } catch (error) {
    throw new UsageError(`Cannot read the file of --replay, ${file}: ${(error as Error).message}.`);
  }
  coverage.watch((targets[name] as Target).files);
  coverage.take(false);
  try {
    await runOnce(targets[name] as Target, input);
    say(`${name}: all holds; ${coverage.take().steps} steps for ${input.length} bytes.`);
  } catch (error) {
    say(`${name}: ${(error as Error).stack ?? String(error)}`);
    process.exitCode = 1;
  }
}

async function fuzz(name: string, target: Target, request: Request & { name: 'fuzz' }): Promise<void> {
  const slow = `results/fuzz/${name}-endless`;
  const watchdog = startWatchdog(target.maxBytes, slow, `${name}: a run does not end.\n${replayCommand(name, slow)}`);
  coverage.watch(target.files);
  let findings = 0;
  const fuzzer = new Fuzzer({
    target,
    seed: request.seed,
    coverage,
    onRun: (input) => watchdog.onRun(input),
    onFound: ({ input, error }) => {
      findings++;
      process.exitCode = 1;
      const file = `results/fuzz/${name}-${createHash('sha256').update(input).digest('hex').slice(0, 12)}`;
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, input);
      say(`${name}: ${error.name === 'Finding' ? error.message : error.stack}\n${replayCommand(name, file)}`);
    },
  });
  const startedAtMs = performance.now();
  const seconds = (): number => (performance.now() - startedAtMs) / 1_000;
  await fuzzer.begin([...target.seeds, ...readCorpus(name), ...stretched(target)]);
  const begunWith = fuzzer.blocks;
  while (seconds() < request.seconds) await fuzzer.step();
  const perSecond = Math.round(fuzzer.runs / seconds());
  const lines = coverage.lines();
  const [reached, all] = [total(lines.map((file) => file.reached)), total(lines.map((file) => file.all))];
  say(
    `${name}: ${fuzzer.runs} runs, ${perSecond} a second, seed ${request.seed}; ${fuzzer.blocks} blocks of code (${begunWith} by the corpus), ` +
      `${reached} of ${all} lines (${Math.round((100 * reached) / all)} %); ${findings} findings.`,
  );
  if (request.isDetailed) {
    for (const { file, missed, ...of } of lines) say(`  ${file}: ${of.reached} of ${of.all}; not: ${missed.join(' ')}`);
  }
  if (request.isKept) {
    const kept = await fuzzer.minimize();
    writeCorpus(name, kept);
    say(`${name}: ${kept.length} inputs kept, ${total(kept.map(({ length }) => length))} bytes.`);
  }
  await watchdog.stop();
}

function replayCommand(name: string, file: string): string {
  return `  again: npm run fuzz -- --target ${name} --replay ${file}`;
}

function total(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

await runCommand(async (args) => carryOut(parseCommandLine(args, targets)));
