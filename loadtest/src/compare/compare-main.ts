/** `npm run compare`, and `npm run guard`. */

import { describeMachine } from '@fanfare/kit/machine';
import { runCommand } from '@fanfare/kit/options';
import { checkOutput, writeMeasured } from '@fanfare/kit/output-file';
import { exitWhenStopped } from '@fanfare/kit/stop-signal';
import { ProgressLine } from '../report/progress-line.js';
import { compare } from './compare.js';
import { parseCompare } from './compare-command-line.js';
import { reportComparison } from './compare-report.js';
import { judge, measureGuard, readBaseline, writeBaseline } from './guard.js';

async function main(args: readonly string[]): Promise<void> {
  const request = parseCompare(args);
  void exitWhenStopped();
  const show = new ProgressLine(process.stderr);
  if (request.name === 'guard') {
    const measured = await measureGuard(request.cases, request.rounds, show);
    show.end();
    if (request.isRecording) {
      await writeBaseline(measured);
      process.stdout.write(
        `Recorded ${measured.length} figures. Figures without a valid round keep their previous value.\n`,
      );
      return;
    }
    const { table, isGood } = judge(measured, await readBaseline(request.cases));
    process.stdout.write(`${table}\n`);
    if (!isGood) process.exitCode = 1;
    return;
  }
  if (request.jsonFile !== null) await checkOutput(request.jsonFile);
  const startedAt = new Date().toISOString();
  const compared = await compare(request.options, show);
  show.end();
  const command = `npm run compare${args.length === 0 ? '' : ` -- ${args.join(' ')}`}`;
  process.stdout.write(`${reportComparison(compared, command, request.options.rounds)}\n`);
  if (request.jsonFile !== null) {
    const file = { startedAt, machine: describeMachine(), command, ...compared };
    await writeMeasured(request.jsonFile, `${JSON.stringify(file)}\n`);
  }
}

await runCommand(main);
