/** `npm run loadtest`. */
import { access, constants, stat, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { parseCommandLine, type Request, UsageError } from './command-line.js';
import { type LevelsOptions, measureLevels } from './levels/levels.js';
import { reportLevels } from './levels/levels-report.js';
import { type ResultFile, resultVersion } from './load/result.js';
import { readResultFile } from './load/result-file.js';
import { carryOutRuns } from './load-command.js';
import { describeCommand, type LoadRequest, type ReportRequest } from './load-command-line.js';
import { loadTable } from './load-table.js';
import { describeMachine } from './machine.js';
import { ProgressLine } from './progress-line.js';
import { searchRates } from './rate-search.js';
import { reportPage } from './report/report-page.js';

async function carryOut(request: Request): Promise<void> {
  if (request.name === 'help') {
    process.stdout.write(request.text);
    return;
  }
  if (request.name === 'report') {
    await carryOutReport(request);
    return;
  }
  if (process.platform !== 'linux') throw new Error('The load test reads /proc, so it runs on Linux only.');
  if (request.name === 'load') {
    await carryOutLoad(request);
    return;
  }
  await carryOutLevels(request.options, request.jsonFile);
}

async function carryOutLoad({ runs, settings, maxP99Ms, jsonFile, htmlFile }: LoadRequest): Promise<void> {
  // Not after an hour of load.
  for (const file of [jsonFile, htmlFile]) if (file !== null && file !== '-') await checkFolder(file);
  const startedAt = new Date().toISOString();
  const progress = new ProgressLine(process.stderr);
  const { results, searches } =
    maxP99Ms === null
      ? { results: await carryOutRuns(runs, settings, progress), searches: [] }
      : await searchRates(runs, maxP99Ms, settings, progress);
  progress.end();
  process.stdout.write(`${loadTable(results)}\n`);
  for (const { says } of searches) process.stdout.write(`\n${says}\n`);
  const command = describeCommand(process.argv.slice(2));
  const machine = describeMachine();
  const file: ResultFile = { version: resultVersion, startedAt, machine, command, results, searches };
  const json = `${JSON.stringify(file, null, 2)}\n`;
  if (jsonFile === '-') process.stdout.write(json);
  else if (jsonFile !== null) await writeFile(jsonFile, json);
  if (htmlFile !== null) await writeFile(htmlFile, await reportPage([{ ...file, name: '' }]));
  // A search ends with runs that do not hold.
  const isGood =
    maxP99Ms === null
      ? results.every(({ complaints }) => complaints.length === 0)
      : searches.every(({ highestPerSecond }) => highestPerSecond !== null);
  if (!isGood) process.exitCode = 1;
}

async function carryOutReport({ files, htmlFile }: ReportRequest): Promise<void> {
  await checkFolder(htmlFile);
  const read = await Promise.all(
    files.map(async (name) => ({ ...(await readResultFile(name)), name: basename(name) })),
  );
  await writeFile(htmlFile, await reportPage(read));
}

async function checkFolder(file: string): Promise<void> {
  const isFolder = await stat(file).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (isFolder) throw new UsageError(`${file} is a folder: say which file is to be written.`);
  const folder = dirname(file);
  await access(folder, constants.W_OK).catch(() => {
    throw new UsageError(`${file} cannot be written: there is no folder ${folder}, or nobody may write to it.`);
  });
}

async function carryOutLevels(options: LevelsOptions, jsonFile: string | null): Promise<void> {
  const samples = await measureLevels(options, (line) => process.stderr.write(`${line}\n`));
  process.stdout.write(`${reportLevels(samples, options)}\n`);
  if (jsonFile !== null) {
    const report = { machine: describeMachine(), takenAt: new Date().toISOString(), options, samples };
    await writeFile(jsonFile, `${JSON.stringify(report, null, 2)}\n`);
  }
  // What was lost or doubled says nothing.
  if (samples.some(({ complaint }) => complaint !== null)) process.exitCode = 1;
}

try {
  await carryOut(parseCommandLine(process.argv.slice(2)));
} catch (error) {
  const isUsage = error instanceof UsageError;
  process.stderr.write(`${(error as Error).message}${isUsage ? ' See --help.' : ''}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
