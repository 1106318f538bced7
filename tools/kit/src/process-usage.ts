/** The CPU time and memory of a process, as the kernel counts them. */
import { readdir, readFile } from 'node:fs/promises';

/** CPU time of all running threads, in nanoseconds (`stat` counts in ticks of 10 ms). */
export async function readCpuNs(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`);
  const times = await Promise.all(
    threads.map(async (thread) => {
      const [onCpuNs] = (await readFile(`/proc/${pid}/task/${thread}/schedstat`, 'latin1')).split(' ');
      return Number(onCpuNs);
    }),
  );
  return times.reduce((sum, time) => sum + time, 0);
}

interface Memory {
  /** All its memory, including the code of the program. */
  readonly rssBytes: number;
  /** Its allocated memory: RSS without files, because pages of files depend on other processes. */
  readonly anonymousBytes: number;
}

export async function readMemory(pid: number): Promise<Memory> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'latin1');
  const read = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1]) * 1_024;
  return { rssBytes: read('Rss'), anonymousBytes: read('Anonymous') };
}
