/**
 * The overlay cluster with real Redis servers: its configuration, and its scripts with addresses of this machine instead
 * of the names of the pods.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Child, findFreePort, hasKubectl, renderOverlay } from '@fanfare/local-cluster';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createApiKey } from '../../broker/src/auth/api-keys.js';
import { startNode } from '../../broker/test/harness.js';
import { MountedFolder } from '../../broker/test/mounted-folder.js';
import { TestConnection } from '../../broker/test/test-connection.js';
import { until } from '../../broker/test/wait.js';
import { environmentWith } from '../../k8s/test/mounted-files.js';
import { readDeployment } from '../../tools/verify/src/rollout/deployment-spec.js';
import { missingPrograms } from './programs.js';

const servers = 6;
const missing = missingPrograms('redis-server', 'redis-cli', 'getent') + (hasKubectl() ? '' : '. Not here: kubectl.');

describe.skipIf(missing !== '')(`k8s/overlays/cluster${missing}`, () => {
  let folder: string;
  /** The files of the ConfigMap. */
  let files: Readonly<Record<string, string>>;
  let port: number;
  let running: readonly Child[] = [];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'fanfare-overlay-'));
    const maps = (await renderOverlay('cluster')).filter(({ kind }) => kind === 'ConfigMap');
    files = maps.find(({ metadata }) => metadata.name.startsWith('redis-cluster'))?.['data'] as typeof files;
    // As in the pods, the servers talk to each other on a port that is higher by 10,000.
    do port = await findFreePort();
    while (port > 55_535);
  });

  afterEach(async () => {
    await stop();
    rmSync(folder, { recursive: true });
  });

  /** Like pods, servers have an address of their own, and another one after each start. */
  const addressOf = (server: number, start: number): string => `127.0.${100 + start}.${1 + server}`;

  async function start(number: number): Promise<void> {
    running = Array.from({ length: servers }, (_, server) => {
      const [address, data] = [addressOf(server, number), join(folder, `data-${server}`)];
      mkdirSync(data, { recursive: true });
      const conf = join(folder, `redis-${server}.conf`);
      writeFileSync(conf, (files['redis.conf'] ?? '').replace('dir /data', `dir ${data}`));
      return new Child({
        command: ['redis-server', conf, '--port', String(port), '--bind', address, '--bind-source-addr', address],
        env: { PATH: process.env['PATH'] },
      });
    });
    const isStarted = (line: string): true | null => (line.includes('Ready to accept connections') ? true : null);
    for (const child of running) {
      const found = await child.find(isStarted, AbortSignal.timeout(30_000));
      if (found === null) throw new Error(child.explain('redis-server ended.'));
    }
  }

  async function stop(): Promise<void> {
    await Promise.all(running.map((child) => child.stop()));
    running = [];
  }

  /** Runs a script as the pod of `server` does, or as the Job if it is null. Returns its exit code. */
  async function run(script: string, start: number, server: number | null): Promise<number | null> {
    const text = (files[script] ?? '')
      .replaceAll('port=6379', `port=${port}`)
      .replaceAll('redis-cluster-0.redis-cluster', addressOf(0, start))
      .replaceAll('redis-cluster-$number.redis-cluster', `127.0.${100 + start}.$((number + 1))`)
      // In a pod it talks to its own server.
      .replaceAll(
        'redis-cli ',
        server === null ? 'redis-cli ' : `redis-cli -h ${addressOf(server, start)} -p ${port} `,
      );
    const file = join(folder, `${server ?? 'job'}-${script}`);
    writeFileSync(file, text);
    const child = new Child({ command: ['sh', file], env: { PATH: process.env['PATH'] } });
    return child.exited;
  }

  const isReady = async (start: number): Promise<boolean> => {
    const codes = await Promise.all(running.map((_, server) => run('is-ready.sh', start, server)));
    return codes.every((code) => code === 0);
  };

  it('creates a Redis Cluster of three masters and three replicas, which survives a restart of all pods', async () => {
    await start(0);
    expect(await isReady(0)).toBe(false);
    // Kubernetes runs these at the same time.
    const codes = await Promise.all([
      run('create.sh', 0, null),
      ...running.map((_, server) => run('meet.sh', 0, server)),
    ]);
    expect(codes).toEqual(codes.map(() => 0));
    await until('all servers are ready', () => isReady(0));
    const first = new Redis({ host: addressOf(0, 0), port });
    const nodes = String(await first.call('CLUSTER', 'NODES'));
    expect([nodes.match(/ slave /g)?.length, nodes.match(/master - .* connected \d+-\d+$/gm)?.length]).toEqual([3, 3]);
    // Does nothing the second time.
    expect(await run('create.sh', 0, null)).toBe(0);
    const key = '{06S}';
    await first.set(key, 'kept');
    first.disconnect();

    await stop();
    await start(1);
    await Promise.all(running.map((_, server) => run('meet.sh', 1, server)));
    await until('all servers are ready', () => isReady(1));
    const values = await Promise.all(
      running.map(async (_, server) => {
        const redis = new Redis({ host: addressOf(server, 1), port });
        const value = await redis.get(key).catch((error: Error) => error.message);
        redis.disconnect();
        return value;
      }),
    );
    expect(values).toContain('kept');

    // The nodes with their settings.
    const given = readDeployment(await renderOverlay('cluster')).environment('fanfare-0');
    const { key: apiKey, entry } = createApiKey('test');
    const permissions = { publish: ['>'], subscribe: ['>'] };
    using secret = new MountedFolder({ auth: JSON.stringify({ apiKeys: [{ ...entry, permissions }] }) });
    await using node = await startNode({
      ...environmentWith(given, (path) => secret.file(basename(path))),
      FANFARE_REDIS_URL: (given['FANFARE_REDIS_URL'] ?? '').replace(
        /redis-cluster-(\d)\.redis-cluster:6379/g,
        (_, server: string) => `${addressOf(Number(server), 1)}:${port}`,
      ),
      ...{ FANFARE_TRUSTED_PROXIES: '127.0.0.1', FANFARE_HOST: '127.0.0.1', FANFARE_ADMIN_HOST: '127.0.0.1' },
    });
    await until('the node is ready', async () => (await node.readiness()).status === 200);
    const reader = await TestConnection.open(node.url, 'json', { headers: { Authorization: `Bearer ${apiKey}` } });
    expect(await reader.subscribe('t')).toMatchObject({ type: 'subscribed' });
    expect(await reader.publish('t', 'through the Cluster')).toMatchObject({ type: 'published' });
    expect(await reader.take('t', 1)).toEqual(['through the Cluster']);
    expect(node.log.filter(({ event }) => event === 'redisError')).toEqual([]);
    await reader.close();
    expect(JSON.stringify(values)).not.toContain(addressOf(0, 0).slice(0, -1));
  });
});
