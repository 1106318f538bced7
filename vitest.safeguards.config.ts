import { defineConfig } from 'vitest/config';

/** For `npm run safeguards` only. */
export default defineConfig({
  test: { include: ['test/safeguards/safeguards.run.ts'], testTimeout: 900_000, hookTimeout: 60_000 },
});
