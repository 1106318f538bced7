/** The load-test harness and the checker: measure, break, judge and report without the command line. */
export { type FanoutOptions, type FanoutSamples, measureFanout } from './fanout.js';
export { reportFanout } from './fanout-report.js';
export { faults } from './verify/faults/index.js';
export { runTrial, type TrialOptions, type TrialResult } from './verify/trial.js';
export { reportVerdicts } from './verify/verdict-report.js';
