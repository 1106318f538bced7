/**
 * Whether Redis holds what the nodes left there. After each new connection, and whenever a script finds another generation than
 * ours, a node asks (lua/recover.lua); where something may be lost, all nodes give back what they remember before
 * anything is published again.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Position, Topic } from '@fanfare/protocol';
import type { Log } from '../observe/log.js';
import type { ScriptCall } from '../redis/redis.js';
import { lifeMs, type TopicPolicies } from '../topics/policy.js';
import type { Generation } from './history-publisher.js';
import type { Keys } from './keys.js';
import { signSlackMs, toleratedLossMs } from './memory-times.js';
import type { PublishScript } from './publish-script.js';
import type { Published, PublishedEntry } from './published.js';
import { scripts } from './scripts.js';
import { decodeEntry, messageIdsOf, type PlacedId, type StreamEntry } from './stream-entry.js';

export interface RecoverySettings {
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
  /** Offset after which the epoch of the position began; null if it does not know. */
  readonly begunAt: number | null;
  readonly recent: { readonly entries: readonly StreamEntry[] };
}

export interface RecoveryOwner {
  /** The nodes that it knows of, as lua/recover.lua takes them. */
  nodes(): readonly (string | number)[];
  /** The newest clock that Redis has returned (lua/heartbeat.lua), in ms, 0 before the first; and when it was asked, by performance.now(). */
  clock(): { readonly ms: number; readonly askedAt: number };
  listened(): Iterable<RememberedTopic>;
  /** Whether it hears what is published to these topics: before that nobody should publish again. */
  isListening(): boolean;
  /** Whether it hears the other nodes on the control channel. */
  isReachable(): boolean;
  /** Redis may have lost something: nothing can be published until {@link onServing}. */
  onRecovering(): void;
  /** Redis is whole: publishing may go on. `tookPart`: whether this node has given back what it remembered, so that no one can have published over it. */
  onServing(generation: Generation, tookPart: boolean): void;
}

/**
 * How long nodes wait for each other, in milliseconds: longer than one of them pauses between attempts to connect. One that has not
 * come by then is not waited for.
 */
const patienceMs = 5_000;
/** How often a node asks whether the others are done, in milliseconds. */
const askMs = 20;
/** Part of the patience that a node has with its own listening connection. */
const listenShare = 0.5;
/** Pause after an error of Redis before asking again, in milliseconds. */
const retryMs = 200;
/** Entries in one call. */
const maxEntriesPerCall = 200;
/** Calls in one pipeline. */
const maxCalls = 64;

export class Recovery {
  readonly #nodeId: string;
  readonly #link: RecoveryLink;
  readonly #keys: Keys;
  readonly #settings: RecoverySettings;
  readonly #published: Published;
  readonly #publishScript: PublishScript;
  readonly #owner: RecoveryOwner;
  readonly #log: Log;
  #isRunning = false;
  #isAsked = false;
  #isClosed = false;
  #hasAnnouncedWait = false;
  #lastGeneration: string | null = null;
  /** The last recovery that it took part in. */
  #lastRecovery: string | null = null;
  /** The recovery that was told which nodes this one knows of. */
  #toldNodesTo: string | null = null;

  constructor(
    nodeId: string,
    link: RecoveryLink,
    keys: Keys,
    settings: RecoverySettings,
    published: Published,
    publishScript: PublishScript,
    owner: RecoveryOwner,
    log: Log,
  ) {
    this.#nodeId = nodeId;
    this.#link = link;
    this.#keys = keys;
    this.#settings = settings;
    this.#published = published;
    this.#publishScript = publishScript;
    this.#owner = owner;
    this.#log = log;
  }

  /** Asks Redis, as long as the connection stands; what is asked meanwhile is asked once more. */
  ask(): void {
    this.#isAsked = true;
    if (!this.#isRunning) void this.#run();
  }

  close(): void {
    this.#isClosed = true;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#isAsked && !this.#isClosed && this.#link.isReady) {
      this.#isAsked = false;
      try {
        await this.#link.load(Object.values(scripts));
        await this.#recover();
      } catch {
        // The link has said in the log what is wrong. As long as it is there, the question stays open.
        this.#isAsked = true;
        if (this.#link.isReady) await delay(retryMs);
      }
    }
    // In the same turn in which it was seen that nothing is asked: what is asked from here on starts anew.
    this.#isRunning = false;
  }

  async #recover(): Promise<void> {
    const startedAt = performance.now();
    let stage = 0;
    let restored = 0;
    let recovery = '';
    while (!this.#isClosed) {
      const hasTime = performance.now() - startedAt < patienceMs * listenShare;
      const [word, generation, since] = await this.#report(stage, recovery, hasTime);
      if (word === 'serving') {
        if (generation === undefined) throw new Error('Redis returned no generation.');
        const tookPart = nameOf(generation) === this.#lastRecovery;
        if (generation !== this.#lastGeneration) {
          if (!tookPart) await this.#prove(floorOf(generation));
          this.#say(generation, tookPart, restored, startedAt);
        }
        await this.#publishScript.ensure();
        this.#lastGeneration = generation;
        this.#owner.onServing({ name: generation, floor: floorOf(generation) }, tookPart);
        return;
      }
      this.#owner.onRecovering();
      if (generation !== undefined) recovery = this.#lastRecovery = generation;
      if (word === 'listen') await delay(askMs);
      else if (word === 'wait' || word === 'hold') {
        if (word === 'hold') this.#announceWait();
        await delay(askMs);
      } else if (word === 'listened') {
        // What is published while a node does not listen yet it would have to read, and the history may be short.
        while (!this.#owner.isListening() && performance.now() - startedAt < patienceMs * listenShare)
          await delay(askMs);
        restored += await this.#giveBackListened();
        stage = 1;
      } else if (word === 'published') {
        restored += await this.#giveBackPublished(Number(since));
        stage = 2;
      } else {
        await this.#verify();
        stage = 3;
      }
    }
  }

  /**
   * Answers what to do, the generation or the name of the recovery, and since when what was published is to be given back.
   * `mayListen`: there is time to listen on the control channel first.
   */
  async #report(stage: number, name: string, mayListen: boolean): Promise<readonly string[]> {
    const { generation, newestEpoch, run, recovery, control, clock, layout, layoutVersion, nodes, unpublished } =
      this.#keys;
    const remembers = this.#published.isWhole ? 1 : 0;
    const tellsNodes = this.#toldNodesTo !== name;
    const answer = await this.#evaluate([
      {
        script: scripts.recover,
        keys: [generation, newestEpoch, run, recovery, clock, layout, nodes, unpublished],
        args: [
          this.#nodeId,
          signSlackMs,
          stage,
          this.#lastGeneration === null ? '' : remembers,
          this.#owner.clock().ms,
          patienceMs,
          randomBytes(6).toString('hex'),
          control,
          name,
          toleratedLossMs,
          layoutVersion,
          this.#floor,
          this.#owner.isReachable() ? 1 : mayListen ? 0 : '',
          this.#settings.newNodeWaitMs,
          ...(tellsNodes ? this.#owner.nodes() : []),
        ],
      },
    ]);
    const words = (answer[0] as Buffer[]).map(String);
    if (tellsNodes) this.#toldNodesTo = words[1] ?? null;
    return words;
  }

  async #giveBackListened(): Promise<number> {
    const calls: ScriptCall[] = [];
    for (const { topic, position, begunAt, recent } of this.#owner.listened()) {
      this.#addCalls(calls, topic, position.epoch, begunAt, recent.entries.map(given));
    }
    return this.#giveBack(calls);
  }

  /** What other nodes remember of topics that they listen to is given back already. `since`: by the clock, in ms. */
  async #giveBackPublished(since: number): Promise<number> {
    const calls: ScriptCall[] = [];
    const empty = [...this.#owner.listened()].filter(({ recent }) => recent.entries.length === 0);
    for (let at = 0; at < empty.length; at += maxEntriesPerCall) {
      const piece = empty.slice(at, at + maxEntriesPerCall);
      const keys = this.#keysOf(...piece.map(({ topic }) => topic));
      const args = piece.flatMap(({ topic, position: { epoch, offset }, begunAt }) => {
        return [epoch, begunAt ?? '', offset, this.#lifeMs(topic)];
      });
      calls.push({ script: scripts.restorePositions, keys, args: [this.#floor, ...args] });
    }
    // What is older Redis has; or it has no data, and another node that was not waited for may have published behind it.
    const { ms, askedAt } = this.#owner.clock();
    const maxAgeMs = performance.now() - askedAt + ms - since;
    for (const { topic, epoch, entries } of this.#published.topics(maxAgeMs)) {
      this.#addCalls(calls, topic, epoch, null, entries.flatMap(decoded).map(given));
    }
    return this.#giveBack(calls);
  }

  /** The others began a generation without this node: what it published meanwhile they may not have. */
  async #prove(floor: string): Promise<void> {
    // What is older may be known no more.
    const maxAgeMs = this.#settings.idempotencyWindowSeconds * 1_000;
    const calls: ScriptCall[] = [];
    for (const { topic, epoch, offset, entries, isThinned } of this.#published.topics(maxAgeMs)) {
      const entriesGiven = entries.flatMap(decoded).map(given);
      for (let at = 0; at < entriesGiven.length; at += maxEntriesPerCall) {
        const args = entriesGiven.slice(at, at + maxEntriesPerCall).flatMap(({ first, bytes, ids }) => {
          return [first, ids.length > 0 ? '' : bytes, ids.length, ...ids.map(([, id]) => id)];
        });
        calls.push(this.#callOf(scripts.prove, topic, [floor, epoch, ...args]));
      }
      // What is forgotten cannot be proved.
      if (isThinned) calls.push(this.#callOf(scripts.prove, topic, [floor, epoch, offset, '', 0]));
    }
    for (let at = 0; at < calls.length; at += maxCalls) await this.#evaluate(calls.slice(at, at + maxCalls));
  }

  /** What no node could give back is told by another epoch. */
  async #verify(): Promise<void> {
    const listened = [...this.#owner.listened()].map(({ topic, position }) => ({ topic, ...position }));
    const known = [...listened, ...this.#published.topics()];
    const calls: ScriptCall[] = [];
    for (let at = 0; at < known.length; at += maxEntriesPerCall) {
      const piece = known.slice(at, at + maxEntriesPerCall);
      calls.push({
        script: scripts.verify,
        keys: this.#keysOf(...piece.map(({ topic }) => topic)),
        args: [this.#floor, ...piece.flatMap(({ epoch, offset }) => [epoch, offset])],
      });
    }
    for (let at = 0; at < calls.length; at += maxCalls) await this.#evaluate(calls.slice(at, at + maxCalls));
  }

  #callOf(script: ScriptCall['script'], topic: Topic, args: ScriptCall['args']): ScriptCall {
    return { script, keys: this.#keysOf(topic), args };
  }

  #keysOf(...topics: readonly Topic[]): string[] {
    const { generation, newestEpoch } = this.#keys;
    return [generation, newestEpoch, ...topics.map((topic) => this.#keys.topic(topic))];
  }

  get #floor(): string {
    return this.#lastGeneration === null ? '0' : floorOf(this.#lastGeneration);
  }

  #addCalls(calls: ScriptCall[], topic: Topic, epoch: string, begunAt: number | null, entries: readonly Given[]): void {
    const windowMs = this.#settings.idempotencyWindowSeconds * 1_000;
    for (let at = 0; at < entries.length; at += maxEntriesPerCall) {
      const args: (string | number | Buffer)[] = [this.#floor, this.#lifeMs(topic), windowMs, epoch, begunAt ?? ''];
      for (const { epoch: entryEpoch, first, bytes, ids } of entries.slice(at, at + maxEntriesPerCall)) {
        args.push(entryEpoch, first, bytes, ids.length, ...ids.flat());
      }
      calls.push(this.#callOf(scripts.restore, topic, args));
    }
  }

  #lifeMs(topic: Topic): number {
    return lifeMs(this.#settings.topics.of(topic));
  }

  /** Resolves with the number of topics to which anything was given back. */
  async #giveBack(calls: readonly ScriptCall[]): Promise<number> {
    let restored = 0;
    for (let at = 0; at < calls.length; at += maxCalls) {
      for (const answer of await this.#evaluate(calls.slice(at, at + maxCalls))) {
        restored += Number(Array.isArray(answer) ? answer[1] : answer);
      }
    }
    return restored;
  }

  async #evaluate(calls: readonly ScriptCall[]): Promise<readonly unknown[]> {
    const answers = await this.#link.evaluate(calls);
    const failed = answers.find((answer) => answer instanceof Error);
    if (failed !== undefined) throw failed;
    return answers;
  }

  #announceWait(): void {
    if (this.#hasAnnouncedWait) return;
    this.#hasAnnouncedWait = true;
    const { newNodeWaitMs } = this.#settings;
    this.#log.info(
      { event: 'waitingForNodes', newNodeWaitMs },
      `Redis has just started. This node waits up to ${newNodeWaitMs} ms from that start for older nodes that can restore the lost data (FANFARE_NEW_NODE_WAIT_MS).`,
    );
  }

  #say(generation: string, tookPart: boolean, restored: number, startedAt: number): void {
    // A node that has just started has nothing to tell of.
    if (this.#lastGeneration === null) return;
    const ms = Math.round(performance.now() - startedAt);
    const what = tookPart
      ? `Redis has a different state. The nodes restored the lost data in ${ms} ms (this node: ${restored} topics).`
      : 'Redis has a different state, and the other nodes continued without this node. Comparing all topics.';
    this.#log.warn({ event: 'redisRecovered', generation, restored, ms }, what);
  }
}

interface Given {
  readonly epoch: string;
  readonly first: number;
  readonly bytes: Buffer;
  readonly ids: readonly PlacedId[];
}

function given(entry: StreamEntry): Given {
  return { epoch: entry.epoch, first: entry.first, bytes: entry.bytes, ids: messageIdsOf(entry) };
}

function decoded({ epoch, first, bytes }: PublishedEntry): readonly StreamEntry[] {
  const entry = decodeEntry({ epoch, offset: first }, bytes);
  return entry === null ? [] : [entry];
}

/** A generation is named `<recovery>:<floor>` (lua/recover.lua). */
function nameOf(generation: string): string {
  return generation.slice(0, generation.lastIndexOf(':'));
}

function floorOf(generation: string): string {
  return generation.slice(generation.lastIndexOf(':') + 1);
}
