/** `npm run abuse`. */
import { UsageError } from '../flags.js';
import { describeMachine } from '../machine.js';
import { checkOutput, writeMeasured } from '../output-file.js';
import { exitWhenStopped } from '../stop-signal.js';
import { type AbuseRequest, abuseHelp, abuseList, parseAbuseCommandLine } from './abuse-command-line.js';
import { reportSieges, verdictOf } from './abuse-report.js';
import type { Attack } from './attack.js';
import { besiege, type SiegeResult } from './siege.js';

async function carryOut(request: AbuseRequest): Promise<void> {
  if (request.name !== 'abuse') {
    process.stdout.write(request.name === 'help' ? abuseHelp : abuseList());
    return;
  }
  const { attacks, options, jsonFile } = request;
  void exitWhenStopped();
  if (jsonFile !== null) await checkOutput(jsonFile);
  const sieges: (readonly [Attack, SiegeResult])[] = [];
  /** Attacks without a verdict, and why. */
  const unjudged: { readonly attack: string; readonly reason: string }[] = [];
  for (const attack of attacks) {
    try {
      const result = await besiege(attack, options);
      sieges.push([attack, result]);
      process.stderr.write(`${attack.name}: ${verdictOf(result)}\n`);
    } catch (error) {
      const reason = (error as Error).message;
      unjudged.push({ attack: attack.name, reason });
      process.stderr.write(`${attack.name}: NOT JUDGED: ${reason}\n`);
    }
  }
  if (sieges.length > 0) process.stdout.write(`${reportSieges(sieges)}\n`);
  for (const { attack, reason } of unjudged) process.stdout.write(`\n${attack}: NOT JUDGED: ${reason}\n`);
  const results = sieges.map(([, result]) => result);
  if (jsonFile !== null) {
    const report = { machine: describeMachine(), takenAt: new Date().toISOString(), options, results, unjudged };
    await writeMeasured(jsonFile, `${JSON.stringify(report, null, 2)}\n`);
  }
  if (unjudged.length > 0 || results.some((result) => verdictOf(result) !== 'good')) process.exitCode = 1;
}

try {
  await carryOut(parseAbuseCommandLine(process.argv.slice(2)));
} catch (error) {
  const isUsage = error instanceof UsageError;
  process.stderr.write(`${(error as Error).message}${isUsage ? ' See --help.' : ''}\n`);
  process.exitCode = isUsage ? 2 : 1;
}
