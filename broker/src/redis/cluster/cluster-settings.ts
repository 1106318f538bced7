/** How a node connects to the servers of a Redis Cluster. */
import type { RedisSettings } from '../redis-options.js';

export interface ClusterSettings extends RedisSettings {
  /** URLs of some servers, all with the same scheme and login. The others are found through them. */
  readonly seeds: readonly string[];
  readonly durableTimeoutMs: number;
  /** Whether any topic is `durable`. */
  readonly usesDurable: boolean;
}

const authority = /^(rediss?:\/\/(?:[^@/]*@)?)([^@/?]+)/;

/** `host:port` of a URL. */
export function serverOf(url: string): string {
  const host = authority.exec(url)?.[2] ?? '';
  return /:\d+$/.test(host) ? host : `${host}:6379`;
}

/** The settings of the connections to one server: with the scheme and login of the seeds. */
export function settingsFor<Settings extends ClusterSettings>(server: string, settings: Settings): Settings {
  const seed = settings.seeds[0] ?? '';
  return { ...settings, isCluster: true, redisUrl: `${authority.exec(seed)?.[1] ?? 'redis://'}${server}` };
}
