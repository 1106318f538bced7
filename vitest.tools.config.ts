import { defineConfig } from 'vitest/config';
import { common, test } from './vitest.config.js';

/** They measure: other load on the machine would change what they find. */
const measuring = [
  'loadtest/test/compare.test.ts',
  'loadtest/test/garbage.test.ts',
  'loadtest/test/levels.test.ts',
  'loadtest/test/load.test.ts',
  'loadtest/test/peers.test.ts',
  'loadtest/test/scenarios.test.ts',
  'tools/abuse/test/abuse.test.ts',
  'tools/verify/test/rollout.test.ts',
];

/** Some of these files replace modules (`vi.mock`), so each has a process of its own. */
const own = { ...test, isolate: true } as const;

/**
 * `npm run test:tools`: the tests of the load generator, the fault checker, the attacker, the fuzzer and the local
 * cluster.
 */
export default defineConfig({
  test: {
    projects: [
      {
        ...common,
        test: {
          ...own,
          name: 'tools',
          include: ['{loadtest,tools/*}/test/**/*.test.ts'],
          exclude: ['**/node_modules/**', ...measuring],
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      {
        ...common,
        test: { ...own, name: 'loads', include: measuring, maxWorkers: 1, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
