/** `npm run loadtest`. */
import { writeFile } from 'node:fs/promises';
import { help, parseCommandLine, type Request, UsageError } from './command-line.js';
import { measureFanout } from './fanout.js';
import { reportFanout } from './fanout-report.js';
import { describeMachine } from './machine.js';

async function carryOut(request: Request): Promise<void> {
  if (request.name === 'help') {
    process.stdout.write(help);
    return;
  }
  if (process.platform !== 'linux') throw new Error('The load test reads /proc, so it runs on Linux only.');
  const { jsonFile, options } = request;
  const samples = await measureFanout(options, (line) => process.stderr.write(`${line}\n`));
  process.stdout.write(`${reportFanout(samples, options)}\n`);
  if (jsonFile !== null) {
    const report = { machine: describeMachine(), takenAt: new Date().toISOString(), options, ...samples };
    await writeFile(jsonFile, `${JSON.stringify(report, null, 2)}\n`);
  }
  if (samples.traffic.some(({ isValid }) => !isValid)) process.exitCode = 1;
}

try {
  await carryOut(parseCommandLine(process.argv.slice(2)));
} catch (error) {
  const isUsage = error instanceof UsageError;
  process.stderr.write(`${(error as Error).message}${isUsage ? ' See --help.' : ''}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
