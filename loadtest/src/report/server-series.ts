/**
 * A series for each server, with a point for each run: the median of the rounds, and lowest and highest as a whisker.
 */
import { median } from '@fanfare/kit/median';
import type { Series } from './chart.js';
import type { Group, Section } from './group.js';

export function seriesOfServers(
  { servers }: Section,
  groups: readonly Group[],
  marks: Series['marks'],
  measure: (group: Group) => { readonly x: number; readonly values: readonly number[] },
): readonly Series[] {
  return servers.flatMap((server) =>
    [true, false].flatMap((isValid) => {
      const own = groups.filter((group) => group.server === server && group.isValid === isValid);
      const [first] = own;
      if (first === undefined) return [];
      const points = own.map((group) => {
        const { x, values } = measure(group);
        const point = { x, y: median(values) };
        return values.length > 1 ? { ...point, low: Math.min(...values), high: Math.max(...values) } : point;
      });
      const name = isValid ? server : `INVALID: ${server}`;
      return [{ name, color: first.color, dash: 0, marks, isValid, points: points.toSorted((a, b) => a.x - b.x) }];
    }),
  );
}
