import { defineConfig } from 'vitest/config';
import { common, test } from './vitest.config.js';

/** Those that measure: next to other load they find what is not there. */
const measuring = ['abuse', 'compare', 'levels', 'load', 'peers', 'rollout', 'scenarios'].map(
  (name) => `loadtest/test/${name}.test.ts`,
);

/** `npm run test:tools`: the tests of the load generator, the fault checker, the attacker, the fuzzer and the local cluster. */
export default defineConfig({
  test: {
    projects: [
      {
        ...common,
        test: {
          ...test,
          name: 'tools',
          include: ['{fuzz,local-cluster,loadtest}/test/**/*.test.ts'],
          // What the fault checker finds is about the product: `npm test`.
          exclude: ['**/node_modules/**', 'loadtest/test/verify-faults.test.ts', ...measuring],
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      {
        ...common,
        test: { ...test, name: 'loads', include: measuring, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
