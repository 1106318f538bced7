import { Keys } from '../src/relay/keys.js';
import { defaultPartitions, Partitions } from '../src/relay/partitions.js';
import { topic } from './relay.contract.js';

const partitions = new Partitions(defaultPartitions);

/** The name of a topic in Redis: its stream and its channel. */
export function nameInRedis(name: string, prefix = 'fanfare', database = 0): string {
  return new Keys(prefix, database, partitions).topic(topic(name));
}
