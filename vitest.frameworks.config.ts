import { defineConfig } from 'vitest/config';
import { common, test } from './vitest.config.js';

/** `npm run test:frameworks`: React apps with Vite and Next, installed from the registry. Some minutes. */
export default defineConfig({
  ...common,
  test: {
    ...test,
    include: ['react/test/frameworks/*.run.ts'],
    expect: { poll: { timeout: 60_000, interval: 100 } },
    testTimeout: 600_000,
    hookTimeout: 600_000,
    maxWorkers: 1,
  },
});
