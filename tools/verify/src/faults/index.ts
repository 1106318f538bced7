/** All faults, in the order in which `--fault all` tries them. */

import { largeSlotMoved, replicaMoved, slotMoved } from './cluster-faults.js';
import type { Fault } from './fault.js';
import {
  clockBack,
  flushallInRollingRestart,
  newNodeAtRestart,
  redisRestartAfterKill,
  redisSnapshot,
  scriptFlushDistant,
} from './lost-state-faults.js';
import { clientFaults, redisLinkFaults } from './network-faults.js';
import { killNode, none, pauseNode, rollingRestart } from './node-faults.js';
import { killPubsub, outputBuffer } from './pubsub-faults.js';
import {
  masterKilled,
  plannedFailover,
  redisFailover,
  redisFailoverBehind,
  redisFlushall,
  redisHang,
  redisPause,
  redisReadonly,
  redisRestartAof,
  redisRestartEmpty,
  redisSleep,
  redisStop,
  scriptFlush,
} from './redis-faults.js';
import { shardAdded, shardHung, shardRemoved, shardsCommandKilled } from './shard-faults.js';
import { stalledStream, stalledSubscriber, storm } from './swarm-faults.js';

export const faults: readonly Fault[] = [
  none,
  killNode,
  pauseNode,
  rollingRestart,
  redisRestartAof,
  redisRestartEmpty,
  redisFlushall,
  redisHang,
  redisFailover,
  redisFailoverBehind,
  redisPause,
  redisSleep,
  redisStop,
  redisReadonly,
  scriptFlush,
  scriptFlushDistant,
  redisRestartAfterKill,
  redisSnapshot,
  clockBack,
  newNodeAtRestart,
  plannedFailover,
  flushallInRollingRestart,
  killPubsub,
  outputBuffer,
  ...redisLinkFaults,
  ...clientFaults,
  storm,
  stalledSubscriber,
  stalledStream,
  shardHung,
  shardAdded,
  shardRemoved,
  shardsCommandKilled,
  slotMoved,
  largeSlotMoved,
  masterKilled,
  replicaMoved,
];
