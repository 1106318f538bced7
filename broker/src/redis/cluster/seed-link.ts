/** A connection that is open only while the node knows no working server of the Redis Cluster. */
import type { Log } from '../../observe/log.js';
import { Link, type LinkEvents, type RedisCounters } from '../redis-link.js';
import type { RedisSettings } from '../redis-options.js';
import { readSlots } from './ask-server.js';
import type { SlotMap } from './slot-map.js';

export class SeedLink extends Link {
  constructor(settings: RedisSettings, log: Log, counters: RedisCounters, events: LinkEvents) {
    super('seed', settings, log, counters, events);
  }

  /** `name`: the name of this server. Logs an error that the server returns, and rejects. */
  slots(name: string): Promise<SlotMap> {
    return readSlots(this, name, () => this.ask('CLUSTER', 'SLOTS'));
  }
}
