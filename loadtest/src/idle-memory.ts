/** What an idle subscriber costs a server: how much memory it grows by, divided by the subscribers that it grew for. */
import { setTimeout as delay } from 'node:timers/promises';
import { collectOnSignal, type Server, type Variant } from './driver.js';
import { GeneratorProcess } from './generator-process.js';
import { type Memory, readMemory } from './process-usage.js';

/** The first connections also pay for what a process allocates once: they stay, and are not counted. */
const uncountedSubscribers = 2_000;

/** Some 8 s after its last work, V8 gives back memory that it had kept in case of more: megabytes. */
const settleMs = 12_000;

/** A collection may leave it to the next one to give memory back. */
const collections = 3;
const collectionMs = 500;

export interface IdleMemoryOptions {
  readonly idleSubscribers: number;
  readonly publicationBytes: number;
}

export interface MemorySample {
  readonly round: number;
  readonly variant: string;
  /** Whether all subscribers have one topic or each its own. */
  readonly topics: 'shared' | 'own';
  readonly perSubscriber: Memory;
}

/** All servers at once: they idle, so they do not disturb each other, and most of the time is waiting. */
export async function measureIdleMemory(
  variants: readonly Variant[],
  round: number,
  { idleSubscribers, publicationBytes }: IdleMemoryOptions,
): Promise<MemorySample[]> {
  const subjects: Subject[] = [];
  try {
    for (const variant of variants) {
      for (const topics of ['shared', 'own'] as const) {
        const server = await variant.start(collectOnSignal);
        const { port } = server;
        const generator = new GeneratorProcess({ port, wire: variant.wire, publicationBytes, cpu: null });
        subjects.push({ variant, topics, server, generator });
      }
    }
    await openAll(subjects, 'uncounted', uncountedSubscribers);
    const before = await readSettled(subjects);
    await openAll(subjects, 'counted', idleSubscribers);
    const after = await readSettled(subjects);
    return subjects.map(({ variant, topics }, index) => {
      const grown = (kind: keyof Memory): number => (after[index]?.[kind] ?? 0) - (before[index]?.[kind] ?? 0);
      const perSubscriber = {
        rssBytes: grown('rssBytes') / idleSubscribers,
        anonymousBytes: grown('anonymousBytes') / idleSubscribers,
      };
      return { round, variant: variant.name, topics, perSubscriber };
    });
  } finally {
    for (const { generator, server } of subjects) {
      await generator[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    }
  }
}

interface Subject {
  readonly variant: Variant;
  readonly topics: 'shared' | 'own';
  readonly server: Server;
  readonly generator: GeneratorProcess;
}

async function openAll(subjects: readonly Subject[], crowd: string, subscribers: number): Promise<void> {
  for (const { generator, topics } of subjects) {
    const ownTopics = topics === 'own';
    await generator.open({ topic: ownTopics ? `${crowd}-own` : 'many', subscribers, ownTopics });
  }
}

async function readSettled(subjects: readonly Subject[]): Promise<Memory[]> {
  const pids = subjects.map(({ server }) => server.pid);
  await collect(pids);
  await delay(settleMs);
  await collect(pids);
  return await Promise.all(pids.map(readMemory));
}

async function collect(pids: readonly number[]): Promise<void> {
  for (let collection = 0; collection < collections; collection++) {
    for (const pid of pids) process.kill(pid, 'SIGUSR2');
    await delay(collectionMs);
  }
}
