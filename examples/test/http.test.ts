/**
 * Runs the publishers in examples/http, in each language whose runtime is installed, against a real node: each repeats
 * what was refused or got no answer, and publishes once.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FaultProxy, startNode as startProcess, startRedis } from '@fanfare/local-cluster';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApiKey } from '../../broker/src/auth/api-keys.js';
import { startCluster, startNode } from '../../broker/test/harness.js';
import { until } from '../../broker/test/wait.js';
import { findProgram, missingPrograms } from '../../test/deployment/programs.js';

const folder = fileURLToPath(new URL('../http', import.meta.url));

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run([program, ...first]: readonly string[], args: readonly string[], env: object): Promise<Run> {
  return new Promise((resolve) => {
    const options = { cwd: folder, env: { PATH: process.env['PATH'], ...env }, timeout: 120_000 };
    const child = execFile(program ?? '', [...first, ...args], options, (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

/** A balancer in front of a node, which loses the first answer that is a success. */
async function losesOneSuccess(port: number) {
  const statuses: number[] = [];
  const server = createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming;
    const forwarded = httpRequest({ port, method, path: url, headers }, (response) => {
      const { statusCode = 0 } = response;
      const isFirst = statusCode === 200 && !statuses.includes(200);
      statuses.push(statusCode);
      if (isFirst) {
        response.resume().once('end', () => outgoing.destroy());
        return;
      }
      outgoing.writeHead(statusCode, response.headers);
      response.pipe(outgoing);
    });
    incoming.pipe(forwarded);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    statuses,
    [Symbol.dispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

const programs = [
  ['curl', 'curl', ['sh', 'publish.sh']],
  ['PHP', 'php', ['php', '-n', 'publish.php']],
  ['Python', '/usr/bin/python3', ['/usr/bin/python3', '-I', 'publish.py']],
  ['Go', 'go', null],
  ['Node', process.execPath, [process.execPath, 'publish.mjs']],
] as const;

// Concurrent: they wait for nodes and for their own delays.
describe.concurrent('the publishers in examples/http', () => {
  for (const [language, program, given] of programs) {
    const missing =
      program.startsWith('/') && findProgram(program.split('/').at(-1) ?? '') !== null ? '' : missingPrograms(program);
    describe.skipIf(missing !== '')(`the publisher for ${language}${missing}`, () => {
      let command: readonly string[] = given ?? [];
      let built: string | null = null;
      beforeAll(async () => {
        if (given !== null) return;
        built = await mkdtemp(join(tmpdir(), 'fanfare-go-'));
        const env = { HOME: built, GOCACHE: join(built, 'cache'), GOFLAGS: '-mod=mod', GOTOOLCHAIN: 'local' };
        const build = await run(['go', 'build', '-o', join(built, 'publish'), 'publish.go'], [], env);
        expect(build).toMatchObject({ code: 0 });
        command = [join(built, 'publish')];
      });
      afterAll(async () => {
        if (built !== null) await rm(built, { recursive: true, force: true });
      });

      it('publishes once, although it is refused (503), then unconfirmed (504), and then an answer is lost', async () => {
        await using redis = await startRedis({ args: ['--repl-diskless-sync-delay', '0'] });
        await using way = await FaultProxy.start({ targetPort: redis.port });
        const { key, entry } = createApiKey('shop');
        const apiKeys = [{ ...entry, permissions: { publish: ['>'], history: ['>'] } }];
        await using node = await startNode({
          FANFARE_AUTH: JSON.stringify({ apiKeys }),
          FANFARE_REDIS_URL: `redis://${way.address}`,
          FANFARE_TOPICS: '{"orders.>":{"level":"durable"}}',
          FANFARE_DURABLE_TIMEOUT_MS: '200',
        });
        await until('the node is ready', async () => (await node.readiness()).status === 200);
        await way.refuse();
        await until('the node is not ready', async () => (await node.readiness()).status === 503);
        using balancer = await losesOneSuccess(node.broker.port);
        const env = { FANFARE_URL: balancer.url, FANFARE_TOKEN: key };
        const running = run(command, ['orders.42', '{"state": "paid ä"}', 'order-42-paid'], env);
        await until('the node has refused it', () => balancer.statuses.includes(503));
        await way.heal();
        await until('no replica confirms it', () => balancer.statuses.includes(504));
        await using _replica = await startRedis({ args: ['--replicaof', `127.0.0.1 ${redis.port}`] });
        const { code, stdout, stderr } = await running;
        expect({ code, stderr }).toMatchObject({ code: 0 });
        expect(JSON.parse(stdout)).toMatchObject({
          topic: 'orders.42',
          offset: 1,
          messageId: 'order-42-paid',
          duplicate: true,
        });
        expect(balancer.statuses.filter((status) => status === 200)).toHaveLength(2);
        const history = await until('the history can be read', async () => {
          const response = await fetch(`http://127.0.0.1:${node.broker.port}/v1/topics/orders.42/publications`, {
            headers: { Authorization: `Bearer ${key}` },
          });
          return response.status === 200 && response.text();
        });
        expect(history).toContain('"publications":[{"offset":1,"data":{"state": "paid ä"}}]');
      });

      it('needs no token without authentication, and gives up at once if repeating cannot help', async () => {
        await using cluster = await startCluster();
        const url = `http://127.0.0.1:${cluster.node().broker.port}`;
        const wrong = await run(command, ['orders..42', '{}'], { FANFARE_URL: url });
        expect(wrong.code).not.toBe(0);
        expect(wrong.stdout + wrong.stderr).toContain('orders..42');
        const once = await run(command, ['orders.42', '[1]'], { FANFARE_URL: url });
        expect(JSON.parse(once.stdout)).toMatchObject({ offset: 1, duplicate: false });
      });
    });
  }

  const withoutCurl = missingPrograms('curl');
  it.skipIf(withoutCurl !== '')(
    `poll.sh prints each publication once, over a kill of the node${withoutCurl}`,
    async () => {
      await using redis = await startRedis();
      const options = { redisUrl: redis.url };
      const first = await startProcess(options);
      const { port, adminPort } = first;
      const url = `http://127.0.0.1:${port}`;
      const child = spawn('sh', ['poll.sh', 'orders.42'], {
        cwd: folder,
        env: { PATH: process.env['PATH'], FANFARE_URL: url },
        detached: true,
      });
      using _ = { [Symbol.dispose]: () => process.kill(-(child.pid ?? 0), 'SIGKILL') };
      let printed = '';
      child.stdout.setEncoding('utf8').on('data', (text) => {
        printed += text;
      });
      const held = async (): Promise<boolean> => {
        const response = await fetch(`${url}/v1/topics/orders.42`).catch(() => null);
        return ((await response?.json()) as { subscribers?: number } | undefined)?.subscribers === 1;
      };
      const publish = async (number: number): Promise<void> => {
        const { code } = await run(['sh', 'publish.sh'], ['orders.42', String(number)], { FANFARE_URL: url });
        expect(code).toBe(0);
      };
      await until('it waits', held);
      await publish(1);
      await until('it has printed the first', () => printed.includes('"data":1'));
      await first.kill();
      await using second = await startProcess({ ...options, port, adminPort });
      expect(second.port).toBe(port);
      await publish(2);
      await publish(3);
      const seen = (): unknown[] =>
        printed
          .split('\n')
          .filter((line) => line.endsWith('}'))
          .flatMap((line) => (JSON.parse(line) as { publications: { data: unknown }[] }).publications)
          .map(({ data }) => data);
      await until('the others are printed', () => seen().length >= 3);
      expect(seen()).toEqual([1, 2, 3]);
    },
  );

  it.skipIf(withoutCurl !== '')(`the commands of docs/http.md work${withoutCurl}`, async () => {
    await using cluster = await startCluster();
    const url = `http://127.0.0.1:${cluster.node().broker.port}`;
    const guide = await readFile(join(folder, '../../docs/http.md'), 'utf8');
    const commands = [...guide.matchAll(/^```sh\n(curl [\s\S]*?)^```/gm)].map(([, command = '']) => command);
    expect(commands).toHaveLength(3);
    for (const command of commands) {
      const { code, stdout, stderr } = await run(
        ['sh', '-c', command.replaceAll('http://localhost:8080', url)],
        [],
        {},
      );
      expect({ code, stderr }).toMatchObject({ code: 0 });
      expect(JSON.parse(stdout)).not.toHaveProperty('code');
    }
  });
});
