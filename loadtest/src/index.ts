/** The load-test harness and the checker: measure, break, judge and report without the command line. */
export type { LoadResult } from './load/result.js';
export { type LoadOptions, runLoad } from './load/run-load.js';
export { defaultWorkload, type Workload } from './load/workload.js';
export { type RolloutOptions, type RolloutResult, runRollout } from './rollout/rollout.js';
export { reportRollout } from './rollout/rollout-report.js';
export {
  checkExistingCluster,
  type ExistingClusterOptions,
  type ExistingClusterResult,
} from './verify/existing-cluster.js';
export { reportExistingCluster } from './verify/existing-cluster-report.js';
export { hasCompiler } from './verify/fake-clock.js';
export type { Fault } from './verify/fault.js';
export { faults } from './verify/faults/index.js';
export { runTrial, type TrialOptions, type TrialResult } from './verify/trial.js';
export { reportVerdicts } from './verify/verdict-report.js';
