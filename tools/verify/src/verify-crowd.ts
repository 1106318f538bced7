/** Subscribers in a process of their own, as the checker sees them: many clients would keep one process too busy. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { within } from '@fanfare/kit/within';
import type { Audience, AudienceReport, NumberOfLane, Patience } from './audience.js';
import type { LedgerEntries } from './ledger.js';
import type { VerifyTopic } from './numbered.js';

export interface VerifyCrowdOptions {
  /** For examples. */
  readonly name: string;
  readonly clients: number;
  /** Ports of the nodes; all clients go to the first one while it accepts them, then to the others in turn. */
  readonly ports: readonly number[];
  /** Each client subscribes to one of them. */
  readonly topics: readonly { readonly topic: VerifyTopic; readonly lanes: readonly number[] }[];
}

/** When clients had their subscriptions back, from the fault's beginning. */
export interface Resumption {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** What each command is given, and what its answer brings. */
export interface CrowdCommands {
  open: [VerifyCrowdOptions, null];
  loadBegins: [null, null];
  faultBegins: [null, null];
  faultEnds: [null, null];
  resumption: [null, Resumption];
  catchUp: [{ readonly targets: readonly (readonly [number, number])[]; readonly patience: Patience }, boolean];
  judge: [readonly (readonly [number, LedgerEntries])[], AudienceReport];
}

export type CrowdCommandName = keyof CrowdCommands;

export interface CrowdCommand<Name extends CrowdCommandName = CrowdCommandName> {
  readonly id: number;
  readonly name: Name;
  readonly given: CrowdCommands[Name][0];
}

export type CrowdMessage =
  | { readonly type: 'answer'; readonly id: number; readonly answer: unknown }
  | { readonly type: 'failed'; readonly id: number; readonly message: string }
  /** Up to which number all subscribers of a lane have come; sent all the time. */
  | { readonly type: 'progress'; readonly reached: readonly (readonly [number, number])[] };

const main = fileURLToPath(new URL('../dist/verify-crowd-main.js', import.meta.url));
const openTimeoutMs = 60_000;
const answerTimeoutMs = 30_000;

export class VerifyCrowd implements Audience {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<
    number,
    { readonly resolve: (answer: unknown) => void; readonly reject: (error: Error) => void }
  >();
  readonly #ended: Promise<void>;
  #reached: NumberOfLane;
  #lastId = 0;
  #hasEnded = false;

  /** Resolves once all clients are subscribed. The load must not have begun. */
  static async open(options: VerifyCrowdOptions): Promise<VerifyCrowd> {
    const crowd = new VerifyCrowd(options);
    try {
      await crowd.#ask('open', options, openTimeoutMs);
      return crowd;
    } catch (error) {
      await crowd[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor({ topics }: VerifyCrowdOptions) {
    this.#reached = new Map(topics.flatMap(({ lanes }) => lanes.map((lane) => [lane, 0] as const)));
    this.#child = fork(main, { execArgv: [] });
    this.#child.on('message', (message: CrowdMessage) => this.#onMessage(message));
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

  reached(lane: number): number {
    return this.#reached.get(lane) ?? Number.POSITIVE_INFINITY;
  }

  catchUp(targets: NumberOfLane, patience: Patience): Promise<boolean> {
    return this.#ask('catchUp', { targets: [...targets], patience }, patience.maxMs + answerTimeoutMs);
  }

  judge(ledgers: ReadonlyMap<number, LedgerEntries>): Promise<AudienceReport> {
    return this.#ask('judge', [...ledgers]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasEnded) this.#child.kill('SIGKILL');
    await this.#ended;
  }

  async #ask<Name extends CrowdCommandName>(
    name: Name,
    given: CrowdCommands[Name][0],
    timeoutMs = answerTimeoutMs,
  ): Promise<CrowdCommands[Name][1]> {
    const id = ++this.#lastId;
    const answer = new Promise<unknown>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    if (this.#hasEnded) throw new Error('A process of subscribers has ended.');
    this.#child.send({ id, name, given } satisfies CrowdCommand<Name>);
    try {
      return (await within(
        timeoutMs,
        answer,
        `A process of subscribers did not answer "${name}"`,
      )) as CrowdCommands[Name][1];
    } finally {
      this.#waiting.delete(id);
    }
  }

  #onMessage(message: CrowdMessage): void {
    if (message.type === 'progress') this.#reached = new Map(message.reached);
    else if (message.type === 'answer') this.#waiting.get(message.id)?.resolve(message.answer);
    else this.#waiting.get(message.id)?.reject(new Error(message.message));
  }
}
