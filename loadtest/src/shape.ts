/** The shapes of traffic that `fanout` measures. */
import type { Run } from './crowd.js';

/** Publications of a burst. */
const burstPublications = 64;

/**
 * Offered deliveries per second, well below what the servers can do: what is measured is what a delivery costs, and each
 * burst is to be a flush of its own.
 */
const singleDeliveriesPerSecond = 40_000;
const burstDeliveriesPerSecond = 640_000;

/** Few subscribers would make the rate absurd. */
const maxBurstsPerSecond = 200;

export interface Shape {
  readonly title: string;
  /** Topic of the crowd: `many` has all subscribers, `one` has one. */
  readonly topic: 'many' | 'one';
  plan(subscribers: number): Omit<Run, 'seconds'>;
}

export const shapeNames = ['one-to-one', 'single', 'burst', 'packed-burst'] as const;
export type ShapeName = (typeof shapeNames)[number];

export const shapes: Readonly<Record<ShapeName, Shape>> = {
  'one-to-one': {
    title: 'one publication to one subscriber, the next when it has arrived',
    topic: 'one',
    plan: () => ({ burst: 1, packing: 'frames', burstsPerSecond: null }),
  },
  single: {
    title: 'one publication at a time to all subscribers',
    topic: 'many',
    plan: (subscribers) => ({
      burst: 1,
      packing: 'frames',
      burstsPerSecond: Math.min(maxBurstsPerSecond, singleDeliveriesPerSecond / subscribers),
    }),
  },
  burst: {
    title: `bursts of ${burstPublications}, as ${burstPublications} WebSocket frames in one write`,
    topic: 'many',
    plan: (subscribers) => ({ burst: burstPublications, packing: 'frames', burstsPerSecond: burstRate(subscribers) }),
  },
  'packed-burst': {
    title: `bursts of ${burstPublications}, in one WebSocket frame`,
    topic: 'many',
    plan: (subscribers) => ({ burst: burstPublications, packing: 'oneFrame', burstsPerSecond: burstRate(subscribers) }),
  },
};

function burstRate(subscribers: number): number {
  return Math.min(maxBurstsPerSecond, burstDeliveriesPerSecond / subscribers / burstPublications);
}
