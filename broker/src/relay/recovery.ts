/**
 * Checks whether Redis still holds what the nodes stored there. A node asks after each new connection, and if a script finds a generation
 * that the node does not know (lua/recover.lua). If data may be lost, all nodes restore what they remember, and only then publish again.
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

/** A topic that this node listens to, with the position and entries that the node remembers. */
export interface RememberedTopic {
  readonly topic: Topic;
  readonly position: Position;
  /** Offset after which the epoch of the position began; null if the node does not know. */
  readonly begunAt: number | null;
  readonly cache: { readonly entries: readonly StreamEntry[] };
}

/**
 * How the generation of Redis compares with the last one that this node knew. `first`: this node knew no generation. `same`: nothing was
 * lost. `restored`: a new generation, and this node has restored what it remembered. `missed`: a new generation, which the other nodes
 * began without this node.
 */
export type GenerationChange = 'first' | 'same' | 'restored' | 'missed';

export interface RecoveryOwner {
  /** The nodes that this node knows, as arguments for lua/recover.lua. */
  nodes(): readonly (string | number)[];
  /** The newest time that Redis has returned (lua/heartbeat.lua), in ms, 0 before the first; and the performance.now() of that request. */
  clock(): { readonly ms: number; readonly askedAt: number };
  listened(): Iterable<RememberedTopic>;
  /** Whether this node receives the publications of these topics. Until then, nothing should be published again. */
  isListening(): boolean;
  /** Whether this node receives the messages of the control channel. */
  isReachable(): boolean;
  /** No generation is valid now: nothing can be published until {@link onServing}. */
  onSuspended(): void;
  /** Redis is complete, and publishing may continue. */
  onServing(change: GenerationChange): void;
}

/**
 * How long nodes wait for each other, in milliseconds. It is longer than a node's pause between connection attempts. After it, the nodes
 * continue without the missing ones.
 */
const patienceMs = 5_000;
/** How often a node asks Redis whether the other nodes are done, in milliseconds. */
const askMs = 20;
/** The share of {@link patienceMs} that a node waits for its own listening connection. */
const listenShare = 0.5;
/** Pause after a Redis error before the node asks again, in milliseconds. */
const retryMs = 200;
/** Entries in one call. */
const maxEntriesPerCall = 200;
/** Calls in one pipeline. */
const maxCalls = 64;

export class Recovery implements GenerationSource {
  #generation: Generation | null = null;
  /** The last generation that this node knew. */
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

  /** Stops publishing until Redis has answered again. */
  suspend(): void {
    this.#generation = null;
    this.owner.onSuspended();
  }

  onStale(): void {
    this.suspend();
    this.ask();
  }

  /** Asks Redis while it is connected. A call during a run causes one more request. */
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
        // The link has logged the problem. Ask again while it is connected.
        this.#isAsked = true;
        if (this.link.isReady) await delay(retryMs);
      }
    }
    // Reset it in the same turn in which the loop found no more requests. After that, `ask` starts a new run.
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
        // Wait until this node listens: it would have to read earlier publications from the history, which may be short.
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
   * Resolves with the next step, the name of the generation or of the recovery, and the time from which publications must be restored.
   * `mayListen`: there is time left to listen on the control channel first.
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

  /** The topics that nodes listen to are restored already. `since`: by the Redis clock, in ms. */
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
    // Redis has older entries. If Redis has no data, a missing node may have published after them, so they must stay out.
    const { ms, askedAt } = this.owner.clock();
    const maxAgeMs = performance.now() - askedAt + ms - since;
    for (const { topic, epoch, entries } of this.publishLog.topics(maxAgeMs)) {
      this.#addCalls(calls, topic, epoch, null, entries.flatMap(decoded).map(restorable));
    }
    return this.#restore(calls);
  }

  /** The other nodes began a generation without this node: Redis may lack publications of this node. */
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
      // The node cannot prove entries that it has forgotten.
      if (isThinned) calls.push(this.#callOf(scripts.prove, topic, [minEpoch, epoch, offset, '', 0]));
    }
    for (let at = 0; at < calls.length; at += maxCalls) await this.#evaluate(calls.slice(at, at + maxCalls));
  }

  /** Gives a new epoch to each topic that the nodes could not restore completely. */
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

  /** Resolves with the number of topics with restored entries. */
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
