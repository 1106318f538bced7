import { defineConfig } from 'vitest/config';
import { common } from './vitest.config.js';

/** For `npm run test:packages` only: it installs the tarballs and many tools from the registry. */
export default defineConfig({
  ...common,
  test: { include: ['test/packages/packages.run.ts'], testTimeout: 600_000, hookTimeout: 600_000 },
});
