/**
 * The client in Python (examples/python) was written from PROTOCOL.md alone, by somebody who had not read our code. It
 * loses nothing when Redis restarts, a node is killed, or a node drains.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createClient } from '@fanfare/client';
import { Balancer, type NodeProcess, startNode, startRedis } from '@fanfare/local-cluster';
import { expect, it } from 'vitest';

const python = '/usr/bin/python3';
const program = fileURLToPath(new URL('../examples/python/soak.py', import.meta.url));
const deadline = { timeout: 60_000 };

function hasWebsockets(): boolean {
  try {
    execFileSync(python, ['-c', 'import websockets.client'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

it.skipIf(!hasWebsockets())(
  'a client that was written from PROTOCOL.md alone loses nothing (needs python3-websockets)',
  async () => {
    await using redis = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
    const env = { FANFARE_DRAIN_WINDOW_MS: '1000' };
    await using first = await startNode({ redisUrl: redis.url, env });
    await using second = await startNode({ redisUrl: redis.url, env });
    const startAgain = ({ port, adminPort }: NodeProcess) => startNode({ redisUrl: redis.url, env, port, adminPort });
    const child = spawn(python, [program, first.url, second.url], {
      env: { PYTHONDONTWRITEBYTECODE: '1', SOAK_TOPICS: '2' },
    });
    using _ = { [Symbol.dispose]: () => child.kill('SIGKILL') };
    const ended = once(child, 'close');
    const [said, warnings]: [string[], string[]] = [[], []];
    createInterface(child.stdout).on('line', (line) => said.push(line));
    createInterface(child.stderr).on('line', (line) => warnings.push(line));
    await expect.poll(() => warnings, deadline).toContain('all are subscribed');

    // Its publications continue: our own client receives them.
    const topic = `soak.${child.pid}.0`;
    await using balancer = await Balancer.start({ ports: [first.port, second.port] });
    await using reader = createClient<Record<string, { readonly number: number }>>(balancer.url);
    let last = 0;
    reader.subscribe(topic, ({ data }) => {
      last = data.number;
    });
    const receivesMore = async () => {
      const before = last;
      await expect.poll(() => last, deadline).toBeGreaterThan(before + 10);
    };
    await receivesMore();
    await redis.kill();
    await redis.restart();
    await receivesMore();
    await first.kill();
    await receivesMore();
    await using _first = await startAgain(first);
    await receivesMore();
    expect(await second.stop()).toBe(0);
    await using _second = await startAgain(second);
    await receivesMore();

    child.stdin.write('stop\n');
    const [code] = await ended;
    const { published, delivered, ...wrong } = JSON.parse(said.at(-1) ?? '{}');
    expect({ ...wrong, code }, warnings.join('\n')).toEqual({
      lost: 0,
      duplicated: 0,
      reordered: 0,
      resets: 0,
      code: 0,
    });
    expect(published).toBeGreaterThan(60);
    expect(delivered).toBe(3 * published);
  },
);
