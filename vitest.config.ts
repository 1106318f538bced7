import { defineConfig } from 'vitest/config';

// Tests read the TypeScript sources of the workspaces (export condition "source"); only the processes that tests start
// run what `npm run build` wrote.
const conditions = ['source'];

export default defineConfig({
  ssr: { resolve: { conditions, externalConditions: conditions } },
  resolve: { conditions },
  test: {
    include: ['*/src/**/*.test.ts', '*/test/**/*.test.ts', 'test/**/*.test.ts'],
    // uWebSockets.js is a native addon bound to one event loop: a process for each test file, no threads.
    pool: 'forks',
    testTimeout: 20_000,
    hookTimeout: 30_000,
  },
});
