/** Server CPU for each delivery, servers side by side. */
import { median } from '@fanfare/kit/median';
import type { Figure } from './chart.js';
import { type Group, notesOn, type Section } from './group.js';

export function cpuFigures(section: Section): readonly Figure[] {
  const groups = section.groups.filter((group) => costsOf(group).length > 0);
  if (groups.length === 0) return [];
  const runs = section.runs.filter((run) => groups.some((group) => group.run === run));
  const pointOf = (group: Group) => {
    const costs = costsOf(group);
    const [low, high] = [Math.min(...costs), Math.max(...costs)];
    const point = { x: runs.indexOf(group.run), y: median(costs) };
    return costs.length > 1 ? { ...point, low, high } : point;
  };
  const series = section.servers.flatMap((server) =>
    [true, false].flatMap((isValid) => {
      const own = groups.filter((group) => group.server === server && group.isValid === isValid);
      const [first] = own;
      if (first === undefined) return [];
      const name = isValid ? server : `INVALID: ${server}`;
      return [{ name, color: first.color, dash: 0, marks: 'none' as const, isValid, points: own.map(pointOf) }];
    }),
  );
  return [
    {
      chart: {
        id: `cpu-${section.scenario}`,
        shape: 'bars',
        title: 'Server CPU for each delivery',
        x: { title: 'run', scale: 'categories' },
        y: { title: 'CPU time for each delivery, µs', scale: 'linear' },
        categories: runs,
        series,
        marks: [],
      },
      about:
        'CPU time of all server processes, divided by the deliveries. Median of the rounds, lowest to highest as a whisker. Less is better.',
      notes: notesOn(groups),
      numbers: {
        head: ['server', 'run', 'median, µs', 'lowest, µs', 'highest, µs', 'rounds', 'valid'],
        rows: groups.map((group) => {
          const costs = costsOf(group);
          const figures = [median(costs), Math.min(...costs), Math.max(...costs)].map((cost) => cost.toFixed(3));
          return [group.server, group.run, ...figures, String(costs.length), group.isValid ? 'yes' : 'NO'];
        }),
      },
    },
  ];
}

function costsOf({ rounds }: Group): readonly number[] {
  return rounds.flatMap(({ serverCpuUsPerDelivery }) => serverCpuUsPerDelivery ?? []);
}
