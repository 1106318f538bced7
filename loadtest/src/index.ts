/** The load-test harness: measures and reports without the command line. */
export { type FanoutOptions, type FanoutSamples, measureFanout } from './fanout.js';
export { reportFanout } from './fanout-report.js';
