/** Which CPUs a process may use (Linux): so that a load does not take the time of what it is measured on. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * Takes one CPU from this process, and from those that it starts from now on, and answers its number, for {@link setCpus}. Null if there is
 * only one, or no `taskset`: all stays as it was.
 */
export function reserveCpu(): number | null {
  const others = allowedCpus();
  const reserved = others.pop();
  if (reserved === undefined || others.length === 0 || !setCpus(process.pid, others)) return null;
  return reserved;
}

/** Holds for all threads of the process, and for what it starts from now on. Answers whether that could be done. */
export function setCpus(pid: number, cpus: readonly number[]): boolean {
  return spawnSync('taskset', ['-acp', cpus.join(','), String(pid)]).status === 0;
}

/** Those that this process may use; none if that cannot be read. */
function allowedCpus(): number[] {
  try {
    return readCpuList(/^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '');
  } catch {
    return [];
  }
}

/** As the kernel writes them: `0-3,8`. */
export function readCpuList(list: string): number[] {
  return [...list.matchAll(/(\d+)(?:-(\d+))?/g)].flatMap(([, first, last = first]) =>
    Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) => Number(first) + index),
  );
}
