/** A shard as its parent sees it: a process with its own sockets, CPU and source address. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from '@fanfare/kit/worker';
import type { Progress, RunReport, SettleReport, ShardPlan } from './shard.js';

export type ShardCommands = {
  open: [ShardPlan, null];
  run: [
    { readonly startUs: number; readonly seconds: number; readonly isMeasured: boolean; readonly isSilent?: boolean },
    RunReport,
  ];
  settle: [{ readonly published: Float64Array; readonly timeoutMs: number }, SettleReport];
};

/** Next to this file in `dist` and in the package @fanfare/cli. Tests run the sources, which start the built file. */
const [built, fromSources] = ['./shard-main.js', '../../dist/load/shard-main.js'].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
) as [string, string];
const main = existsSync(built) ? built : fromSources;

export class ShardProcess extends Worker<ShardCommands, Progress> {
  /** At most a quarter of a second old. */
  progress: Progress = { published: 0, deliveries: 0, connected: 0 };

  constructor() {
    super(main, 'A generator process');
    this.onNotice = (progress) => {
      this.progress = progress;
    };
  }
}
