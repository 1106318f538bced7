/** How many CPUs this process may keep busy: a CPU limit of its container counts, which Node itself leaves out. */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** A whole number, at least 1. */
export function availableCpus(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(cpuLimit(readLimit()))));
}

/** The CPUs that a control group's `cpu.max` grants: quota and period in microseconds, or `max` for no limit. */
export function cpuLimit(text: string): number {
  const [, quota, period] = /^(\d+) (\d+)\s*$/.exec(text) ?? [];
  return quota === undefined ? Number.POSITIVE_INFINITY : Number(quota) / Number(period);
}

/** Inside a container the group's own file stands here (control groups, version 2). */
function readLimit(): string {
  try {
    return readFileSync('/sys/fs/cgroup/cpu.max', 'utf8');
  } catch {
    return 'max';
  }
}
