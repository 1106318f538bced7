/**
 * Finds out which generation Redis is in. A node asks after each new connection, and if a script finds a generation
 * that the node does not know. If data may be lost, lua/recover.lua leads all nodes through restoring it (restorer.ts),
 * and only after that they publish again.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../observe/log.js';
import type { ScriptCall } from '../redis/redis.js';
import {
  type Generation,
  type GenerationChange,
  type GenerationSource,
  markOf,
  parseGeneration,
  withFence,
} from './generation.js';
import type { Keys } from './keys.js';
import type { KnownNodes } from './known-nodes.js';
import type { MemoryTimes } from './memory-times.js';
import type { PublishScript } from './publish-script.js';
import type { Restorer } from './restorer.js';
import { scripts } from './scripts.js';

export interface RecoverySettings {
  readonly nodeId: string;
  /** How long {@link Recovery.confirm} waits, in milliseconds. */
  readonly redisTimeoutMs: number;
  readonly newNodeWaitMs: number;
  readonly memoryTimes: Pick<MemoryTimes, 'signSlackMs' | 'toleratedLossMs'>;
}

/** The connection, as this file needs it. */
interface RecoveryLink {
  readonly isReady: boolean;
  evaluate(calls: readonly ScriptCall[]): Promise<readonly unknown[]>;
  load(scripts: readonly ScriptCall['script'][]): Promise<void>;
}

interface RecoveryOwner {
  /**
   * Whether this node receives the publications of the topics that it listens to. Until then, nothing should be
   * published again.
   */
  isListening(): boolean;
  /** Whether this node receives the messages of the control channel. */
  isOnControlChannel(): boolean;
  /**
   * Compares the map of partitions with that of this Redis. Resolves with the version that this node works according to.
   * Infinity if no map restricts it: there is only one Redis, or a Cluster. Rejects if Redis does not answer, or if this
   * node must not use it.
   */
  learnMap(): Promise<number>;
  /** A recovery is not over yet, as Redis has answered to a request that was sent at `askedAt`, by performance.now(). */
  onRecovering(askedAt: number): void;
  /** No generation is valid now: nothing can be published until {@link onServing}. */
  onSuspended(): void;
  /** Redis is complete, and publishing may continue. */
  onServing(change: GenerationChange): void;
}

export interface RecoveryCounters {
  /** Generations that began because Redis had lost its state. */
  recoveries: number;
}

/**
 * How long nodes wait for each other, in milliseconds. It is longer than a node's pause between connection attempts.
 * After it, the nodes continue without the missing ones.
 */
const patienceMs = 5_000;
/**
 * How long a node waits before it asks Redis again whether the other nodes are done, in milliseconds: longer each time,
 * because a Redis Cluster has one recovery for each partition.
 */
const askMs = 20;
const maxAskMs = 200;
/** How long a node waits for its own listening connection, in milliseconds. */
const listenMs = 0.5 * patienceMs;
/** Pause after a Redis error before the node asks again, in milliseconds. */
const retryMs = 200;

/** What this node has done in a recovery, as lua/recover.lua counts it. */
const stages = { begun: 0, restoredListened: 1, restoredPublished: 2, verified: 3 } as const;

/** The part of this node in the recovery that it takes part in. */
interface Part {
  readonly startedAt: number;
  /** The name of the recovery; '' before the first answer. */
  recovery: string;
  stage: (typeof stages)[keyof typeof stages];
  /** How many topics it has restored. */
  restored: number;
}

export class Recovery implements GenerationSource {
  #generation: Generation | null = null;
  /** The last generation that this node knew. */
  #last: Generation | null = null;
  #mark: string | null = null;
  /** The lowest fence of the next generations: this node knows the map of this version. */
  #fence = 0;
  #isRunning = false;
  #isAsked = false;
  #isClosed = false;
  #fault: string | null = null;
  #hasAnnouncedWait = false;
  /** The last recovery that this node joined. */
  #joined: string | null = null;
  /** Those who wait for the next answer of Redis. */
  #confirming: (() => void)[] = [];
  /** The recovery to which this node has reported the nodes that it knows. */
  #nodesReportedTo: string | null = null;

  constructor(
    private readonly settings: RecoverySettings,
    private readonly link: RecoveryLink,
    private readonly keys: Keys,
    private readonly restorer: Restorer,
    private readonly publishScript: PublishScript,
    private readonly nodes: KnownNodes,
    private readonly owner: RecoveryOwner,
    private readonly log: Log,
    private readonly counters: RecoveryCounters,
  ) {}

  /** Why this node does not publish although Redis is complete, in a sentence; null if that is not so. */
  get fault(): string | null {
    return this.#fault;
  }

  /** Whether this node has known a generation at any time. */
  get hasServed(): boolean {
    return this.#last !== null;
  }

  /**
   * The mark of the generation whose messages this node may deliver as they arrive. Null from when this node checks what
   * Redis has until it knows the next generation: what arrives meanwhile could be missing in Redis.
   */
  get mark(): string | null {
    return this.#mark;
  }

  get generation(): Generation | null {
    return this.#generation;
  }

  /** Stops publishing until Redis has answered again. */
  suspend(): void {
    this.#generation = null;
    this.owner.onSuspended();
  }

  /**
   * Publications name this fence from now on, although Redis may still have a lower one: it is about to get it, and
   * would then refuse them (lua/shards/fence.lua).
   */
  raiseFence(fence: number): void {
    this.#fence = Math.max(this.#fence, fence);
    if (this.#generation !== null) this.#generation = withFence(this.#generation, fence);
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

  /** Asks Redis. Resolves when this node serves its generation; with false if that takes too long. */
  confirm(): Promise<boolean> {
    const served = new Promise<boolean>((resolve) => this.#confirming.push(() => resolve(true)));
    this.ask();
    return Promise.race([served, delay(this.settings.redisTimeoutMs, false, { ref: false })]);
  }

  close(): void {
    this.#isClosed = true;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#isAsked && !this.#isClosed && this.link.isReady) {
      this.#isAsked = false;
      // Who asks from now on needs another answer.
      const confirming = this.#confirming.splice(0);
      try {
        await this.link.load(Object.values(scripts));
        await this.#recover();
        for (const resolve of confirming) resolve();
      } catch {
        // The link has logged the problem. Ask again while it is connected.
        this.#isAsked = true;
        this.#confirming.push(...confirming);
        if (this.link.isReady) await delay(retryMs);
      }
    }
    // Reset it in the same turn in which the loop found no more requests. After that, `ask` starts a new run.
    this.#isRunning = false;
  }

  /**
   * Reports to Redis and follows its answers until Redis names a generation. Usually its first answer already names
   * one.
   */
  async #recover(): Promise<void> {
    await this.owner.learnMap();
    const part: Part = { startedAt: performance.now(), recovery: '', stage: stages.begun, restored: 0 };
    let pauseMs = askMs;
    while (!this.#isClosed) {
      const askedAt = performance.now();
      const [word, name, since] = await this.#report(part);
      if (word === 'serving') {
        if (name === undefined) throw new Error('Redis returned no generation.');
        return this.#serve(parseGeneration(name), part);
      }
      this.suspend();
      this.owner.onRecovering(askedAt);
      if (name !== undefined) part.recovery = this.#joined = name;
      switch (word) {
        case 'listened':
          // Wait until this node listens. Otherwise it would have to read publications from the history, which may be
          // too short.
          while (!this.owner.isListening() && this.#mayListen(part)) await delay(askMs);
          part.restored += await this.restorer.restoreListened(this.#minEpoch);
          part.stage = stages.restoredListened;
          break;
        case 'published':
          part.restored += await this.restorer.restorePublished(Number(since), this.#minEpoch);
          part.stage = stages.restoredPublished;
          break;
        case 'verify':
          this.#mark = null;
          await this.restorer.verify(this.#minEpoch);
          part.stage = stages.verified;
          break;
        default:
          if (word === 'hold') this.#announceWait();
          await delay(pauseMs);
          pauseMs = Math.min(maxAskMs, pauseMs * 1.5);
          continue;
      }
      pauseMs = askMs;
    }
  }

  async #serve(generation: Generation, part: Part): Promise<void> {
    const joinedRecovery = generation.recovery === this.#joined;
    // Without a mark, this node has not delivered what arrived since it checked Redis.
    const isAnother = generation.recovery !== this.#last?.recovery || this.#mark === null;
    let change: GenerationChange = 'same';
    if (this.#last === null) change = 'first';
    else if (isAnother) change = joinedRecovery ? 'restored' : 'missed';
    // Partitions may have moved away from this Redis while this node did not know it, or publications to them may still
    // be on their way.
    const version = await this.owner.learnMap();
    if (version < generation.fence) {
      this.#fault = `This node works according to version ${version} of the map of partitions, and this Redis requires version ${generation.fence}. If this lasts, "fanfare shards status" shows which shard or node is late.`;
      throw new Error(this.#fault);
    }
    this.#fault = null;
    if (isAnother && !joinedRecovery) await this.restorer.prove(generation.minEpoch);
    await this.publishScript.ensure();
    this.#generation = withFence(generation, this.#fence);
    this.#last = generation;
    this.#mark = markOf(generation);
    if (change === 'restored' || change === 'missed') {
      this.#logRecovery(change, generation, part);
      this.counters.recoveries++;
    }
    this.owner.onServing(change);
  }

  /**
   * Resolves with the next step, the name of the generation or of the recovery, and the time from which publications
   * must be restored.
   */
  async #report(part: Part): Promise<readonly string[]> {
    const reportsNodes = this.#nodesReportedTo !== part.recovery;
    const [answer] = await this.link.evaluate([this.#recoverCall(part, reportsNodes)]);
    if (answer instanceof Error) throw answer;
    const words = (answer as readonly Buffer[]).map(String);
    if (reportsNodes) this.#nodesReportedTo = words[1] ?? null;
    return words;
  }

  #recoverCall(part: Part, reportsNodes: boolean): ScriptCall {
    const { generation, newestEpoch, run, recovery, control, clock, layout, layoutName, nodes, unpublished } =
      this.keys;
    const { nodeId, newNodeWaitMs, memoryTimes } = this.settings;
    const remembersAll = this.restorer.remembersAll ? 1 : 0;
    const listens = this.owner.isOnControlChannel() ? 1 : this.#mayListen(part) ? 0 : '';
    return {
      script: scripts.recover,
      keys: [generation, newestEpoch, run, recovery, clock, layout, nodes, unpublished],
      args: [
        nodeId,
        memoryTimes.signSlackMs,
        part.stage,
        this.#last === null ? '' : remembersAll,
        this.nodes.clock.newestMs,
        patienceMs,
        randomBytes(6).toString('hex'),
        control,
        part.recovery,
        memoryTimes.toleratedLossMs,
        layoutName,
        this.#minEpoch,
        listens,
        newNodeWaitMs,
        this.#last?.fence ?? 0,
        this.#fence,
        ...(reportsNodes ? this.nodes.toArgs() : []),
      ],
    };
  }

  /** Whether there is time left to wait for this node's listening connection. */
  #mayListen({ startedAt }: Part): boolean {
    return performance.now() - startedAt < listenMs;
  }

  get #minEpoch(): string {
    return this.#last?.minEpoch ?? '0';
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

  #logRecovery(change: 'restored' | 'missed', { name }: Generation, { restored, startedAt }: Part): void {
    const ms = Math.round(performance.now() - startedAt);
    const what =
      change === 'restored'
        ? `Redis has a different state. The nodes restored the lost data in ${ms} ms (this node: ${restored} topics).`
        : 'Redis has a different state, and the other nodes continued without this node. Comparing all topics.';
    this.log.warn({ event: 'redisRecovered', generation: name, restored, ms }, what);
  }
}
