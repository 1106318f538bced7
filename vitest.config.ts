import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

// Tests read the TypeScript sources of the workspaces (export condition "source"); only the processes that tests start
// run what `npm run build` wrote.
const conditions = ['source'];

/**
 * Files that start browsers or whole clusters, which need all processors. They follow the others: many of those let
 * time pass in a node, and fail if it cannot keep up. test/docs.test.ts checks the names.
 */
const heavy = [
  'test/transports/chromium.test.ts',
  'test/transports/firefox.test.ts',
  'test/transports/typed-client-chromium.test.ts',
  'test/transports/typed-client-firefox.test.ts',
  'test/faults.test.ts',
  'test/page.test.ts',
  'test/console.test.ts',
  'react/test/react.test.ts',
];

/**
 * Of the others, the files that take longest. They start first, since the run would otherwise wait for one of them at
 * the end. test/docs.test.ts checks the names.
 */
const slow = [
  'test/packages/packages.test.ts',
  'broker/test/several-redis.test.ts',
  'broker/test/cluster-relay.test.ts',
  'broker/test/cluster-changes.test.ts',
  'broker/test/recovery.test.ts',
  'broker/test/lost-state.test.ts',
  'broker/test/workers.test.ts',
  'test/transports/typed-client.test.ts',
  'test/deployment/proxies.test.ts',
  'test/deployment/topology.test.ts',
  'broker/test/redis-wire.test.ts',
  'test/python-client.test.ts',
  'broker/test/process.test.ts',
  'test/rates.test.ts',
  'broker/test/tls.test.ts',
  'test/deployment/image.test.ts',
  'broker/test/auth.test.ts',
  'broker/test/redis-outage.test.ts',
  'broker/test/config-secrets.test.ts',
  'broker/test/auth-store.test.ts',
  'broker/test/sentinel.test.ts',
  'broker/test/admin.test.ts',
  'broker/test/slow-subscriber.test.ts',
  'broker/test/redis-connection.test.ts',
  'broker/test/revocation.test.ts',
  'broker/test/redis-relay.test.ts',
  'broker/test/incident.test.ts',
  'test/deployment/monitoring.test.ts',
  'test/end-to-end.test.ts',
  'examples/test/examples.test.ts',
];

class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const place = slow.findIndex((file) => moduleId.endsWith(`/${file}`));
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
  globalSetup: './test/global-setup.ts',
  // uWebSockets.js is a native addon bound to one event loop: processes, no threads. A process runs one test file after
  // the other: loading the broker and its libraries for each file would take a third of the time. So each file must
  // undo its changes.
  pool: 'forks',
  isolate: false,
  restoreMocks: true,
  unstubGlobals: true,
  // An event that does not happen fails by a deadline of its own, with a sentence. These only end what hangs, on a busy
  // machine too.
  expect: { poll: { timeout: 60_000 } },
  testTimeout: 180_000,
  hookTimeout: 180_000,
} as const;

export default defineConfig({
  test: {
    projects: [
      {
        ...common,
        test: {
          ...test,
          name: 'product',
          sequence: { sequencer: SlowFirst, groupOrder: 0 },
          include: [
            '*/src/**/*.test.ts',
            '{broker,client,cli,react,k8s,protocol,proxies,examples}/test/**/*.test.ts',
            'test/**/*.test.ts',
          ],
          exclude: ['**/node_modules/**', ...heavy],
          // Concurrent tests of a file wait for time to pass in a node.
          maxConcurrency: 10,
          // More than processors: most tests wait for Redis, for a drain, or until a fault is noticed.
          maxWorkers: 4,
        },
      },
      {
        ...common,
        test: { ...test, name: 'heavy', include: heavy, maxWorkers: 2, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
