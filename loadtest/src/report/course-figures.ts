/**
 * The timeline of a run, with two points per second: publications, deliveries, connections, and the resources of the
 * servers.
 */
import type { LoadResult, Moment } from '../load/result.js';
import type { Disturbance } from '../load/workload.js';
import type { Figure, Mark } from './chart.js';
import { type Group, notesOn, type Section } from './group.js';
import { count } from './load-table.js';

export interface Course {
  readonly run: string;
  /** Whether something happened in it: then it is shown at once, else on demand. */
  readonly isEventful: boolean;
  readonly figures: readonly Figure[];
  /** Notes on the validity of all figures. */
  readonly notes: readonly string[];
}

interface Panel {
  readonly key: string;
  readonly title: string;
  readonly unit: string;
  readonly isShown: (rounds: readonly LoadResult[]) => boolean;
  /** Null if the value is unknown. */
  readonly read: (moment: Moment) => number | null;
}

const panels: readonly Panel[] = [
  {
    key: 'published',
    title: 'Published',
    unit: 'publications a second',
    isShown: (rounds) => rounds.some(({ workload }) => workload.perSecond > 0),
    read: ({ publishedPerSecond }) => publishedPerSecond,
  },
  {
    key: 'delivered',
    title: 'Delivered',
    unit: 'deliveries a second',
    isShown: (rounds) => rounds.some(({ workload }) => workload.perSecond > 0),
    read: ({ deliveriesPerSecond }) => deliveriesPerSecond,
  },
  {
    key: 'connected',
    title: 'Connected',
    unit: 'subscribing connections',
    isShown: () => true,
    read: ({ connected }) => connected,
  },
  {
    key: 'cpu',
    title: 'Server CPU',
    unit: '% of one CPU',
    isShown: (rounds) => rounds.some(({ serverCpuUs }) => serverCpuUs !== null),
    read: ({ serverCpu }) => (serverCpu === null ? null : serverCpu * 100),
  },
];

/** Two points are not a timeline. */
const leastMoments = 3;

export function coursesOf(section: Section): readonly Course[] {
  return section.runs.flatMap((run, index) => {
    const groups = section.groups.filter(
      (group) => group.run === run && group.rounds.some(({ moments }) => moments.length >= leastMoments),
    );
    if (groups.length === 0) return [];
    const rounds = groups.flatMap((group) => group.rounds);
    const marks = rounds[0] === undefined ? [] : marksOf(rounds[0]);
    return [
      {
        run,
        isEventful: rounds.some(({ workload }) => workload.disturbances.length > 0),
        figures: panels
          .filter(({ isShown }) => isShown(rounds))
          .map((panel) => figureOf(panel, groups, marks, `course-${section.scenario}-${index}`)),
        notes: notesOn(groups),
      },
    ];
  });
}

function figureOf(panel: Panel, groups: readonly Group[], marks: readonly Mark[], id: string): Figure {
  const series = groups
    .flatMap((group) =>
      group.rounds.map((round, index) => ({
        name: `${group.isValid ? '' : 'INVALID: '}${group.server}${group.rounds.length > 1 ? `, round ${index + 1}` : ''}`,
        color: group.color,
        dash: index,
        marks: 'full' as const,
        isValid: group.isValid,
        points: round.moments.flatMap((moment) => {
          const y = panel.read(moment);
          return y === null ? [] : [{ x: moment.atSeconds, y }];
        }),
      })),
    )
    .filter(({ points }) => points.length > 0);
  return {
    chart: {
      id: `${id}-${panel.key}`,
      shape: 'lines',
      title: panel.title,
      x: { title: 'since the measured time began, s', scale: 'linear' },
      y: { title: panel.unit, scale: 'linear' },
      categories: [],
      series,
      marks,
    },
    about: '',
    notes: [],
    numbers: {
      head: ['server and round', 'lowest', 'highest', 'last'],
      rows: series.map(({ name, points }) => {
        const values = points.map(({ y }) => y);
        return [name, Math.min(...values), Math.max(...values), values.at(-1) ?? 0].map((value) =>
          typeof value === 'string' ? value : count(value),
        );
      }),
    },
  };
}

function marksOf({ workload: { disturbances, seconds } }: LoadResult): readonly Mark[] {
  return [...disturbances.flatMap(markOf), { from: seconds, to: seconds, label: 'end of the load' }];
}

function markOf(disturbance: Disturbance): readonly Mark[] {
  switch (disturbance.name) {
    case 'storm':
      return [{ from: disturbance.atSeconds, to: disturbance.atSeconds, label: 'connections break' }];
    case 'stall':
      return [{ from: disturbance.atSeconds, to: disturbance.atSeconds, label: 'subscribers stop reading' }];
    case 'absence':
      return [{ from: disturbance.atSeconds, to: disturbance.atSeconds + disturbance.seconds, label: 'away' }];
    // These happen during the whole run.
    case 'churn':
    case 'resubscribe':
      return [];
  }
}
