/** Subscribers in a separate process, because many clients would keep the checker's process too busy. */
import { fileURLToPath } from 'node:url';
import { Worker } from '@fanfare/kit/worker';
import type { VerifyTopic } from '../checker/numbered.js';
import type { LedgerEntries } from '../checker/publish-ledger.js';
import type { GroupReport, NumberOfStream, Patience, SubscriberGroup } from '../checker/subscriber-group.js';

export interface SwarmOptions {
  /** Identifies the swarm in examples of findings. */
  readonly name: string;
  readonly clients: number;
  /** Ports of the nodes; all clients go to the first one while it accepts them, then to the others in turn. */
  readonly ports: readonly number[];
  /** Each client subscribes to one of these topics. */
  readonly topics: readonly { readonly topic: VerifyTopic; readonly streams: readonly number[] }[];
}

/** The times at which clients were subscribed again, from the start of the fault. */
interface Resumption {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export type SwarmCommands = {
  open: [SwarmOptions, null];
  loadBegins: [null, null];
  faultBegins: [null, null];
  faultEnds: [null, null];
  resumption: [null, Resumption];
  catchUp: [{ readonly targets: NumberOfStream; readonly patience: Patience }, boolean];
  judge: [ReadonlyMap<number, LedgerEntries>, GroupReport];
};

const main = fileURLToPath(new URL('../../dist/swarm/swarm-main.js', import.meta.url));
const openTimeoutMs = 60_000;
const answerTimeoutMs = 30_000;

export class Swarm implements SubscriberGroup {
  readonly #worker = new Worker<SwarmCommands, NumberOfStream>(main, 'A process of subscribers');
  /** For each stream, the newest publication that all subscribers have received. The process sends it regularly. */
  #reached: NumberOfStream;

  /** Resolves once all clients are subscribed. The load must not have begun. */
  static async open(options: SwarmOptions): Promise<Swarm> {
    const swarm = new Swarm(options);
    try {
      await swarm.#ask('open', options, openTimeoutMs);
      return swarm;
    } catch (error) {
      await swarm[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor({ topics }: SwarmOptions) {
    this.#reached = new Map(topics.flatMap(({ streams }) => streams.map((stream) => [stream, 0] as const)));
    this.#worker.onNotice = (reached) => {
      this.#reached = reached;
    };
  }

  /** From now on, publications may arrive. */
  async loadBegins(): Promise<void> {
    await this.#ask('loadBegins', null);
  }

  faultBegins(): void {
    this.#ask('faultBegins', null).catch(() => {});
  }

  faultEnds(): void {
    this.#ask('faultEnds', null).catch(() => {});
  }

  /** The number of clients that have subscribed again since the fault began, and their times. */
  resumption(): Promise<Resumption> {
    return this.#ask('resumption', null);
  }

  reached(stream: number): number {
    return this.#reached.get(stream) ?? Number.POSITIVE_INFINITY;
  }

  catchUp(targets: NumberOfStream, patience: Patience): Promise<boolean> {
    return this.#ask('catchUp', { targets, patience }, patience.maxMs + answerTimeoutMs);
  }

  judge(ledgers: ReadonlyMap<number, LedgerEntries>): Promise<GroupReport> {
    return this.#ask('judge', ledgers);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#worker[Symbol.asyncDispose]();
  }

  #ask<Name extends keyof SwarmCommands>(
    name: Name,
    input: SwarmCommands[Name][0],
    timeoutMs = answerTimeoutMs,
  ): Promise<SwarmCommands[Name][1]> {
    return this.#worker.ask(name, input, timeoutMs);
  }
}
