import { defineConfig } from 'vitest/config';
import { common } from './vitest.config.js';

/**
 * For `npm run dashboard` (test/deployment/dashboard.mjs) only: it makes a picture for the documentation, in two
 * minutes.
 */
export default defineConfig({
  ...common,
  test: { include: ['test/deployment/dashboard.picture.ts'], testTimeout: 300_000, hookTimeout: 60_000 },
});
