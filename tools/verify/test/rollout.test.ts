/** `npm run rollout` in a tenth of the time, and its errors if a rollout goes wrong. */

import { UsageError } from '@fanfare/kit/options';
import { hasKubectl, type Manifest, renderOverlay } from '@fanfare/local-cluster';
import { describe, expect, it } from 'vitest';
import { Deployment } from '../src/rollout/deployment.js';
import { type Probe, readDeployment } from '../src/rollout/deployment-spec.js';
import { mostWithin, type RolloutOptions, runRollout, spreadProblems } from '../src/rollout/rollout.js';
import { parseRolloutCommandLine } from '../src/rollout/rollout-command-line.js';
import { reportRollout } from '../src/rollout/rollout-report.js';

const options: RolloutOptions = {
  rate: 200,
  topics: 20,
  publishersPerTopic: 1,
  subscribers: 56,
  topicsPerSubscriber: 1,
  level: 'recoverable',
  transports: ['websocket'],
  bytes: 100,
  timeScale: 0.1,
  // Two thirds of the 60 clients.
  maxConnections: 40,
};

const timeoutMs = 180_000;

// In parallel: they mostly wait.
describe.skipIf(!hasKubectl()).concurrent('the Deployment of the overlay production', () => {
  it(
    'is replaced, grows and shrinks under load: nothing is lost, repeated or out of order, and no pod has too many connections',
    async () => {
      const manifests = await renderOverlay('production');
      const { replicas } = readDeployment(manifests);
      const result = await runRollout(manifests, options, () => {});
      // At this time scale, a machine may hang for longer than the window of the spread, which is tested below and in
      // long runs.
      expect(result.reasons.filter((reason) => !reason.includes('reconnected within'))).toEqual([]);
      expect(result.findings).toMatchObject({
        lost: 0,
        lostButReported: 0,
        duplicates: 0,
        outOfOrder: 0,
        reportedGaps: 0,
      });
      expect(result.published.acknowledged).toBeGreaterThan(1_000);
      expect(result.mostConnections).toBeLessThanOrEqual(40);
      const sentences = result.timeline.map(({ sentence }) => sentence);
      const ended = sentences.filter((sentence) => sentence.endsWith('with code 0'));
      // All pods of the first generation, and the two that were added.
      expect(ended.length).toBe(replicas + 2);
      expect(sentences).toContain('each pod has its share');
      const first = (pattern: RegExp): number => sentences.findIndex((sentence) => pattern.test(sentence));
      // New pods start before old pods stop.
      expect(first(/^fanfare-2-\d+ is ready/)).toBeLessThan(first(/^fanfare-1-\d+ terminates/));
      expect(reportRollout('production', result, options)).toMatch(/\| lost +\| 0 /);
    },
    timeoutMs,
  );

  it(
    'gets a bad verdict if the grace period is shorter than the drain',
    async () => {
      const manifests = await renderOverlay('production');
      const result = await runRollout(withPodSpec(manifests, { terminationGracePeriodSeconds: 8 }), options, () => {});
      expect(result.reasons.join('; ')).toMatch(/fanfare-1-\d had to be killed after its grace period/);
    },
    timeoutMs,
  );

  it(
    'gets a bad verdict if new pods stay empty',
    async () => {
      const manifests = (await renderOverlay('production')).map((manifest) =>
        manifest.kind === 'ConfigMap'
          ? { ...manifest, data: { ...(manifest['data'] as object), FANFARE_REBALANCE_RATE: '0' } }
          : manifest,
      );
      const result = await runRollout(manifests, options, () => {});
      expect(result.reasons).toContain('the connections were not distributed among all pods');
    },
    timeoutMs,
  );
});

function withPodSpec(manifests: readonly Manifest[], fields: object): Manifest[] {
  return manifests.map((manifest) => {
    if (manifest.kind !== 'Deployment') return manifest;
    const spec = manifest['spec'] as { template: { spec: object } };
    const template = { ...spec.template, spec: { ...spec.template.spec, ...fields } };
    return { ...manifest, spec: { ...spec, template } };
  });
}

describe('the end of a pod', () => {
  it.each([
    ['ends with code 0', 'process.exit(0)', []],
    ['ends with another code', 'process.exit(3)', ['pod-1-1 ended with code 3, not 0']],
    [
      'crashes',
      'process.kill(process.pid, "SIGSEGV")',
      ['pod-1-1 crashed during its termination: an unexpected signal ended it'],
    ],
    ['does not end', '0', ['pod-1-1 had to be killed after its grace period']],
  ])('is judged if it %s', async (_, onSigterm, expected) => {
    const problems: string[] = [];
    const probe: Probe = { path: '/', periodSeconds: 0.01, timeoutSeconds: 1, failureThreshold: 1_000 };
    await using deployment = new Deployment({
      spec: {
        ...{ name: 'pod', replicas: 1, maxSurge: 1, maxUnavailable: 0, minReadySeconds: 0 },
        ...{ terminationGracePeriodSeconds: 1, preStopSeconds: 0 },
        ...{ startupProbe: probe, readinessProbe: probe, livenessProbe: probe },
        environment: () => ({}),
      },
      command: [
        process.execPath,
        '-e',
        `process.on('SIGTERM', () => ${onSigterm}); http.createServer((_, reply) => reply.end()).listen(process.env.FANFARE_ADMIN_PORT, '127.0.0.1')`,
      ],
      environment: {},
      timeScale: 1,
      onPodChange: () => {},
      say: () => {},
      reportProblem: (sentence) => problems.push(sentence),
    });
    await deployment.scale(1);
    await deployment.scale(0);
    expect(problems).toEqual(expected);
  });
});

describe('the spread of reconnects', () => {
  it('is the largest number of reconnects in any window of the given length', () => {
    expect(mostWithin([], 10)).toBe(0);
    expect(mostWithin([0, 11, 22], 10)).toBe(1);
    expect(mostWithin([0, 5, 11, 12, 15, 40, 41], 10)).toBe(4);
  });

  it('is bad if more than a third of all clients reconnect at once', () => {
    expect(spreadProblems(20, 60)).toEqual([]);
    expect(spreadProblems(21, 60)).toEqual(['21 of 60 clients reconnected within 3 s: a deploy must spread them']);
  });
});

describe('the command line of the rollout', () => {
  it('has defaults for everything', () => {
    expect(parseRolloutCommandLine([])).toMatchObject({
      overlay: 'production',
      options: { timeScale: 1, rate: 2_000, subscribers: 300, maxConnections: null },
    });
  });

  it.each([
    [['--time-scale', '3'], '--time-scale must be a number from 0.05 to 1, not "3".'],
    [['--overlay', '../x'], '--overlay must be the name of a folder in k8s/overlays, not "../x".'],
    [['production'], 'Unexpected argument "production".'],
    [['--max-connections', 'many'], '--max-connections must be a whole number from 1 to 10000000, not "many".'],
  ])('explains what is wrong with %j', (args, sentence) => {
    expect(() => parseRolloutCommandLine(args)).toThrow(new UsageError(sentence));
  });

  it.skipIf(!hasKubectl())('lists the existing overlays', async () => {
    await expect(renderOverlay('nowhere')).rejects.toThrow(
      /^There is no overlay "nowhere" in k8s\/overlays, only .*production/,
    );
  });
});
