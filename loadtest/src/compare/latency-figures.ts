/** Figures of the cases about latency, and their ratios within a round. */
import type { GarbageReport, LoadResult } from '../load/result.js';
import type { Comparison } from './compare.js';

type Results = Comparison['results'];

/** Null if it was not measured. */
export type Figure = (result: LoadResult) => number | null;

/** The figure is divided by the same figure of this server, or of this load. Null: it is not a ratio. */
export type By = { readonly server: string } | { readonly label: string } | null;

export const p50: Figure = ({ latency }) => latency.p50;
export const p99: Figure = ({ latency }) => latency.p99;
export const longestPause: Figure = ({ garbage }) =>
  garbage === null ? null : Math.max(...garbage.map(({ longestPauseUs }) => longestPauseUs));
export const heapOf = (node: number): Figure => ofNode(node, ({ heapBytes }, { published }) => heapBytes / published);
export const scavengeMsOf = (node: number): Figure =>
  ofNode(node, ({ longestScavengeUs }) => longestScavengeUs / 1_000);

/** A figure of one node; null if it was not measured, or if nothing was published. */
export function ofNode(node: number, pick: (report: GarbageReport, result: LoadResult) => number): Figure {
  return (result) => {
    const report = result.garbage?.[node];
    return report === undefined || result.published === 0 ? null : pick(report, result);
  };
}

export function isValid({ complaints, deliveries }: LoadResult): boolean {
  return complaints.length === 0 && deliveries > 0;
}

/**
 * The figure of each of these valid results, divided by the other one of the same round. `results`: all of the
 * comparison.
 */
export function valuesOf(results: Results, own: Results, figure: Figure, by: By): readonly number[] {
  return own.flatMap((result) => {
    const value = figure(result);
    if (value === null || by === null) return value ?? [];
    const { round, label, server } = { ...result, ...by };
    const other = results.find((each) => each.round === round && each.label === label && each.server === server);
    const divisor = other === undefined || !isValid(other) ? null : figure(other);
    return divisor === null || divisor === 0 ? [] : value / divisor;
  });
}
