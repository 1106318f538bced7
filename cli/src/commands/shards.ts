/** `fanfare shards`: which Redis holds which topics, and how to add and remove one while the nodes run. */
import { untilStopped } from '@fanfare/kit/stop-signal';
import { type Command, Option } from 'commander';
import { declare } from '../command.js';
import { Failure, Stopped, UsageFailure } from '../failure.js';
import { isMissing } from '../missing-package.js';
import { counted, note, Progress, writeLine } from '../output.js';

interface Options {
  readonly redis?: string;
  readonly dryRun?: true;
}

type ShardsModule = typeof import('@fanfare/broker/shards');
type Change = Parameters<ShardsModule['changeShards']>[1];

export function shardsCommand(): Command {
  return declare(
    'shards',
    'Show or change which shard holds which topics, for nodes with a list of Redis servers (redis+shards://).',
    [
      { command: 'fanfare shards list', about: 'the shards and their partitions; the list is in FANFARE_REDIS_URL' },
      { command: 'fanfare shards add redis-3:6379 --dry-run', about: 'which partitions would move to a new shard' },
      {
        command: 'fanfare shards add redis-3:6379',
        about: 'moves them, after all nodes were started with redis-3 in the list',
      },
    ],
  )
    .addCommand(listCommand())
    .addCommand(statusCommand())
    .addCommand(addCommand())
    .addCommand(removeCommand())
    .addCommand(moveCommand())
    .addCommand(renameCommand());
}

function listCommand(): Command {
  return withRedis('list', 'List the shards and their partitions.', [
    { command: 'fanfare shards list', about: 'a line for each shard' },
  ]).action((options: Options) =>
    carryOut(async ({ listShards }) => {
      for (const line of await listShards(urlOf(options))) await writeLine(line);
    }),
  );
}

function statusCommand(): Command {
  return withRedis('status', 'Check that all shards and nodes have the same map, and that no move is unfinished.', [
    { command: 'fanfare shards status', about: 'exit code 1 if something is wrong' },
  ]).action((options: Options) =>
    carryOut(async ({ statusOf }) => {
      const { lines, problems } = await statusOf(urlOf(options));
      for (const line of lines) await writeLine(line);
      if (problems.length > 0) throw new Failure(problems.join('\n'));
    }),
  );
}

function addCommand(): Command {
  return changing(
    'add',
    'Move partitions to a shard until all shards have equal numbers. Continues what was interrupted.',
    [{ command: 'fanfare shards add redis-3:6379', about: 'after all nodes have it in FANFARE_REDIS_URL' }],
  )
    .argument('<shard>', 'its name, as in the list: host:port, or host:port,host:port/master with Sentinels')
    .action((shard: string, options: Options) => change({ name: 'add', shard }, options));
}

function removeCommand(): Command {
  return changing(
    'remove',
    'Move all partitions of a shard to the others, each to the one with fewest. Continues what was interrupted.',
    [{ command: 'fanfare shards remove redis-3:6379', about: 'after it, remove the shard from FANFARE_REDIS_URL' }],
  )
    .argument('<shard>', 'its name, as in the list')
    .action((shard: string, options: Options) => change({ name: 'remove', shard }, options));
}

function moveCommand(): Command {
  return changing('move', 'Move certain partitions to a shard.', [
    { command: 'fanfare shards move 0-3,17 redis-2:6379', about: 'for example away from a busy shard' },
  ])
    .argument('<partitions>', 'numbers and ranges, such as 0-3,17')
    .argument('<shard>', 'the name of the new shard, as in the list')
    .action((partitions: string, shard: string, options: Options) =>
      change({ name: 'move', partitions, shard }, options),
    );
}

function renameCommand(): Command {
  return withRedis('rename', 'Give a shard another name, such as a new host name of the same Redis.', [
    {
      command: 'fanfare shards rename redis-2:6379 redis-b:6379',
      about: 'after it, write redis-b:6379 instead of redis-2:6379 in FANFARE_REDIS_URL',
    },
  ])
    .argument('<shard>', 'its name, as in the list')
    .argument('<name>', 'the new name: host:port, or host:port,host:port/master with Sentinels')
    .action((from: string, to: string, options: Options) =>
      carryOut(async ({ rename }) => {
        await rename(urlOf(options), from, to);
        note(`${from} is called ${to} now. Write ${to} instead in FANFARE_REDIS_URL of all nodes, and restart them.`);
      }),
    );
}

function withRedis(...declared: Parameters<typeof declare>): Command {
  return declare(...declared).addOption(
    new Option('--redis <url>', 'all shards, as in FANFARE_REDIS_URL of the nodes').env('FANFARE_REDIS_URL'),
  );
}

function changing(...declared: Parameters<typeof declare>): Command {
  return withRedis(...declared).option(
    '--dry-run',
    'print what would move, unfinished moves first, and change nothing',
  );
}

function change(what: Change, options: Options): Promise<void> {
  return carryOut(async ({ changeShards }) => {
    const stopping = new AbortController();
    let stopCode = 0;
    void untilStopped().then((code) => {
      note('Stopping after this partition. Press Ctrl+C again to stop at once; run the command again to continue.');
      stopCode = code;
      stopping.abort();
    });
    const isDryRun = options.dryRun === true;
    const progress = new Progress();
    try {
      const moves = await changeShards(urlOf(options), what, {
        isDryRun,
        onUnfinished: ({ partition, from, to }) =>
          note(`Partition ${partition} is moving from ${from} to ${to} already. The command ends this move first.`),
        signal: stopping.signal,
        onStep: (partition, step) => progress.show(() => `Partition ${partition}: ${step}`),
        onMoved: (line) => {
          progress.end();
          note(line);
        },
      });
      if (isDryRun) for (const { partition, from, to } of moves) await writeLine(`${partition}  ${from} -> ${to}`);
      note(resultOf(what, new Set(moves.map(({ partition }) => partition)).size, isDryRun));
    } catch (error) {
      throw stopping.signal.aborted ? new Stopped(stopCode, (error as Error).message) : error;
    } finally {
      progress.end();
    }
  });
}

function resultOf({ name, shard }: Change, moved: number, isDryRun: boolean): string {
  if (isDryRun) return `${counted(moved, 'partition')} would move.`;
  if (name === 'remove') return `${shard} has no partitions now. Remove it from FANFARE_REDIS_URL of all nodes.`;
  return moved === 0 ? 'Nothing to move.' : `${counted(moved, 'partition')} moved to ${shard}.`;
}

function urlOf({ redis }: Options): string {
  if (redis !== undefined && redis !== '') return redis;
  // The nodes may have it in a file: then the broker's package reads it.
  if (!process.env['FANFARE_REDIS_URL_FILE'])
    throw new UsageFailure('No Redis is given. Pass --redis, or set FANFARE_REDIS_URL as for the nodes.');
  return '';
}

async function carryOut(action: (broker: ShardsModule) => Promise<void>): Promise<void> {
  const broker = await import('@fanfare/broker/shards').catch((error: unknown) => {
    if (!isMissing('@fanfare/broker', error)) throw error;
    throw new Failure(
      'This command needs the package @fanfare/broker, which is not installed. Install it next to @fanfare/cli.',
    );
  });
  try {
    await action(broker);
  } catch (error) {
    throw error instanceof broker.ShardsUsageError ? new UsageFailure(error.message) : error;
  }
}
