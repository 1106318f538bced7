import { defineConfig } from 'vitest/config';

/** For `npm run test:guide` only. */
export default defineConfig({
  test: {
    include: ['test/guide/app-guide.run.ts'],
    expect: { poll: { timeout: 60_000 } },
    testTimeout: 900_000,
    hookTimeout: 60_000,
  },
});
