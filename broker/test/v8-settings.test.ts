/** The size of the young generation in the processes of a node. They run the result of `npm run build`. */
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startNode, startRedis } from '@fanfare/local-cluster';
import { describe, expect, it } from 'vitest';

/**
 * Runs in each process of Node.js before the program. When it exits: keeps many small objects, which makes the young
 * generation grow.
 */
const observer = `
import { writeFileSync } from 'node:fs';
import { getHeapSpaceStatistics } from 'node:v8';
process.on('exit', () => {
  let kept = [];
  for (let number = 0; number < 600_000; number++) {
    kept.push({ number });
    if (kept.length === 100_000) kept = [];
  }
  const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
  const name = process.argv[1].split('/').at(-1);
  writeFileSync(process.env.SIZES + '/' + name + '-' + process.pid, String(young.space_size));
});`;

/** Starts and stops a node. Returns the size of the young generation in each of its processes, in bytes, by program. */
async function sizes(env: Readonly<Record<string, string>>): Promise<Map<string, number[]>> {
  const folder = mkdtempSync(join(tmpdir(), 'fanfare-v8-'));
  const preload = `--import=data:text/javascript,${encodeURIComponent(observer)}`;
  const { NODE_OPTIONS: more = '', ...others } = env;
  const node = await startNode({ env: { ...others, SIZES: folder, NODE_OPTIONS: `${preload} ${more}` } });
  await node.stop();
  const found = new Map<string, number[]>();
  for (const file of readdirSync(folder)) {
    const program = file.replace(/-\d+$/, '');
    found.set(program, [...(found.get(program) ?? []), Number(readFileSync(join(folder, file), 'utf8'))]);
  }
  return found;
}

const oneMegabyte = 1_048_576;

describe('the young generation of V8', () => {
  it.each([
    ['a node', 'main.js', 1, {}],
    ['each of two workers', 'worker-main.js', 2, { FANFARE_WORKERS: '2', FANFARE_DRAIN_WINDOW_MS: '0' }],
  ])('of %s stays small, so that each collection is short', async (_, program, count, env) => {
    await using redis = await startRedis();
    const found = (await sizes({ FANFARE_REDIS_URL: redis.url, ...env })).get(program) ?? [];
    expect(found).toHaveLength(count);
    for (const size of found) expect(size).toBeLessThanOrEqual(2 * oneMegabyte);
  });

  it.each(['--max-semi-space-size=8', '--max_semi_space_size=8'])(
    'has the size that the operator sets: %s',
    async (option) => {
      const [size] = (await sizes({ NODE_OPTIONS: option })).get('main.js') ?? [];
      expect(size).toBeGreaterThan(2 * oneMegabyte);
    },
  );
});
