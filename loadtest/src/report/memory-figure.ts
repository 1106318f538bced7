/** Memory by number of connections, if it differs between runs. The slope is the cost of a connection. */

import { median } from '@fanfare/kit/median';
import type { Figure } from './chart.js';
import { type Group, notesOn, type Section, unique } from './group.js';
import { count } from './load-table.js';
import { seriesOfServers } from './server-series.js';

const mib = 2 ** 20;

export function memoryFigures(section: Section): readonly Figure[] {
  const groups = section.groups.filter((group) => memoriesOf(group).length > 0);
  if (unique(groups.map(connectionsOf)).length < 2) return [];
  const series = seriesOfServers(section, groups, 'full', (group) => ({
    x: connectionsOf(group),
    values: memoriesOf(group),
  }));
  return [
    {
      chart: {
        id: `memory-${section.scenario}`,
        shape: 'lines',
        title: 'Memory against connections',
        x: { title: 'subscribing connections', scale: 'linear' },
        y: { title: 'resident memory of all servers, MiB', scale: 'linear' },
        categories: [],
        series,
        marks: [],
      },
      about:
        'Resident memory of the server processes at the end of a run, without the kernel’s socket buffers. The slope is what a connection costs. Median of the rounds, lowest to highest as a whisker.',
      notes: notesOn(groups),
      numbers: {
        head: ['server', 'run', 'connections', 'memory, MiB', 'bytes per connection', 'valid'],
        rows: groups.map((group) => [
          group.server,
          group.run,
          count(connectionsOf(group)),
          median(memoriesOf(group)).toFixed(1),
          count(median(group.rounds.flatMap(({ serverBytesPerConnection }) => serverBytesPerConnection ?? []))),
          group.isValid ? 'yes' : 'NO',
        ]),
      },
    },
  ];
}

function connectionsOf({ rounds }: Group): number {
  return rounds[0]?.workload.subscribers ?? 0;
}

function memoriesOf({ rounds }: Group): readonly number[] {
  return rounds.flatMap(({ serverRssBytes }) => (serverRssBytes === null ? [] : [serverRssBytes / mib]));
}
