/** `npm run abuse`. */
import { reserveCpu } from '@fanfare/kit/cpus';
import { describeMachine } from '@fanfare/kit/machine';
import { runCommand } from '@fanfare/kit/options';
import { checkOutput, writeMeasured } from '@fanfare/kit/output-file';
import { exitWhenStopped } from '@fanfare/kit/stop-signal';
import { runAttack } from './attack-run.js';
import { type AbuseRequest, parseAbuseCommandLine } from './command-line.js';
import { type AttackRun, documentAttackRuns, reportAttackRuns, verdictOf } from './report.js';

async function carryOut(request: AbuseRequest): Promise<void> {
  const { attacks, nodes, options, jsonFile, isForDocs } = request;
  void exitWhenStopped();
  if (jsonFile !== null) await checkOutput(jsonFile);
  const attackerCpu = reserveCpu();
  const attackRuns: AttackRun[] = [];
  /** Attacks without a verdict, and why. */
  const unjudged: { readonly attack: string; readonly nodes: number; readonly reason: string }[] = [];
  for (const attack of attacks) {
    for (const count of new Set(nodes.map((size) => Math.max(size, attack.leastNodes)))) {
      const what = `${attack.name}, ${count} node${count === 1 ? '' : 's'}`;
      try {
        const result = await runAttack(attack, { ...options, nodes: count, attackerCpu });
        attackRuns.push([attack, result]);
        process.stderr.write(`${what}: ${verdictOf(result)}\n`);
      } catch (error) {
        const reason = (error as Error).message;
        unjudged.push({ attack: attack.name, nodes: count, reason });
        process.stderr.write(`${what}: NOT JUDGED: ${reason}\n`);
      }
    }
  }
  if (attackRuns.length > 0)
    process.stdout.write(
      `${(isForDocs ? documentAttackRuns : reportAttackRuns)(attackRuns)}\n\n${cpuLine(attackerCpu)}\n`,
    );
  for (const { attack, nodes, reason } of unjudged)
    process.stdout.write(`\n${attack}, ${nodes} nodes: NOT JUDGED: ${reason}\n`);
  const results = attackRuns.map(([, result]) => result);
  if (jsonFile !== null) {
    const report = {
      machine: describeMachine(),
      takenAt: new Date().toISOString(),
      options,
      attackerCpu,
      results,
      unjudged,
    };
    await writeMeasured(jsonFile, `${JSON.stringify(report, null, 2)}\n`);
  }
  if (unjudged.length > 0 || results.some((result) => verdictOf(result) !== 'good')) process.exitCode = 1;
}

function cpuLine(attackerCpu: number | null): string {
  return attackerCpu === null
    ? 'Attackers, nodes and control clients shared the CPUs: the p99 was not judged.'
    : `The attackers had CPU ${attackerCpu}; nodes, Redis and control clients had the others.`;
}

await runCommand(async (args) => carryOut(parseAbuseCommandLine(args)));
