/** The machine on which the figures were measured. */
import { cpus, release, totalmem } from 'node:os';

export function describeMachine(): string {
  const [cpu] = cpus();
  const memoryGib = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} x ${cpu?.model.trim() ?? 'unknown CPU'}, ${memoryGib} GiB, Linux ${release()}, Node ${process.version}`;
}
