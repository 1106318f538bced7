/** Functions that all tables of the comparison use. */
import { markdownTable } from '@fanfare/kit/markdown-table';
import type { LoadResult } from '../load/result.js';

/** Whether nobody subscribes, so that a publication is counted instead of a delivery. */
export function isPublishingOnly({ workload }: LoadResult): boolean {
  return workload.subscribers === 0;
}

/** CPU time of a delivery (of a publication if nobody subscribes), in µs; null if the run is invalid. */
export function costOf(result: LoadResult): number | null {
  const { serverCpuUs, redisCpuUs, deliveries, published, complaints } = result;
  const count = isPublishingOnly(result) ? published : deliveries;
  if (serverCpuUs === null || count === 0 || complaints.length > 0) return null;
  return (serverCpuUs + (redisCpuUs ?? 0)) / count;
}

/** Without columns for servers that are missing, or for Redis if there is none. */
export function tableOfFilled(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const isFilled = (_: string, column: number): boolean => rows.some((row) => row[column] !== '');
  return markdownTable(
    head.filter(isFilled),
    rows.map((row) => row.filter(isFilled)),
  );
}
