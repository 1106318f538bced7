/** A connection that is open only while the node knows no working server of the Redis Cluster. */
import type { Log } from '../../observe/log.js';
import { Link, type LinkEvents, type RedisCounters } from '../redis-link.js';
import type { RedisSettings } from '../redis-options.js';
import { SlotMap } from './slot-map.js';

export class SeedLink extends Link {
  constructor(settings: RedisSettings, log: Log, counters: RedisCounters, events: LinkEvents) {
    super('seed', settings, log, counters, events);
  }

  /** `name`: the name of this server. Logs an error that the server returns, and rejects. */
  async slots(name: string): Promise<SlotMap> {
    try {
      return SlotMap.read(await this.ask('CLUSTER', 'SLOTS'), name);
    } catch (error) {
      if (this.isReady) this.report(error as Error);
      throw error;
    }
  }
}
