import { defineConfig } from 'vitest/config';
import base from './vitest.config.js';

/** For `npm run dashboard` only: it makes a picture for the documentation, in two minutes. */
export default defineConfig({ ...base, test: { ...base.test, include: ['test/deployment/dashboard.picture.ts'] } });
