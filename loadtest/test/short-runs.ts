/** Scenarios for tests: one second each. */
import type { LoadSettings } from '../src/runs/load-command.js';
import { type Run, runsOf } from '../src/scenarios/scenario.js';
import { scenarios } from '../src/scenarios/scenarios.js';

export const quiet = { line: () => {}, moment: () => {} };

export const shortSettings: LoadSettings = {
  servers: ['fanfare'],
  url: null,
  token: null,
  encoding: 'msgpack',
  protocol: 'websocket',
  isTyped: false,
  generators: 2,
  rounds: 1,
  garbage: false,
};

export function shortRuns(name: string): readonly Run[] {
  const scenario = scenarios[name];
  if (scenario === undefined) throw new Error(`There is no scenario ${name}.`);
  const runs = runsOf(name, scenario, scenario.short);
  return runs.map((run) => ({ ...run, workload: { ...run.workload, warmUpSeconds: 0.2 } }));
}
