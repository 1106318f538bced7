/** `npm run verify`. */

import { appendFile } from 'node:fs/promises';
import { describeMachine } from '@fanfare/kit/machine';
import { runCommand } from '@fanfare/kit/options';
import { checkOutput, writeMeasured } from '@fanfare/kit/output-file';
import { exitWhenStopped, untilStopped } from '@fanfare/kit/stop-signal';
import { parseVerifyCommandLine, type VerifyExistingRequest, type VerifyRequest } from './command-line.js';
import { checkExistingCluster } from './existing-cluster/existing-cluster.js';
import { reportExistingCluster } from './existing-cluster/existing-cluster-report.js';
import { type FaultRunResult, runFault } from './fault-run/fault-run.js';
import { recordOf } from './fault-run/run-record.js';
import { reportVerdicts } from './fault-run/verdict-report.js';

async function carryOut(request: VerifyRequest): Promise<void> {
  if (request.jsonFile !== null) await checkOutput(request.jsonFile);
  if (request.name === 'verifyExisting') {
    await verifyExisting(request);
    return;
  }
  const { faults, options, jsonFile, recordFile } = request;
  if (recordFile !== null) await checkOutput(recordFile);
  void exitWhenStopped();
  const results: FaultRunResult[] = [];
  /** Faults without a verdict, and why. */
  const unjudged: { readonly fault: string; readonly reason: string }[] = [];
  for (const fault of faults) {
    const beganMs = performance.now();
    const say = (line: string): void => {
      process.stderr.write(`${fault.name}, ${((performance.now() - beganMs) / 1_000).toFixed(1)} s: ${line}\n`);
    };
    try {
      const result = await runFault(fault, options, say);
      say(result.isGood ? 'good' : `BAD: ${result.reasons.join('; ')}`);
      results.push(result);
      // At once: the next fault may take minutes.
      if (recordFile !== null) await appendFile(recordFile, `${JSON.stringify(recordOf(result, options))}\n`);
    } catch (error) {
      say(`NOT JUDGED: ${(error as Error).message}`);
      unjudged.push({ fault: fault.name, reason: (error as Error).message });
    }
  }
  if (results.length > 0) process.stdout.write(`${reportVerdicts(results, options)}\n`);
  for (const { fault, reason } of unjudged) process.stdout.write(`\n${fault}: NOT JUDGED: ${reason}\n`);
  if (jsonFile !== null) {
    const report = { machine: describeMachine(), takenAt: new Date().toISOString(), options, results, unjudged };
    await writeMeasured(jsonFile, `${JSON.stringify(report, null, 2)}\n`);
  }
  if (unjudged.length > 0 || results.some(({ isGood }) => !isGood)) process.exitCode = 1;
}

async function verifyExisting({ options, jsonFile }: VerifyExistingRequest): Promise<void> {
  const beganMs = performance.now();
  const say = (line: string): void => {
    process.stderr.write(`${((performance.now() - beganMs) / 1_000).toFixed(1)} s: ${line}\n`);
  };
  const result = await checkExistingCluster(options, untilStopped(), say);
  process.stdout.write(`${reportExistingCluster(result, options)}\n`);
  if (jsonFile !== null) {
    // People share this file.
    const { token: _, ...shown } = options;
    const report = { machine: describeMachine(), takenAt: new Date().toISOString(), options: shown, result };
    await writeMeasured(jsonFile, `${JSON.stringify(report, null, 2)}\n`);
  }
  process.exitCode = result.isGood ? 0 : 1;
}

await runCommand(async (args) => carryOut(parseVerifyCommandLine(args)));
