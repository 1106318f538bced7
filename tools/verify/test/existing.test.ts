/** The checker against a running cluster. These tests make the faults themselves. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { type Cluster, startCluster, startNode } from '@fanfare/local-cluster';
import { expect, it } from 'vitest';
import { transports } from '../src/checker/checker.js';
import { checkExistingCluster, type ExistingClusterOptions } from '../src/existing-cluster/existing-cluster.js';
import { reportExistingCluster } from '../src/existing-cluster/existing-cluster-report.js';

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const timeoutMs = 180_000;
const never = new Promise(() => {});

function optionsFor({ nodes }: Cluster, more: Partial<ExistingClusterOptions> = {}): ExistingClusterOptions {
  const [first = '', ...others] = nodes.map(({ url }) => url);
  return {
    urls: [first, ...others],
    token: null,
    rate: 200,
    topics: 20,
    publishersPerTopic: 1,
    subscribers: 20,
    topicsPerSubscriber: 1,
    bytes: 50,
    level: 'recoverable',
    transports: transports.filter((transport) => others.length === 0 || transport !== 'fallback'),
    seconds: 3,
    ...more,
  };
}

/** Runs the check, and makes the fault when the load has begun. */
async function check(options: ExistingClusterOptions, fault: () => Promise<unknown> = async () => {}) {
  let struck: Promise<unknown> = Promise.resolve();
  const result = await checkExistingCluster(options, never, (line) => {
    if (line.includes('cause the fault now')) struck = fault();
  });
  await struck;
  return result;
}

it(
  'the verdict is good if nothing is lost while a node is killed and Redis is restarted by hand',
  async () => {
    await using cluster = await startCluster({ nodes: 2 });
    const options = optionsFor(cluster);
    const result = await check(options, async () => {
      await cluster.nodes[0]?.kill();
      await cluster.redis?.restart();
    });
    expect(result.reasons).toEqual([]);
    expect(result).toMatchObject({ isGood: true, findings: { lost: 0, duplicates: 0, outOfOrder: 0 } });
    expect(result.reconnects).toBeGreaterThanOrEqual(10);
    expect(result.published.acknowledged).toBeGreaterThan(400);
    const report = reportExistingCluster(result, options);
    expect(report).toMatch(/\| verdict +\| good/);
    expect(report).toContain('Promised: every acknowledged publication reaches every subscriber once and in order');
  },
  timeoutMs,
);

it(
  'the verdict is bad and lists the losses if the URLs are not one broker',
  async () => {
    await using cluster = await startCluster({ nodes: 2, redis: false });
    const options = optionsFor(cluster, { seconds: 2 });
    const result = await check(options);
    expect(result.isGood).toBe(false);
    expect(result.findings.lost).toBeGreaterThan(0);
    expect(reportExistingCluster(result, options)).toMatch(/\| verdict +\| BAD: \d+ lost/);
  },
  timeoutMs,
);

it(
  'the checker reports that the cluster has a different level',
  async () => {
    await using cluster = await startCluster({ redis: false, env: { FANFARE_TOPICS: '{">":{"level":"fast"}}' } });
    const sentence =
      'the topics verify.> have level fast on this cluster: use --level fast, or give them another level in FANFARE_TOPICS';
    const result = await check(optionsFor(cluster, { seconds: 2, transports: ['websocket', 'http'] }));
    expect(result.reasons).toContain(sentence);
    await expect(check(optionsFor(cluster, { seconds: 2 }))).rejects.toThrow(sentence);
    expect(await check(optionsFor(cluster, { seconds: 2, level: 'fast' }))).toMatchObject({
      isGood: true,
      reasons: [],
    });
  },
  timeoutMs,
);

it(
  'the checker sends an API key, and reports why it is refused without one',
  async () => {
    const key = 'fk_checker_Vd2rV1cW0e5vG8hJ3kM6nP9qS2tU5wX8';
    const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex');
    const otherKey = 'fk_other_Hq3sT6vW9yZ2bC5dE8fG1hJ4kL7mN0pR';
    const permissions = { publish: ['verify.>'], subscribe: ['verify.>'], history: ['verify.>'] };
    const auth = {
      apiKeys: [
        { id: 'checker', sha256: hashOf(key), permissions },
        { id: 'other', sha256: hashOf(otherKey), permissions: { publish: ['verify.>'] } },
      ],
    };
    await using cluster = await startCluster({ redis: false, env: { FANFARE_AUTH: JSON.stringify(auth) } });
    expect(await check(optionsFor(cluster, { seconds: 2, token: key }))).toMatchObject({ isGood: true });
    await expect(check(optionsFor(cluster))).rejects.toThrow(/^The cluster rejects the token, or requires one/);
    await expect(check(optionsFor(cluster, { token: otherKey }))).rejects.toThrow(/^The token must permit publish/);
    const nowhere = { urls: ['ws://127.0.0.1:1/ws'] } as const;
    await expect(check(optionsFor(cluster, nowhere))).rejects.toThrow(
      'Cannot connect to ws://127.0.0.1:1/ws: nothing listens there.',
    );
  },
  timeoutMs,
);

it(
  'the checker notes that histories may be too short for the rate',
  async () => {
    await using cluster = await startCluster({ redis: false });
    const { notes } = await check(optionsFor(cluster, { topics: 10, seconds: 2 }));
    expect(notes).toContain(
      'Each topic gets 20.0 publications/s. With the default historySize (500), subscribers that are away for longer than 25 s are notified of a gap.',
    );
  },
  timeoutMs,
);

it(
  'a stopped checker judges the results so far, and writes no token to its file',
  async () => {
    await using node = await startNode();
    const file = join(tmpdir(), `fanfare-verify-${process.pid}.json`);
    const child = spawn(process.execPath, [main, '--url', node.url, '--token', 'secret', '--json', file], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stderr.setEncoding('utf8').on('data', (line: string) => {
      if (line.includes('cause the fault now')) child.kill('SIGINT');
    });
    const output = text(child.stdout);
    const [code] = await once(child, 'close');
    expect(await output).toMatch(/\| verdict +\| good/);
    expect(code).toBe(0);
    const written = await readFile(file, 'utf8');
    await rm(file);
    expect(JSON.parse(written)).toMatchObject({ options: { urls: [node.url] }, result: { isGood: true } });
    expect(written).not.toContain('secret');
  },
  timeoutMs,
);
