/**
 * Finds out whether Redis still holds what the nodes stored there. A node asks after each new connection, and whenever a script finds another
 * generation than the one that the node knows (lua/recover.lua). If something may be lost, all nodes restore what they remember before anything
 * is published again.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Position, Topic } from '@fanfare/protocol';
import type { Log } from '../observe/log.js';
import type { ScriptCall } from '../redis/redis.js';
import { lifeMs, type TopicPolicies } from '../topics/policy.js';
import { type Generation, type GenerationSource, parseGeneration } from './generation.js';
import type { Keys } from './keys.js';
import { signSlackMs, toleratedLossMs } from './memory-times.js';
import type { LoggedEntry, PublishLog } from './publish-log.js';
import type { PublishScript } from './publish-script.js';
import { scripts } from './scripts.js';
import { decodeEntry, messageIdsOf, type PlacedId, type StreamEntry } from './stream-entry.js';

export interface RecoverySettings {
  readonly nodeId: string;
  readonly topics: TopicPolicies;
  readonly idempotencyWindowSeconds: number;
  readonly newNodeWaitMs: number;
}

/** The connection, as this file needs it. */
export interface RecoveryLink {
  readonly isReady: boolean;
  evaluate(calls: readonly ScriptCall[]): Promise<readonly unknown[]>;
  load(scripts: readonly ScriptCall['script'][]): Promise<void>;
}

/** A topic that this node listens to, and what it remembers of it. */
export interface RememberedTopic {
  readonly topic: Topic;
  readonly position: Position;
  /** Offset after which the epoch of the position began; null if the node does not know. */
  readonly begunAt: number | null;
  readonly cache: { readonly entries: readonly StreamEntry[] };
}

/**
 * What is known of the generation that Redis serves now. `first`: this node knew none before. `same`: nothing was lost. `restored`: it is another
 * one, and this node has restored what it remembered. `missed`: it is another one, and the other nodes began it without this one.
 */
export type GenerationChange = 'first' | 'same' | 'restored' | 'missed';

export interface RecoveryOwner {
  /** The nodes that this one knows, as lua/recover.lua takes them. */
  nodes(): readonly (string | number)[];
  /** The newest clock that Redis has returned (lua/heartbeat.lua), in ms, 0 before the first; and when it was asked, by performance.now(). */
  clock(): { readonly ms: number; readonly askedAt: number };
  listened(): Iterable<RememberedTopic>;
  /** Whether it receives what is published to these topics: before that nothing should be published again. */
  isListening(): boolean;
  /** Whether it receives what is published on the control channel. */
  isReachable(): boolean;
  /** There is no generation now: nothing can be published until {@link onServing}. */
  onSuspended(): void;
  /** Redis is complete, and publishing may continue. */
  onServing(change: GenerationChange): void;
}

/**
 * How long nodes wait for each other, in milliseconds: longer than one of them pauses between attempts to connect. A node that has not
 * come by then is not waited for.
 */
const patienceMs = 5_000;
/** How often a node asks whether the others are done, in milliseconds. */
const askMs = 20;
/** Share of that time in which a node waits for its own listening connection. */
const listenShare = 0.5;
/** Pause after an error of Redis before asking again, in milliseconds. */
const retryMs = 200;
/** Entries in one call. */
const maxEntriesPerCall = 200;
/** Calls in one pipeline. */
const maxCalls = 64;

export class Recovery implements GenerationSource {
  #generation: Generation | null = null;
  /** The last one that it knew. */
  #last: Generation | null = null;
  #isRunning = false;
  #isAsked = false;
  #isClosed = false;
  #hasAnnouncedWait = false;
  /** The last recovery that this node joined. */
  #joined: string | null = null;
  /** The recovery to which this node has reported the nodes that it knows. */
  #nodesReportedTo: string | null = null;

  constructor(
    private readonly settings: RecoverySettings,
    private readonly link: RecoveryLink,
    private readonly keys: Keys,
    private readonly publishLog: PublishLog,
    private readonly publishScript: PublishScript,
    private readonly owner: RecoveryOwner,
    private readonly log: Log,
  ) {}

  get generation(): Generation | null {
    return this.#generation;
  }

  /** Nothing is published until Redis has been asked again. */
  suspend(): void {
    this.#generation = null;
    this.owner.onSuspended();
  }

  onStale(): void {
    this.suspend();
    this.ask();
  }

  /** Asks Redis, as long as there is a connection. If it is called meanwhile, Redis is asked once more. */
  ask(): void {
    this.#isAsked = true;
    if (!this.#isRunning) void this.#run();
  }

  close(): void {
    this.#isClosed = true;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#isAsked && !this.#isClosed && this.link.isReady) {
      this.#isAsked = false;
      try {
        await this.link.load(Object.values(scripts));
        await this.#recover();
      } catch {
        // The link has logged what is wrong. As long as it is connected, Redis is asked again.
        this.#isAsked = true;
        if (this.link.isReady) await delay(retryMs);
      }
    }
    // In the same turn in which nothing more was asked: from here on, `ask` starts another run.
    this.#isRunning = false;
  }

  async #recover(): Promise<void> {
    const startedAt = performance.now();
    let stage = 0;
    let restored = 0;
    let recovery = '';
    while (!this.#isClosed) {
      const hasTime = performance.now() - startedAt < patienceMs * listenShare;
      const [word, name, since] = await this.#report(stage, recovery, hasTime);
      if (word === 'serving') {
        if (name === undefined) throw new Error('Redis returned no generation.');
        return this.#serve(parseGeneration(name), restored, startedAt);
      }
      this.suspend();
      if (name !== undefined) recovery = this.#joined = name;
      if (word === 'listen') await delay(askMs);
      else if (word === 'wait' || word === 'hold') {
        if (word === 'hold') this.#announceWait();
        await delay(askMs);
      } else if (word === 'listened') {
        // What is published before this node listens would have to be read, and the history may be short.
        while (!this.owner.isListening() && performance.now() - startedAt < patienceMs * listenShare)
          await delay(askMs);
        restored += await this.#restoreListened();
        stage = 1;
      } else if (word === 'published') {
        restored += await this.#restorePublished(Number(since));
        stage = 2;
      } else {
        await this.#verify();
        stage = 3;
      }
    }
  }

  async #serve(generation: Generation, restored: number, startedAt: number): Promise<void> {
    const joinedRecovery = generation.recovery === this.#joined;
    const isAnother = generation.name !== this.#last?.name;
    let change: GenerationChange = 'same';
    if (this.#last === null) change = 'first';
    else if (isAnother) change = joinedRecovery ? 'restored' : 'missed';
    if (isAnother) {
      if (!joinedRecovery) await this.#prove(generation.minEpoch);
      this.#logChange(change, generation, restored, startedAt);
    }
    await this.publishScript.ensure();
    this.#generation = generation;
    this.#last = generation;
    this.owner.onServing(change);
  }

  /**
   * Resolves with what to do, the name of the generation or of the recovery, and since when what was published is to be restored.
   * `mayListen`: there is time to listen on the control channel first.
   */
  async #report(stage: number, name: string, mayListen: boolean): Promise<readonly string[]> {
    const { generation, newestEpoch, run, recovery, control, clock, layout, layoutVersion, nodes, unpublished } =
      this.keys;
    const remembers = this.publishLog.isComplete ? 1 : 0;
    const reportsNodes = this.#nodesReportedTo !== name;
    const answer = await this.#evaluate([
      {
        script: scripts.recover,
        keys: [generation, newestEpoch, run, recovery, clock, layout, nodes, unpublished],
        args: [
          this.settings.nodeId,
          signSlackMs,
          stage,
          this.#last === null ? '' : remembers,
          this.owner.clock().ms,
          patienceMs,
          randomBytes(6).toString('hex'),
          control,
          name,
          toleratedLossMs,
          layoutVersion,
          this.#minEpoch,
          this.owner.isReachable() ? 1 : mayListen ? 0 : '',
          this.settings.newNodeWaitMs,
          ...(reportsNodes ? this.owner.nodes() : []),
        ],
      },
    ]);
    const words = (answer[0] as Buffer[]).map(String);
    if (reportsNodes) this.#nodesReportedTo = words[1] ?? null;
    return words;
  }

  async #restoreListened(): Promise<number> {
    const calls: ScriptCall[] = [];
    for (const { topic, position, begunAt, cache } of this.owner.listened()) {
      this.#addCalls(calls, topic, position.epoch, begunAt, cache.entries.map(restorable));
    }
    return this.#restore(calls);
  }

  /** What nodes remember of topics that they listen to is restored already. `since`: by the clock, in ms. */
  async #restorePublished(since: number): Promise<number> {
    const calls: ScriptCall[] = [];
    const empty = [...this.owner.listened()].filter(({ cache }) => cache.entries.length === 0);
    for (let at = 0; at < empty.length; at += maxEntriesPerCall) {
      const piece = empty.slice(at, at + maxEntriesPerCall);
      const keys = this.#keysOf(...piece.map(({ topic }) => topic));
      const args = piece.flatMap(({ topic, position: { epoch, offset }, begunAt }) => {
        return [epoch, begunAt ?? '', offset, this.#lifeMs(topic)];
      });
      calls.push({ script: scripts.restorePositions, keys, args: [this.#minEpoch, ...args] });
    }
    // Redis has what is older. Or it has no data, and another node that was not waited for may have published after it.
    const { ms, askedAt } = this.owner.clock();
    const maxAgeMs = performance.now() - askedAt + ms - since;
    for (const { topic, epoch, entries } of this.publishLog.topics(maxAgeMs)) {
      this.#addCalls(calls, topic, epoch, null, entries.flatMap(decoded).map(restorable));
    }
    return this.#restore(calls);
  }

  /** The others began a generation without this node: Redis may lack what this node published meanwhile. */
  async #prove(minEpoch: string): Promise<void> {
    // Redis may have forgotten older messageIds.
    const maxAgeMs = this.settings.idempotencyWindowSeconds * 1_000;
    const calls: ScriptCall[] = [];
    for (const { topic, epoch, offset, entries, isThinned } of this.publishLog.topics(maxAgeMs)) {
      const entriesToProve = entries.flatMap(decoded).map(restorable);
      for (let at = 0; at < entriesToProve.length; at += maxEntriesPerCall) {
        const args = entriesToProve.slice(at, at + maxEntriesPerCall).flatMap(({ first, bytes, ids }) => {
          return [first, ids.length > 0 ? '' : bytes, ids.length, ...ids.map(([, id]) => id)];
        });
        calls.push(this.#callOf(scripts.prove, topic, [minEpoch, epoch, ...args]));
      }
      // What this node has forgotten cannot be proved.
      if (isThinned) calls.push(this.#callOf(scripts.prove, topic, [minEpoch, epoch, offset, '', 0]));
    }
    for (let at = 0; at < calls.length; at += maxCalls) await this.#evaluate(calls.slice(at, at + maxCalls));
  }

  /** Topics of which no node could restore everything get another epoch. */
  async #verify(): Promise<void> {
    const listened = [...this.owner.listened()].map(({ topic, position }) => ({ topic, ...position }));
    const known = [...listened, ...this.publishLog.topics()];
    const calls: ScriptCall[] = [];
    for (let at = 0; at < known.length; at += maxEntriesPerCall) {
      const piece = known.slice(at, at + maxEntriesPerCall);
      calls.push({
        script: scripts.verify,
        keys: this.#keysOf(...piece.map(({ topic }) => topic)),
        args: [this.#minEpoch, ...piece.flatMap(({ epoch, offset }) => [epoch, offset])],
      });
    }
    for (let at = 0; at < calls.length; at += maxCalls) await this.#evaluate(calls.slice(at, at + maxCalls));
  }

  #callOf(script: ScriptCall['script'], topic: Topic, args: ScriptCall['args']): ScriptCall {
    return { script, keys: this.#keysOf(topic), args };
  }

  #keysOf(...topics: readonly Topic[]): string[] {
    const { generation, newestEpoch } = this.keys;
    return [generation, newestEpoch, ...topics.map((topic) => this.keys.topic(topic))];
  }

  get #minEpoch(): string {
    return this.#last?.minEpoch ?? '0';
  }

  #addCalls(
    calls: ScriptCall[],
    topic: Topic,
    epoch: string,
    begunAt: number | null,
    entries: readonly RestoredEntry[],
  ): void {
    const windowMs = this.settings.idempotencyWindowSeconds * 1_000;
    for (let at = 0; at < entries.length; at += maxEntriesPerCall) {
      const args: (string | number | Buffer)[] = [this.#minEpoch, this.#lifeMs(topic), windowMs, epoch, begunAt ?? ''];
      for (const { epoch: entryEpoch, first, bytes, ids } of entries.slice(at, at + maxEntriesPerCall)) {
        args.push(entryEpoch, first, bytes, ids.length, ...ids.flat());
      }
      calls.push(this.#callOf(scripts.restore, topic, args));
    }
  }

  #lifeMs(topic: Topic): number {
    return lifeMs(this.settings.topics.of(topic));
  }

  /** Resolves with the number of topics of which anything was restored. */
  async #restore(calls: readonly ScriptCall[]): Promise<number> {
    let restored = 0;
    for (let at = 0; at < calls.length; at += maxCalls) {
      for (const answer of await this.#evaluate(calls.slice(at, at + maxCalls))) {
        restored += Number(Array.isArray(answer) ? answer[1] : answer);
      }
    }
    return restored;
  }

  async #evaluate(calls: readonly ScriptCall[]): Promise<readonly unknown[]> {
    const answers = await this.link.evaluate(calls);
    const failed = answers.find((answer) => answer instanceof Error);
    if (failed !== undefined) throw failed;
    return answers;
  }

  #announceWait(): void {
    if (this.#hasAnnouncedWait) return;
    this.#hasAnnouncedWait = true;
    const { newNodeWaitMs } = this.settings;
    this.log.info(
      { event: 'waitingForNodes', newNodeWaitMs },
      `Redis has just started. This node waits up to ${newNodeWaitMs} ms from that start for older nodes that can restore the lost data (FANFARE_NEW_NODE_WAIT_MS).`,
    );
  }

  #logChange(change: GenerationChange, { name }: Generation, restored: number, startedAt: number): void {
    // A node that has just started remembers nothing.
    if (change === 'first') return;
    const ms = Math.round(performance.now() - startedAt);
    const what =
      change === 'restored'
        ? `Redis has a different state. The nodes restored the lost data in ${ms} ms (this node: ${restored} topics).`
        : 'Redis has a different state, and the other nodes continued without this node. Comparing all topics.';
    this.log.warn({ event: 'redisRecovered', generation: name, restored, ms }, what);
  }
}

interface RestoredEntry {
  readonly epoch: string;
  readonly first: number;
  readonly bytes: Buffer;
  readonly ids: readonly PlacedId[];
}

function restorable(entry: StreamEntry): RestoredEntry {
  return { epoch: entry.epoch, first: entry.first, bytes: entry.bytes, ids: messageIdsOf(entry) };
}

function decoded({ epoch, first, bytes }: LoggedEntry): readonly StreamEntry[] {
  const entry = decodeEntry({ epoch, offset: first }, bytes);
  return entry === null ? [] : [entry];
}
