/**
 * The load generator as a command: `npm run loadtest --` in a clone of the repository, and `fanfare bench` of
 * @fanfare/cli.
 */
import { basename } from 'node:path';
import { describeMachine } from '@fanfare/kit/machine';
import { runCommand } from '@fanfare/kit/options';
import { checkOutput, writeMeasured, writeOutput } from '@fanfare/kit/output-file';
import { exitWhenStopped, untilStopped } from '@fanfare/kit/stop-signal';
import { parseCommandLine, type Request } from './command-line/command-line.js';
import { describeCommand, type LoadRequest, ownName, type ReportRequest } from './command-line/load-command-line.js';
import { type LoadResult, type RateSearch, type ResultFile, resultVersion } from './load/result.js';
import { readResultFile } from './load/result-file.js';
import { loadTable } from './report/load-table.js';
import { ProgressLine } from './report/progress-line.js';
import { reportPage } from './report/report-page.js';
import { carryOutRuns } from './runs/load-command.js';
import { searchRates } from './runs/rate-search.js';
import type { LevelsOptions } from './scenarios/levels.js';
import { fromRepository } from './servers/servers.js';

async function carryOut(request: Request, command: string): Promise<void> {
  if (request.name === 'report') {
    await carryOutReport(request);
    return;
  }
  if (process.platform !== 'linux') throw new Error('The load test reads /proc, so it runs on Linux only.');
  if (request.name === 'load') {
    await carryOutLoad(request, command);
    return;
  }
  await carryOutLevels(request.options, request.jsonFile);
}

async function carryOutLoad(request: LoadRequest, command: string): Promise<void> {
  const { runs, settings, maxP99Ms, jsonFile, htmlFile } = request;
  for (const file of [jsonFile, htmlFile]) if (file !== null && file !== '-') await checkOutput(file);
  const startedAt = new Date().toISOString();
  const progress = new ProgressLine(process.stderr);
  const results: LoadResult[] = [];
  const searches: RateSearch[] = [];
  const work =
    maxP99Ms === null
      ? carryOutRuns(runs, settings, progress, results)
      : searchRates(runs, maxP99Ms, settings, progress, results, searches);
  const ended = await Promise.race([untilStopped(), work.catch((error: Error) => error)]);
  progress.end();
  if (typeof ended === 'number') progress.line(`Stopped; ${kept(results)}`);
  else if (ended instanceof Error && results.length > 0) progress.line(`A run has failed; ${kept(results)}`);
  if (results.length > 0) await writeResults(results, searches, startedAt, request, command);
  if (typeof ended === 'number') process.exit(ended);
  if (ended instanceof Error) throw ended;
}

function kept({ length }: readonly LoadResult[]): string {
  if (length === 0) return 'no run had finished, and nothing was written.';
  return `keeping the results of ${length === 1 ? 'the finished run' : `${length} finished runs`}:`;
}

async function writeResults(
  results: readonly LoadResult[],
  searches: readonly RateSearch[],
  startedAt: string,
  { maxP99Ms, jsonFile, htmlFile }: LoadRequest,
  command: string,
): Promise<void> {
  process.stdout.write(`${loadTable(results, process.stdout.columns)}\n`);
  for (const { says } of searches) process.stdout.write(`\n${says}\n`);
  const machine = describeMachine();
  const file: ResultFile = { version: resultVersion, startedAt, machine, command, results, searches };
  const json = `${JSON.stringify(file, null, 2)}\n`;
  if (jsonFile === '-') process.stdout.write(json);
  else if (jsonFile !== null) await writeMeasured(jsonFile, json);
  const isShown = htmlFile === null || (await writeOutput(htmlFile, () => reportPage([{ ...file, name: '' }])));
  // Print the results, because a later command can still make a page from them.
  if (!isShown && jsonFile === null) process.stdout.write(json);
  // A search ends with runs that do not hold.
  const isGood =
    maxP99Ms === null
      ? results.every(({ complaints }) => complaints.length === 0)
      : searches.every(({ highestPerSecond }) => highestPerSecond !== null);
  if (!isGood) process.exitCode = 1;
}

async function carryOutReport({ files, htmlFile }: ReportRequest): Promise<void> {
  await checkOutput(htmlFile);
  const read = await Promise.all(
    files.map(async (name) => ({ ...(await readResultFile(name)), name: basename(name) })),
  );
  await writeOutput(htmlFile, () => reportPage(read));
}

async function carryOutLevels(options: LevelsOptions, jsonFile: string | null): Promise<void> {
  const { measureLevels, reportLevels } = await fromRepository(async () => ({
    ...(await import('./levels/levels.js')),
    ...(await import('./levels/levels-report.js')),
  }));
  if (jsonFile !== null) await checkOutput(jsonFile);
  void exitWhenStopped();
  const samples = await measureLevels(options, (line) => process.stderr.write(`${line}\n`));
  process.stdout.write(`${reportLevels(samples, options)}\n`);
  if (jsonFile !== null) {
    const report = { machine: describeMachine(), takenAt: new Date().toISOString(), options, samples };
    await writeMeasured(jsonFile, `${JSON.stringify(report, null, 2)}\n`);
  }
  // A sample with losses or duplicates is invalid.
  if (samples.some(({ complaint }) => complaint !== null)) process.exitCode = 1;
}

/** Carries out a command line. Prints errors, and sets the exit code. `name`: the command that the user typed. */
export async function runLoadtest(args: readonly string[], name = ownName): Promise<void> {
  await runCommand(async () => carryOut(parseCommandLine(args), describeCommand(args, name)), {
    args,
    shown: (message) => message.replaceAll(ownName, name),
  });
}
