/** Functions that all tables of the comparison use. */
import { markdownTable } from '@fanfare/kit/markdown-table';
import type { LoadResult } from '../load/result.js';

/** CPU time of a delivery, in µs; null if the run is invalid. */
export function costOf({ serverCpuUs, redisCpuUs, deliveries, complaints }: LoadResult): number | null {
  if (serverCpuUs === null || deliveries === 0 || complaints.length > 0) return null;
  return (serverCpuUs + (redisCpuUs ?? 0)) / deliveries;
}

/** Without columns for servers that are missing, or for Redis if there is none. */
export function tableOfFilled(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const isFilled = (_: string, column: number): boolean => rows.some((row) => row[column] !== '');
  return markdownTable(
    head.filter(isFilled),
    rows.map((row) => row.filter(isFilled)),
  );
}
