/** `npm run rollout`. */

import { describeMachine } from '@fanfare/kit/machine';
import { runCommand } from '@fanfare/kit/options';
import { checkOutput, writeMeasured } from '@fanfare/kit/output-file';
import { exitWhenStopped } from '@fanfare/kit/stop-signal';
import { renderOverlay } from '@fanfare/local-cluster';
import { runRollout } from './rollout.js';
import { parseRolloutCommandLine, type RolloutRequest } from './rollout-command-line.js';
import { reportRollout } from './rollout-report.js';

async function carryOut(request: RolloutRequest): Promise<void> {
  const { overlay, options, jsonFile } = request;
  void exitWhenStopped();
  if (jsonFile !== null) await checkOutput(jsonFile);
  const beganMs = performance.now();
  const result = await runRollout(await renderOverlay(overlay), options, (line) => {
    process.stderr.write(`${((performance.now() - beganMs) / 1_000).toFixed(1)} s: ${line}\n`);
  });
  process.stdout.write(`${reportRollout(overlay, result, options)}\n`);
  if (jsonFile !== null) {
    const samples = result.samples.map(({ connections, ...sample }) => ({
      ...sample,
      connections: Object.fromEntries(connections),
    }));
    const report = {
      machine: describeMachine(),
      takenAt: new Date().toISOString(),
      overlay,
      options,
      ...result,
      samples,
    };
    await writeMeasured(jsonFile, `${JSON.stringify(report, null, 2)}\n`);
  }
  if (!result.isGood) process.exitCode = 1;
}

await runCommand(async (args) => carryOut(parseRolloutCommandLine(args)));
