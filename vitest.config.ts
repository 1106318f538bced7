import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// Tests read the TypeScript sources of the workspaces (export condition "source"); only the processes that tests start
// run what `npm run build` wrote.
const conditions = ['source'];

/** The files that take longest. They start first, since the run would otherwise wait for one of them at the end. */
const slow = [
  'broker/test/recovery',
  'broker/test/lost-state',
  'broker/test/workers',
  'test/faults',
  'deployment/proxies',
  'deployment/topology',
  'broker/test/redis-wire',
  'test/python-client',
  'broker/test/process',
  'test/page',
  'test/rates',
  'broker/test/tls',
  'deployment/image',
  'broker/test/auth',
  'broker/test/redis-outage',
  'broker/test/config-secrets',
  'broker/test/auth-store',
  'broker/test/sentinel',
  'broker/test/admin',
  'broker/test/slow-subscriber',
  'broker/test/redis-connection',
  'broker/test/revocation',
  'broker/test/redis-relay',
  'broker/test/incident',
  'deployment/monitoring',
  'test/end-to-end',
  'examples/test/examples',
];

class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const place = slow.findIndex((name) => moduleId.endsWith(`${name}.test.ts`));
      return place === -1 ? slow.length : place;
    };
    return (await super.sort(files)).toSorted((one, other) => rank(one) - rank(other));
  }
}

export const common = {
  ssr: { resolve: { conditions, externalConditions: conditions } },
  resolve: { conditions },
};

export const test = {
  // uWebSockets.js is a native addon bound to one event loop: processes, no threads. A process runs one test file after the other: loading
  // the broker and its libraries for each file would take a third of the time. So each file must undo its changes.
  pool: 'forks',
  isolate: false,
  restoreMocks: true,
  unstubGlobals: true,
  // An event that does not happen fails by a deadline of its own, with a sentence. These only end what hangs, on a busy machine too.
  expect: { poll: { timeout: 60_000 } },
  testTimeout: 180_000,
  hookTimeout: 180_000,
} as const;

export default defineConfig({
  ...common,
  test: {
    ...test,
    sequence: { sequencer: SlowFirst },
    include: [
      '*/src/**/*.test.ts',
      '{broker,client,k8s,protocol,proxies,examples}/test/**/*.test.ts',
      'test/**/*.test.ts',
    ],
    exclude: ['**/node_modules/**'],
    // Concurrent tests of a file wait for time to pass in a node.
    maxConcurrency: 10,
    // More than processors: most tests wait for Redis, for a drain, or until a fault is noticed.
    maxWorkers: 4,
  },
});
