/**
 * Publishes to topics with history. It sends the runs of a turn as calls of lua/publish.lua: many runs in each call, and all calls in one
 * pipeline. It delivers nothing itself: every listening node, this one included, receives the publications from Redis in offset order.
 */
import { emptyRun, type Position, ReplyError, type Topic } from '@fanfare/protocol';
import { isOutOfMemory, type ScriptCall, type Wait } from '../redis/redis.js';
import { lifeMs, type TopicPolicy } from '../topics/policy.js';
import type { Generation, GenerationSource } from './generation.js';
import type { Keys } from './keys.js';
import { parsePosition } from './position-id.js';
import { type Batch, runOverheadBytes } from './publish-batcher.js';
import type { PublishLog } from './publish-log.js';
import type { PublishScript } from './publish-script.js';
import type { Payer, PublishTracer, Receipt, TakenRun } from './relay.js';
import { isUnknownScript, type Script } from './scripts.js';
import { decodeEntry, encodeEntry, inOnes } from './stream-entry.js';

/** The connection that publishes, as this file needs it. */
export interface PublishingLink {
  evaluate(calls: readonly ScriptCall[], wait?: Wait | null): Promise<readonly unknown[]>;
  /** Reports an error that Redis returned for one part of a call. */
  report(error: Error): void;
}

export interface HistoryPublisherSettings {
  readonly idempotencyWindowSeconds: number;
}

export interface HistoryPublisherCounters {
  /** Publications that were not published again, because their topic had the messageId already. */
  publicationsKnown: number;
  observeRelaySeconds(seconds: number): void;
}

/** The maximum runs and bytes of one call: Redis does nothing else during a call. */
const maxRunsPerCall = 64;
const maxBytesPerCall = 262_144;

/** Topics whose head this node remembers. One more, and all are forgotten: Redis looks them up with their next publication. */
const maxRememberedTopics = 50_000;

/** A stream is trimmed when it has grown by this share of its size, not with each publication. */
const trimShare = 0.25;

/** What this node knows of a topic that it publishes to. */
interface Remembered {
  epoch: string;
  head: number;
  /** Head at which the stream is trimmed next. */
  trimAt: number;
  /** When the stream's expiry is extended next, by performance.now(). */
  extendAt: number;
  /** When Redis checks next whether messageIds can be forgotten. */
  rotateIdsAt: number;
}

/** A run on its way. */
interface Sent {
  readonly topic: Topic;
  readonly policy: TopicPolicy;
  readonly count: number;
  readonly entry: Buffer;
  readonly receipts: readonly Receipt[];
  readonly places: readonly number[];
  readonly messageIds: ReadonlyMap<string, number>;
  readonly payer: Payer | null;
  readonly beganAt: number;
}

/** When a call was sent to Redis and answered. */
type RoundTrip = NonNullable<TakenRun['redis']>;

export class HistoryPublisher {
  readonly #remembered = new Map<Topic, Remembered>();
  /** The generation to which {@link #remembered} belongs. */
  #rememberedIn: Generation | null = null;
  readonly #sending = new Set<Promise<void>>();
  /** Pipelines that Redis has not answered. */
  #unanswered = 0;
  /** The copy that all calls on the way use. */
  #script: Script;
  /** Runs that Redis refused because it has lost the copy, and runs added since then; null while Redis has the copy. */
  #withoutScript: { readonly refused: Sent[]; readonly later: Sent[] } | null = null;
  #bytes = 0;

  /** `wait`: what an acknowledgement waits for, in addition to Redis itself. */
  constructor(
    private readonly link: PublishingLink,
    private readonly keys: Keys,
    private readonly settings: HistoryPublisherSettings,
    private readonly counters: HistoryPublisherCounters,
    private readonly publishLog: PublishLog,
    private readonly publishScript: PublishScript,
    private readonly wait: Wait | null,
    private readonly generations: GenerationSource,
    private readonly tracer: PublishTracer | null,
  ) {
    this.#script = publishScript.current;
  }

  /** The approximate number of bytes that wait for Redis. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether it has published to the topic and remembers its head. */
  hasPublished(topic: Topic): boolean {
    return this.#remembered.has(topic);
  }

  /** Sends the runs of a turn; those of one topic in order. */
  publish(batches: readonly Batch[]): void {
    const runs = batches.map(({ topic, policy, run, receipts, places, messageIds, payer, beganAt }) => ({
      topic,
      policy,
      count: run.count,
      entry: encodeEntry(run, messageIds),
      receipts,
      places,
      messageIds,
      payer,
      beganAt,
    }));
    for (const run of runs) this.#bytes += sizeOf(run);
    if (this.#withoutScript !== null) this.#withoutScript.later.push(...runs);
    else this.#track(this.#send(runs));
  }

  /** Resolves when everything that was sent so far has its outcome. */
  async settled(): Promise<void> {
    await Promise.all([...this.#sending]);
  }

  async #send(runs: readonly Sent[]): Promise<void> {
    const { generation } = this.generations;
    if (generation === null) return this.#fail(runs, unavailable());
    if (generation !== this.#rememberedIn) {
      this.#rememberedIn = generation;
      this.#remembered.clear();
    }
    // Never send calls of two copies at once: Redis could refuse calls of the first, and then accept calls of the second.
    if (this.#unanswered === 0) this.#script = this.publishScript.current;
    const pieces = [...inPieces(runs)];
    const sentAt = performance.now();
    this.#unanswered++;
    const calls = pieces.map((piece) => this.#callOf(piece, generation));
    const answers = await this.link.evaluate(calls, this.wait);
    this.#unanswered--;
    const answeredAt = performance.now();
    this.counters.observeRelaySeconds((answeredAt - sentAt) / 1_000);
    // Replicas of another generation may have lost a part of this one.
    const isSame = this.generations.generation?.name === generation.name;
    const isSafe = this.wait === null || (Number(answers.at(-1)) >= this.wait.replicas && isSame);
    if (!isSafe && isSame) this.link.report(new Error(`WAIT ${answers.at(-1)}`));
    for (const [index, piece] of pieces.entries()) {
      const answer = answers[index];
      if (!(answer instanceof Error))
        this.#onAnswer(piece, answer as readonly unknown[], isSafe, { sentAt, answeredAt });
      else if (isUnknownScript(answer)) {
        this.#withoutScript ??= { refused: [], later: [] };
        this.#withoutScript.refused.push(...piece);
      } else {
        if (isOfAnotherState(answer)) this.generations.onStale();
        this.#fail(piece, hasDoneNothing(answer) ? unavailable(answer) : unconfirmed());
      }
    }
    // Later calls were refused too. Their order for sending them again is known only when all are answered.
    if (this.#withoutScript !== null && this.#unanswered === 0) await this.#sendAgain();
  }

  async #sendAgain(): Promise<void> {
    const isReplaced = await this.publishScript.replace(this.#script).then(
      () => true,
      () => false,
    );
    const { refused, later } = this.#withoutScript ?? { refused: [], later: [] };
    this.#withoutScript = null;
    const runs = [...refused, ...later];
    if (isReplaced) await this.#send(runs);
    else this.#fail(runs, unavailable());
  }

  #callOf(runs: readonly Sent[], { name, minEpoch }: Generation): ScriptCall {
    const idsMs = this.settings.idempotencyWindowSeconds * 1_000;
    const args: (string | number | Buffer)[] = [name, minEpoch, idsMs, this.wait === null ? '' : 1];
    for (const run of runs) {
      const { count, entry, messageIds } = run;
      const rotatesIds = this.#addUpkeep(run, args);
      args.push(count, entry, rotatesIds ? 1 : '', messageIds.size);
      for (const [id, place] of messageIds) args.push(place, id);
    }
    const { generation, newestEpoch } = this.keys;
    const keys = [generation, newestEpoch, ...runs.map(({ topic }) => this.keys.topic(topic))];
    return { script: this.#script, keys, args };
  }

  /**
   * Adds the epoch, the offset to trim to, and the new expiry, unless unknown or not due yet. Returns whether Redis must check if old
   * messageIds can be forgotten.
   */
  #addUpkeep({ topic, policy, messageIds }: Sent, args: (string | number | Buffer)[]): boolean {
    const { historySize } = policy;
    const hasIds = messageIds.size > 0;
    // It is extended once per half of its life.
    const ageMs = Math.ceil(lifeMs(policy) * 1.5);
    const remembered = this.#remembered.get(topic);
    if (remembered === undefined) {
      args.push('', '', ageMs);
      return hasIds;
    }
    const now = performance.now();
    const isExtended = now >= remembered.extendAt;
    if (isExtended) remembered.extendAt = now + lifeMs(policy) / 2;
    const isTrimmed = remembered.head >= remembered.trimAt;
    if (isTrimmed) remembered.trimAt = remembered.head + Math.ceil(historySize * trimShare);
    const oldest = remembered.head - historySize + 1;
    args.push(remembered.epoch, isTrimmed && oldest > 1 ? oldest : '', isExtended ? ageMs : -ageMs);
    const rotatesIds = hasIds && now >= remembered.rotateIdsAt;
    // Half of the window would be enough; other nodes check too.
    if (rotatesIds) remembered.rotateIdsAt = now + this.settings.idempotencyWindowSeconds * 250;
    return rotatesIds;
  }

  /** The outcome of the runs of one call. */
  #onAnswer(runs: readonly Sent[], answers: readonly unknown[], isSafe: boolean, redis: RoundTrip): void {
    for (const [index, run] of runs.entries()) {
      const answer = answers[index];
      if (answer instanceof Error) {
        this.link.report(answer);
        if (isOfAnotherState(answer)) this.generations.onStale();
        this.#fail([run], unavailable(answer));
      } else if (!isSafe) this.#fail([run], new ReplyError('unconfirmed', tooFewReplicas));
      else if (Array.isArray(answer)) this.#acceptSome(run, answer as readonly Buffer[], redis);
      else this.#accept(run, parsePosition(String(answer)), redis);
    }
  }

  #accept(run: Sent, first: Position | null, redis: RoundTrip): void {
    this.#bytes -= sizeOf(run);
    if (first === null) return;
    const { epoch, offset } = first;
    const last = offset + run.count - 1;
    this.#remember(run, epoch, last);
    if (offset === 1) run.payer?.onTopicBegun();
    this.publishLog.add(run.topic, { epoch, first: offset, last, bytes: run.entry });
    for (const [index, receipt] of run.receipts.entries()) {
      receipt.accepted({ epoch, offset: offset + (run.places[index] as number) });
    }
    this.#trace(run, first, run.count, redis);
  }

  /** Some of the run's messageIds were known: those publications have the positions of their first publish. */
  #acceptSome(run: Sent, [first, ...known]: readonly Buffer[], redis: RoundTrip): void {
    this.#bytes -= sizeOf(run);
    // If nothing new was left, Redis has not checked what can be forgotten.
    const remembered = this.#remembered.get(run.topic);
    if (remembered !== undefined) remembered.rotateIdsAt = 0;
    const before = new Map<number, Position>();
    for (const [index, place] of [...run.messageIds.values()].entries()) {
      const position = parsePosition(String(known[index]));
      if (position !== null) before.set(place, position);
    }
    this.counters.publicationsKnown += before.size;
    const start = parsePosition(String(first));
    let gone = 0;
    const positions: (Position | null)[] = Array.from({ length: run.count }, (_, place) => {
      const known = before.get(place);
      if (known !== undefined) gone++;
      return known ?? (start && { epoch: start.epoch, offset: start.offset + place - gone });
    });
    this.#rememberInPieces(run, start, before);
    if (start?.offset === 1) run.payer?.onTopicBegun();
    for (const [index, receipt] of run.receipts.entries()) {
      const position = positions[run.places[index] as number] ?? null;
      if (position !== null) receipt.accepted(position);
    }
    if (start !== null) this.#trace(run, start, run.count - before.size, redis);
  }

  /**
   * Remembers the new publications as they are in the stream, and also each known one: perhaps no node has received it, and no publisher
   * has received its acknowledgement. `start`: position of the first new one.
   */
  #rememberInPieces(
    { topic, entry, messageIds }: Sent,
    start: Position | null,
    known: ReadonlyMap<number, Position>,
  ): void {
    const whole = decodeEntry({ epoch: '', offset: 0 }, entry);
    if (whole === null) return;
    const ones = inOnes(whole.run);
    const newIds = new Map<string, number>();
    let gone = 0;
    for (const [id, place] of messageIds) {
      const position = known.get(place);
      if (position === undefined) {
        newIds.set(id, place - gone);
        continue;
      }
      gone++;
      const { epoch, offset } = position;
      const bytes = encodeEntry(ones[place] ?? emptyRun, new Map([[id, 0]]));
      this.publishLog.add(topic, { epoch, first: offset, last: offset, bytes });
    }
    if (start === null) return;
    const { epoch, offset } = start;
    const left = ones.filter((_, place) => !known.has(place)).map(({ bytes }) => bytes);
    const bytes = encodeEntry({ count: left.length, bytes: Buffer.concat(left) }, newIds);
    this.publishLog.add(topic, { epoch, first: offset, last: offset + left.length - 1, bytes });
  }

  #trace({ topic, beganAt }: Sent, position: Position, count: number, redis: RoundTrip): void {
    if (this.tracer !== null) this.tracer.published({ topic, position, count, beganAt, redis });
  }

  #remember({ topic, policy }: Sent, epoch: string, head: number): void {
    const remembered = this.#remembered.get(topic);
    if (remembered?.epoch === epoch) {
      remembered.head = head;
      return;
    }
    if (this.#remembered.size >= maxRememberedTopics) this.#remembered.clear();
    // The call has just extended the expiry of a topic that was not remembered.
    const extendAt = performance.now() + lifeMs(policy) / 2;
    this.#remembered.set(topic, { epoch, head, trimAt: head, extendAt, rotateIdsAt: 0 });
  }

  #fail(runs: readonly Sent[], error: ReplyError): void {
    for (const run of runs) {
      this.#bytes -= sizeOf(run);
      for (const receipt of run.receipts) receipt.failed(error);
    }
  }

  #track(sending: Promise<void>): void {
    this.#sending.add(sending);
    void sending.finally(() => this.#sending.delete(sending));
  }
}

const tooFewReplicas =
  'The publication was delivered, but too few Redis replicas have confirmed it. It could be lost if the master fails.';

function unavailable(error: Error | null = null): ReplyError {
  const why = error !== null && isOutOfMemory(error) ? ' because it is out of memory (maxmemory)' : '';
  return new ReplyError('unavailable', `Redis cannot accept the publication now${why}. Nothing was delivered. Retry.`);
}

function unconfirmed(): ReplyError {
  return new ReplyError(
    'unconfirmed',
    'The connection to Redis failed during the publish. The publication may or may not have been delivered. With a messageId it is safe to retry.',
  );
}

/** Whether Redis lacks data that the nodes stored, or is a replica that may become a master without that data. */
function isOfAnotherState({ message }: Error): boolean {
  return /^(STALE|READONLY)\b/.test(message);
}

/** Errors that Redis gives before a script has done anything. */
function hasDoneNothing({ message }: Error): boolean {
  return /^(STALE|NOSCRIPT|READONLY|NOREPLICAS|OOM|MISCONF|NOPERM|LOADING|BUSY|MASTERDOWN)\b/.test(message);
}

function sizeOf(run: Sent): number {
  return run.entry.length + runOverheadBytes;
}

function* inPieces(runs: readonly Sent[]): Iterable<readonly Sent[]> {
  let piece: Sent[] = [];
  let bytes = 0;
  for (const run of runs) {
    if (piece.length === maxRunsPerCall || (piece.length > 0 && bytes + run.entry.length > maxBytesPerCall)) {
      yield piece;
      piece = [];
      bytes = 0;
    }
    piece.push(run);
    bytes += run.entry.length;
  }
  if (piece.length > 0) yield piece;
}
