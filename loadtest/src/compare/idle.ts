/** The cost of an idle subscriber: the growth of the server's memory, divided by the subscribers that were added. */
import { readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Disposables } from '@fanfare/kit/disposables';
import { readMemory } from '@fanfare/kit/process-usage';
import type { Deployment } from '../load/deployment.js';
import { ShardProcess } from '../load/shard-process.js';
import { defaultWorkload } from '../load/workload.js';
import type { Show } from '../runs/load-command.js';
import { servers } from '../servers/servers.js';

/** The first connections cause allocations that a process makes once: they stay, and are not counted. */
const uncountedSubscribers = 2_000;

/** About 8 s after its last work, V8 releases megabytes of memory that it had kept for more work. */
const settleMs = 12_000;

/** One collection may leave memory that only the next collection releases. */
const collections = 3;
const collectionMs = 500;

/** The environment of a Node process that is to collect its garbage on SIGUSR2 (collect-on-signal.ts). */
const collectOnSignal: Readonly<Record<string, string>> = {
  NODE_OPTIONS: `--expose-gc --import=${new URL('../../dist/compare/collect-on-signal.js', import.meta.url).href}`,
};

export interface IdleSample {
  readonly round: number;
  readonly server: string;
  /** Of anonymous memory: RSS without files. */
  readonly bytesPerSubscriber: number;
}

/** All servers at once: they idle, so they do not disturb each other, and most of the time is waiting. */
export async function measureIdle(
  names: readonly string[],
  { rounds, idleSubscribers }: { readonly rounds: number; readonly idleSubscribers: number },
  show: Show,
): Promise<readonly IdleSample[]> {
  const samples: IdleSample[] = [];
  const present: string[] = [];
  for (const name of names) if ((await servers[name]?.missing()) === null) present.push(name);
  for (let round = 1; round <= rounds; round++) {
    show.line(`idle subscribers: round ${round} of ${rounds}`);
    await using parts = new Disposables();
    const subjects: { readonly name: string; readonly deployment: Deployment }[] = [];
    for (const name of present) {
      const kind = servers[name];
      if (kind !== undefined)
        subjects.push({ name, deployment: parts.use(await kind.start({ nodes: 1, env: collectOnSignal })) });
    }
    for (const { name, deployment } of subjects) await open(parts, name, deployment, uncountedSubscribers);
    const before = await readSettled(subjects);
    for (const { name, deployment } of subjects) await open(parts, name, deployment, idleSubscribers);
    const after = await readSettled(subjects);
    for (const [index, { name }] of subjects.entries()) {
      const grown = (after[index] ?? 0) - (before[index] ?? 0);
      samples.push({ round, server: name, bytesPerSubscriber: grown / idleSubscribers });
    }
  }
  return samples;
}

async function open(parts: Disposables, name: string, { targets }: Deployment, subscribers: number): Promise<void> {
  const protocol = servers[name]?.protocol;
  if (protocol === undefined) return;
  const workload = { ...defaultWorkload, subscribers };
  const plan = { workload, targets, protocol, isTyped: false, shard: 0, shards: 1, localAddress: null };
  await parts.use(new ShardProcess()).ask('open', plan);
}

async function readSettled(subjects: readonly { readonly deployment: Deployment }[]): Promise<number[]> {
  const processes = subjects.map(({ deployment }) => deployment.processes.filter(({ role }) => role === 'server'));
  await collect(processes.flat());
  await delay(settleMs);
  await collect(processes.flat());
  return await Promise.all(
    processes.map(async (own) => {
      const memories = await Promise.all(own.map(({ pid }) => readMemory(pid)));
      return memories.reduce((sum, { anonymousBytes }) => sum + anonymousBytes, 0);
    }),
  );
}

async function collect(processes: readonly { readonly pid: number }[]): Promise<void> {
  // Send the signal only to Node processes. It would end all others.
  const nodes: number[] = [];
  for (const { pid } of processes) if (basename(await readlink(`/proc/${pid}/exe`)) === 'node') nodes.push(pid);
  for (let collection = 0; collection < collections; collection++) {
    for (const pid of nodes) process.kill(pid, 'SIGUSR2');
    await delay(collectionMs);
  }
}
