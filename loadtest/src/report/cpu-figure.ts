/** Server CPU for each delivery, servers side by side. */
import { median } from '@fanfare/kit/median';
import type { Figure } from './chart.js';
import { type Group, notesOn, type Section } from './group.js';
import { seriesOfServers } from './server-series.js';

export function cpuFigures(section: Section): readonly Figure[] {
  const groups = section.groups.filter((group) => costsOf(group).length > 0);
  if (groups.length === 0) return [];
  const runs = section.runs.filter((run) => groups.some((group) => group.run === run));
  const series = seriesOfServers(section, groups, 'none', (group) => ({
    x: runs.indexOf(group.run),
    values: costsOf(group),
  }));
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
