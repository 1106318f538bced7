/** `npm run loadtest`. */
import { writeFile } from 'node:fs/promises';
import { help, parseCommandLine, type Request, UsageError } from './command-line.js';
import { type FanoutOptions, measureFanout } from './fanout.js';
import { reportFanout } from './fanout-report.js';
import { type LevelsOptions, measureLevels } from './levels.js';
import { reportLevels } from './levels-report.js';
import { describeMachine } from './machine.js';

async function carryOut(request: Request): Promise<void> {
  if (request.name === 'help') {
    process.stdout.write(help);
    return;
  }
  if (process.platform !== 'linux') throw new Error('The load test reads /proc, so it runs on Linux only.');
  const log = (line: string): boolean => process.stderr.write(`${line}\n`);
  const { options, jsonFile } = request;
  const { page, samples, isValid } = await (request.name === 'fanout'
    ? carryOutFanout(request.options, log)
    : carryOutLevels(request.options, log));
  process.stdout.write(`${page}\n`);
  if (jsonFile !== null) {
    const report = { machine: describeMachine(), takenAt: new Date().toISOString(), options, ...samples };
    await writeFile(jsonFile, `${JSON.stringify(report, null, 2)}\n`);
  }
  if (!isValid) process.exitCode = 1;
}

interface Outcome {
  readonly page: string;
  readonly samples: object;
  /** Whether nothing was lost or doubled: else the figures say nothing. */
  readonly isValid: boolean;
}

async function carryOutFanout(options: FanoutOptions, log: (line: string) => void): Promise<Outcome> {
  const samples = await measureFanout(options, log);
  return { page: reportFanout(samples, options), samples, isValid: samples.traffic.every(({ isValid }) => isValid) };
}

async function carryOutLevels(options: LevelsOptions, log: (line: string) => void): Promise<Outcome> {
  const samples = await measureLevels(options, log);
  return {
    page: reportLevels(samples, options),
    samples: { samples },
    isValid: samples.every(({ complaint }) => complaint === null),
  };
}

try {
  await carryOut(parseCommandLine(process.argv.slice(2)));
} catch (error) {
  const isUsage = error instanceof UsageError;
  process.stderr.write(`${(error as Error).message}${isUsage ? ' See --help.' : ''}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
