import { defineConfig } from 'vitest/config';

// Tests read the TypeScript sources of the workspaces (export condition "source"); only the processes that tests start
// run what `npm run build` wrote.
const conditions = ['source'];

/** Those that measure: beside others their figures say nothing, which they notice. */
const measuring = ['abuse', 'compare', 'levels', 'load', 'peers', 'scenarios'].map(
  (name) => `loadtest/test/${name}.test.ts`,
);

export const common = {
  ssr: { resolve: { conditions, externalConditions: conditions } },
  resolve: { conditions },
};

const test = {
  // uWebSockets.js is a native addon bound to one event loop: a process for each test file, no threads.
  pool: 'forks',
  testTimeout: 20_000,
  hookTimeout: 30_000,
} as const;

export default defineConfig({
  test: {
    projects: [
      {
        ...common,
        test: {
          ...test,
          name: 'tests',
          include: ['*/src/**/*.test.ts', '*/test/**/*.test.ts', 'test/**/*.test.ts'],
          exclude: ['**/node_modules/**', ...measuring],
          // Most of their time is waiting: for Redis, for a drain, for a fault to be noticed.
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
