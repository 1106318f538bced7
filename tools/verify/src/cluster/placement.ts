/** How Redis is set up for a run: `--redis`. */

export const placements = ['single', 'sentinel', 'shards', 'sentinel-shards', 'cluster'] as const;
export type Placement = (typeof placements)[number];

/** A master that does not respond for some seconds stays the master: no Sentinel and no Redis Cluster replaces it. */
export const withoutFailover = ['single', 'shards'] as const satisfies readonly Placement[];

/** A replica takes over from a master. */
export const withFailover = ['cluster', 'sentinel', 'sentinel-shards'] as const satisfies readonly Placement[];

/** For reports: each placement in words. */
export const placementNames: Readonly<Record<Placement, string>> = {
  single: 'one Redis',
  sentinel: 'one Redis with two replicas and a Sentinel',
  shards: 'three Redis servers (shards)',
  'sentinel-shards': 'three shards, each with two replicas and a Sentinel',
  cluster: 'a Redis Cluster with three masters',
};
