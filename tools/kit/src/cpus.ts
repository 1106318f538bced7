/** The CPUs that a process may use (Linux), so that a load generator does not slow down the measured processes. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * Takes one CPU from this process and from processes that it starts from now on. Returns its number, for
 * {@link setCpus}. Returns null and changes nothing if there is only one CPU or no `taskset`.
 */
export function reserveCpu(): number | null {
  const others = allowedCpus();
  const reserved = others.pop();
  if (reserved === undefined || others.length === 0 || !setCpus(process.pid, others)) return null;
  return reserved;
}

/** Applies to all threads of the process, and to processes that it starts from now on. Returns whether it succeeded. */
export function setCpus(pid: number, cpus: readonly number[]): boolean {
  return spawnSync('taskset', ['-acp', cpus.join(','), String(pid)]).status === 0;
}

/** The CPUs that this process may use; empty if unknown. */
function allowedCpus(): number[] {
  try {
    return readCpuList(/^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '');
  } catch {
    return [];
  }
}

/** Parses the format of the kernel: `0-3,8`. */
export function readCpuList(list: string): number[] {
  return [...list.matchAll(/(\d+)(?:-(\d+))?/g)].flatMap(([, first, last = first]) =>
    Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) => Number(first) + index),
  );
}
