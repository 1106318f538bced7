/** Keeps server and generator from taking each other's CPU. */
import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';

export interface Pinning {
  readonly server: number | null;
  readonly generator: number | null;
}

/** A CPU each, where there are two and `taskset` can tell them apart. */
export function planPinning(): Pinning {
  const isPossible = availableParallelism() >= 2 && spawnSync('taskset', ['--version']).status === 0;
  return isPossible ? { server: 0, generator: 1 } : { server: null, generator: null };
}

/** All threads of a process. */
export function pin(pid: number, cpu: number): void {
  const { status, stderr } = spawnSync('taskset', ['-a', '-c', '-p', String(cpu), String(pid)]);
  if (status !== 0) throw new Error(`taskset could not pin process ${pid} to CPU ${cpu}: ${stderr}`);
}
