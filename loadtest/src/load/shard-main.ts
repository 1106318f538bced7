/** The process of a shard: does as its parent says. */
import { Shard } from './shard.js';
import type { ShardAnswer, ShardCommand } from './shard-process.js';

const progressMs = 250;

let shard: Shard | null = null;

async function carryOut(command: ShardCommand): Promise<ShardAnswer> {
  if (command.name === 'open') {
    shard = new Shard(command.plan);
    await shard.open();
    return { name: 'done', report: null };
  }
  if (shard === null) throw new Error('The shard was not opened.');
  if (command.name === 'run') {
    return { name: 'done', report: await shard.run(command.startUs, command.seconds, command.isMeasured) };
  }
  return { name: 'done', report: await shard.settle(command.published, command.timeoutMs) };
}

function answer(message: ShardAnswer): void {
  process.send?.(message);
}

process.on('message', (command: ShardCommand) => {
  carryOut(command).then(answer, (error: Error) => answer({ name: 'failed', message: error.message }));
});

// The parent is gone: so is the reason to be here.
process.on('disconnect', () => process.exit());

// Ctrl+C reaches it too; its parent says what follows from that.
process.on('SIGINT', () => {});

setInterval(() => {
  if (shard !== null) answer({ name: 'progress', progress: shard.progress });
}, progressMs).unref();
