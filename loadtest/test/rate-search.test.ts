/** The search for the highest rate: its steps, its conclusion, and a whole search from the command line. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseResultFile } from '../src/load/result-file.js';
import { conclude, findHighest } from '../src/runs/rate-search.js';
import { latency, moment, result } from './results.js';

async function search(first: number, limit: number) {
  const tried: number[] = [];
  const { held, failed } = await findHighest(first, async (perSecond) => {
    tried.push(perSecond);
    return { step: perSecond, holds: perSecond <= limit };
  });
  return { held, failed, tried };
}

describe('the search', () => {
  it.each([
    [100, 700],
    [100, 30],
    [40, 123_456],
    [0.5, 2],
    [100, 100],
  ])('that begins at %i finds the limit %i within 5 %%, in a few steps', async (first, limit) => {
    const { held, failed, tried } = await search(first, limit);
    expect(held).toBeLessThanOrEqual(limit);
    expect(failed).toBeGreaterThan(limit);
    expect(failed / (held ?? 0)).toBeLessThanOrEqual(1.05);
    expect(tried.length).toBeLessThanOrEqual(Math.abs(Math.log2(limit / first)) + 8);
  });

  it('first doubles the rate', async () => {
    expect((await search(100, 700)).tried.slice(0, 5)).toEqual([100, 200, 400, 800, 566]);
  });

  it('ends if no rate holds', async () => {
    expect(await search(10, 0)).toEqual({ held: null, failed: 1.25, tried: [10, 5, 2.5, 1.25] });
  });
});

describe('the limit that a search finds', () => {
  const run = { label: '100 subscribers', nodes: 1 };
  const held = result({ latency: latency(3_000) });
  const slow = { latency: latency(340_000), workload: { perSecond: 42 } };

  it('is the server’s if the server is late and the generator is not busy', () => {
    const full = { ...slow, moments: [{ ...moment(0.5, 100), serverCpu: 0.98 }] };
    expect(conclude(run, { held, failed: result(full) }, 100)).toEqual({
      scenario: 'fan-out',
      label: '100 subscribers',
      server: 'fanfare',
      highestPerSecond: 40,
      limitedBy: 'server',
      says:
        'fan-out, 100 subscribers, fanfare: 40 publications a second held, with 4,000 deliveries a second and a p99 of 3.00 ms. At 42 publications a second: ' +
        'p99 was 340 ms, more than 100. The server is full; of the generator, the busiest process used 20 % of a CPU. The server used 98 % of a CPU.',
    });
    const { says } = conclude(run, { held, failed: result(slow) }, 100);
    expect(says).toMatch(/The limit is not the generator; of the generator, the busiest process used 20 % of a CPU\.$/);
  });

  it('is the server’s if publications are lost', () => {
    const failed = result({ lost: 7, complaints: ['7 deliveries are missing, and subscribers were not notified.'] });
    const { limitedBy, says } = conclude(run, { held: null, failed }, 100);
    expect(limitedBy).toBe('server');
    expect(says).toContain(
      'no rate held. At 40 publications a second: 7 deliveries are missing, and subscribers were not notified. ',
    );
  });

  it.each([
    [{ generatorCpu: 0.97 }, /The limit is the generator, not the server: its busiest process used 97 % of a CPU\./],
    [
      { slipP99Us: 30_000 },
      /used 20 % of a CPU and still fell behind\. Something else on this machine slowed it down\./,
    ],
  ])('is the generator’s, not the server’s: %j', (generator, sentence) => {
    const { limitedBy, says } = conclude(run, { held, failed: result({ ...slow, ...generator }) }, 100);
    expect(limitedBy).toBe('generator');
    expect(says).toContain(': at least 40 publications a second held');
    expect(says).toMatch(sentence);
  });
});

it('a search from the command line tries a failed rate again, and reports what it found', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fanfare-search-'));
  try {
    const file = join(folder, 'result.json');
    const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));
    // No network is fast enough for this p99.
    const impossible = ['--find-max-rate', '--max-p99-ms', '0.1', '--rate', '1.9'];
    const load = ['fan-out', '--subscribers', '5', '--seconds', '0.5', '--json', file];
    const { status, stdout } = spawnSync(process.execPath, [main, ...load, ...impossible], { encoding: 'utf8' });
    const { results, searches } = parseResultFile(file, await readFile(file, 'utf8'));
    expect(results.map(({ label }) => label)).toEqual(Array(2).fill('5 subscribers, 128 B, 1.9/s'));
    expect(searches).toMatchObject([{ scenario: 'fan-out', server: 'fanfare', highestPerSecond: null }]);
    expect(stdout).toContain(searches[0]?.says);
    expect(status).toBe(1);
  } finally {
    await rm(folder, { recursive: true });
  }
});
