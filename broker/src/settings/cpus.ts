/** How many CPUs this process may use. Unlike Node.js itself, this includes the CPU limit of the container. */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** A whole number, at least 1. */
export function availableCpus(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(cpuLimit(readLimit()))));
}

/** The CPUs of a control group's `cpu.max`: quota and period in microseconds, or `max` for no limit. */
export function cpuLimit(text: string): number {
  const [, quota, period] = /^(\d+) (\d+)\s*$/.exec(text) ?? [];
  return quota === undefined ? Number.POSITIVE_INFINITY : Number(quota) / Number(period);
}

/** Inside a container, this is the file of its own group (control groups, version 2). */
function readLimit(): string {
  try {
    return readFileSync('/sys/fs/cgroup/cpu.max', 'utf8');
  } catch {
    return 'max';
  }
}
