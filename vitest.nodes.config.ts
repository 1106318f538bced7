import { defineConfig } from 'vitest/config';
import { common, test } from './vitest.config.js';

/** For `npm run test:nodes` only. */
export default defineConfig({
  ...common,
  test: {
    ...test,
    include: ['client/{src,test}/**/*.test.ts', 'protocol/test/**/*.test.ts', 'test/nodes/nodes.run.ts'],
    maxWorkers: 4,
  },
});
