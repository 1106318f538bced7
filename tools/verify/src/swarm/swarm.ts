/** Subscribers in a process of their own, as the checker sees them: many clients would keep one process too busy. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { within } from '@fanfare/kit/within';
import type { VerifyTopic } from '../checker/numbered.js';
import type { LedgerEntries } from '../checker/publish-ledger.js';
import type { GroupReport, NumberOfStream, Patience, SubscriberGroup } from '../checker/subscriber-group.js';

export interface SwarmOptions {
  /** For examples. */
  readonly name: string;
  readonly clients: number;
  /** Ports of the nodes; all clients go to the first one while it accepts them, then to the others in turn. */
  readonly ports: readonly number[];
  /** Each client subscribes to one of them. */
  readonly topics: readonly { readonly topic: VerifyTopic; readonly streams: readonly number[] }[];
}

/** When clients had their subscriptions back, from the fault's beginning. */
export interface Resumption {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** What each command is given, and what its answer brings. */
export interface SwarmCommands {
  open: [SwarmOptions, null];
  loadBegins: [null, null];
  faultBegins: [null, null];
  faultEnds: [null, null];
  resumption: [null, Resumption];
  catchUp: [{ readonly targets: readonly (readonly [number, number])[]; readonly patience: Patience }, boolean];
  judge: [readonly (readonly [number, LedgerEntries])[], GroupReport];
}

export type SwarmCommandName = keyof SwarmCommands;

export interface SwarmCommand<Name extends SwarmCommandName = SwarmCommandName> {
  readonly id: number;
  readonly name: Name;
  readonly given: SwarmCommands[Name][0];
}

export type SwarmMessage =
  | { readonly type: 'answer'; readonly id: number; readonly answer: unknown }
  | { readonly type: 'failed'; readonly id: number; readonly message: string }
  /** Up to which number all subscribers of a stream have come; sent all the time. */
  | { readonly type: 'progress'; readonly reached: readonly (readonly [number, number])[] };

const main = fileURLToPath(new URL('../../dist/swarm/swarm-main.js', import.meta.url));
const openTimeoutMs = 60_000;
const answerTimeoutMs = 30_000;

export class Swarm implements SubscriberGroup {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<
    number,
    { readonly resolve: (answer: unknown) => void; readonly reject: (error: Error) => void }
  >();
  readonly #ended: Promise<void>;
  #reached: NumberOfStream;
  #lastId = 0;
  #hasEnded = false;

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
    this.#child = fork(main, { execArgv: [] });
    this.#child.on('message', (message: SwarmMessage) => this.#onMessage(message));
    this.#child.on('error', () => {});
    this.#ended = once(this.#child, 'exit').then(() => {
      this.#hasEnded = true;
      for (const { reject } of this.#waiting.values()) reject(new Error('A process of subscribers has ended.'));
    });
  }

  /** From now on publications may come. */
  async loadBegins(): Promise<void> {
    await this.#ask('loadBegins', null);
  }

  faultBegins(): void {
    this.#ask('faultBegins', null).catch(() => {});
  }

  faultEnds(): void {
    this.#ask('faultEnds', null).catch(() => {});
  }

  /** How many clients have had their subscription back since the fault began, and when. */
  resumption(): Promise<Resumption> {
    return this.#ask('resumption', null);
  }

  reached(stream: number): number {
    return this.#reached.get(stream) ?? Number.POSITIVE_INFINITY;
  }

  catchUp(targets: NumberOfStream, patience: Patience): Promise<boolean> {
    return this.#ask('catchUp', { targets: [...targets], patience }, patience.maxMs + answerTimeoutMs);
  }

  judge(ledgers: ReadonlyMap<number, LedgerEntries>): Promise<GroupReport> {
    return this.#ask('judge', [...ledgers]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasEnded) this.#child.kill('SIGKILL');
    await this.#ended;
  }

  async #ask<Name extends SwarmCommandName>(
    name: Name,
    given: SwarmCommands[Name][0],
    timeoutMs = answerTimeoutMs,
  ): Promise<SwarmCommands[Name][1]> {
    const id = ++this.#lastId;
    const answer = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    if (this.#hasEnded) throw new Error('A process of subscribers has ended.');
    this.#child.send({ id, name, given } satisfies SwarmCommand<Name>);
    try {
      return (await within(
        timeoutMs,
        answer,
        `A process of subscribers did not answer "${name}"`,
      )) as SwarmCommands[Name][1];
    } finally {
      this.#waiting.delete(id);
    }
  }

  #onMessage(message: SwarmMessage): void {
    if (message.type === 'progress') this.#reached = new Map(message.reached);
    else if (message.type === 'answer') this.#waiting.get(message.id)?.resolve(message.answer);
    else this.#waiting.get(message.id)?.reject(new Error(message.message));
  }
}
