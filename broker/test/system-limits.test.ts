import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { readSystem, type System, systemLimits } from '../src/settings/system-limits.js';

const gibibyte = 1_073_741_824;
const settings = { maxConnections: 10_000, workers: 1 };
const enough: System = {
  clientSockets: 10_000,
  backlog: 512,
  trackedConnections: 10_000,
  cpus: 1,
  memoryBytes: gibibyte,
  heapBytes: 0.85 * gibibyte,
};

describe('the check of system limits', () => {
  it('reports nothing if they suffice, or if the system does not report them', () => {
    expect(systemLimits(settings, enough)).toEqual([]);
    const unlimited = Object.fromEntries(Object.keys(enough).map((name) => [name, Number.POSITIVE_INFINITY]));
    expect(systemLimits(settings, { ...(unlimited as unknown as System), heapBytes: 4 * gibibyte })).toEqual([]);
  });

  it.each([
    ['nofile', { clientSockets: 768 }, 768, 10_000, 'LimitNOFILE'],
    ['net.core.somaxconn', { backlog: 128 }, 128, 512, 'net.core.somaxconn is 128'],
    ['net.netfilter.nf_conntrack_max', { trackedConnections: 9_999 }, 9_999, 10_000, 'exclude the port from tracking'],
    ['cpu.max', { cpus: 0.25 }, 0.3, 1, 'Raise or remove the CPU limit'],
    ['memory.max', { memoryBytes: gibibyte / 2 }, gibibyte / 2, gibibyte, 'NODE_OPTIONS=--max-old-space-size=307'],
  ])('reports %s if it is too small', (limit, system, value, wanted, hint) => {
    const limits = systemLimits(settings, { ...enough, ...system });
    expect(limits).toEqual([{ limit, value, wanted, sentence: expect.stringContaining(hint) }]);
  });

  it.each([128, 256, 512, 1_024])('recommends, for %i MiB, a heap size that causes no warning', (mebibytes) => {
    const memoryBytes = mebibytes * 1_048_576;
    const [limit] = systemLimits(settings, { ...enough, memoryBytes, heapBytes: memoryBytes });
    const advised = Number(/--max-old-space-size=(\d+)/.exec(limit?.sentence ?? '')?.[1]);
    const { stdout } = spawnSync(process.execPath, [
      `--max-old-space-size=${advised}`,
      // Node 24 takes 64 on this machine, but at most 16 in a container of this size.
      '--max-semi-space-size=16',
      '--print',
      'require("node:v8").getHeapStatistics().heap_size_limit',
    ]);
    expect(systemLimits(settings, { ...enough, memoryBytes, heapBytes: Number(stdout) })).toEqual([]);
  });

  it('multiplies the needs of a worker by the number of workers', () => {
    expect(systemLimits({ ...settings, workers: 2 }, enough).map(({ limit }) => limit)).toEqual([
      'net.netfilter.nf_conntrack_max',
      'cpu.max',
      'memory.max',
    ]);
  });

  it('reads the limits of this system', () => {
    const system = readSystem();
    for (const value of Object.values(system)) expect(value).toBeGreaterThan(0);
    expect(system.clientSockets).toBeLessThan(Number.POSITIVE_INFINITY);
  });
});
