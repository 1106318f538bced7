/** The process of a shard. */
import { serve } from '@fanfare/kit/worker';
import { type Progress, Shard } from './shard.js';
import type { ShardCommands } from './shard-process.js';

const progressMs = 250;

let shard: Shard | null = null;

const report = serve<ShardCommands, Progress>({
  open: async (plan) => {
    shard = new Shard(plan);
    await shard.open();
    return null;
  },
  run: ({ startUs, seconds, isMeasured, isSilent }) => opened().run(startUs, seconds, isMeasured, isSilent),
  settle: ({ published, timeoutMs }) => opened().settle(published, timeoutMs),
});

function opened(): Shard {
  if (shard === null) throw new Error('The shard was not opened.');
  return shard;
}

setInterval(() => {
  if (shard !== null) report(shard.progress);
}, progressMs).unref();
