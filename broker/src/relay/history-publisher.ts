/**
 * Publishes to topics with history. It sends the runs of a turn as calls of lua/publish.lua: many runs in each call,
 * and all calls in one write. It delivers nothing itself: every listening node, this one included, receives the
 * publications from Redis in offset order.
 */
import { emptyRun, type Position, ReplyError, type Topic } from '@fanfare/protocol';
import {
  type CommandStream,
  type CommandWriter,
  isLost,
  isOutOfMemory,
  lostError,
  PendingCall,
  type Reply,
  type Script,
  type Wait,
} from '../redis/redis.js';
import { lifeMs, type TopicPolicy } from '../topics/policy.js';
import type { Generation, GenerationSource } from './generation.js';
import { groupIds, type IdGroup, partsPerIdGroup } from './id-group.js';
import type { Keys } from './keys.js';
import { Outcomes } from './outcomes.js';
import { parsePosition, readPosition } from './position-id.js';
import { type Batch, runOverheadBytes } from './publish-batcher.js';
import type { PublishLog } from './publish-log.js';
import type { PublishScript } from './publish-script.js';
import type { Payer, PublishTracer, Receipt, TakenRun } from './relay.js';
import type { RelayPart } from './relay-share.js';
import { isUnknownScript } from './scripts.js';
import { Segments } from './segments.js';
import { decodeEntry, encodeEntry, inOnes } from './stream-entry.js';

/** The connection that publishes, as this file needs it. */
export interface PublishingLink {
  /** Null while the connection does not work. */
  readonly commands: CommandStream | null;
  /** Reports an error. */
  report(error: Error): void;
  /** Reports a reply if it is an error that the relay does not expect. */
  reportReply(reply: Reply): void;
}

export interface HistoryPublisherSettings {
  readonly idempotencyWindowSeconds: number;
}

export interface HistoryPublisherCounters {
  /** Publications that were not published again, because their topic had the messageId already. */
  publicationsKnown: number;
  redisScriptCalls: number;
  observeRelaySeconds(seconds: number): void;
}

/** The maximum runs and bytes of one call: Redis does nothing else during a call. */
const maxRunsPerCall = 64;
const maxBytesPerCall = 262_144;

/**
 * Maximum number of topics whose head a node remembers. Beyond it, the node forgets all. Redis finds a head with the
 * next publication.
 */
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
  readonly idGroups: readonly IdGroup[];
  readonly payer: Payer | null;
  readonly beganAt: number;
}

/** The calls of one turn, and the replies to them, one for each piece. */
class PublishCall extends PendingCall {
  readonly replies: Reply[];
  #received = 0;

  constructor(
    readonly pieces: readonly (readonly Sent[])[],
    readonly generation: Generation,
    private readonly onAnswered: (call: PublishCall) => void,
  ) {
    super();
    this.replies = new Array<Reply>(pieces.length);
  }

  override onReply(reply: Reply): boolean {
    this.replies[this.#received++] = reply;
    return this.#received === this.replies.length;
  }

  override onComplete(): void {
    this.onAnswered(this);
  }

  override onLost(): void {
    // Each piece without a reply fails.
    this.replies.fill(lostError(), this.#received);
    this.onAnswered(this);
  }
}

/** When a call was sent to Redis and answered. */
type RoundTrip = NonNullable<TakenRun['redis']>;

export class HistoryPublisher {
  readonly #remembered = new Map<Topic, Remembered>();
  /** The generation to which {@link #remembered} belongs. */
  #rememberedIn: Generation | null = null;
  readonly #segments = new Segments();
  readonly #take = (length: number): Buffer => this.#segments.take(length);
  readonly #onAnswered = (call: PublishCall): void => {
    if (this.wait === null) this.#conclude(call, null);
  };
  readonly #outcomes = new Outcomes();
  /** Calls that Redis has not answered. */
  #unanswered = 0;
  /** The copy that all calls on the way use. */
  #script: Script;
  /** Runs that Redis refused because it has lost the copy; null while Redis has the copy. */
  #refused: Sent[] | null = null;
  /** Runs that wait until nothing is in their way. */
  #queued: Sent[] = [];

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
    private readonly part: RelayPart,
  ) {
    this.#script = publishScript.current;
  }

  /** Whether this publisher has published to the topic and remembers the head of the topic. */
  hasPublished(topic: Topic): boolean {
    return this.#remembered.has(topic);
  }

  readonly #runOf = (batch: Batch): Sent => {
    const { topic, policy, run, receipts, places, messageIds, payer, beganAt } = batch;
    const entry = encodeEntry(run, messageIds, this.#take);
    const idGroups = groupIds(messageIds);
    const sent = { topic, policy, count: run.count, entry, receipts, places, messageIds, idGroups, payer, beganAt };
    this.part.waiting.bytes += sizeOf(sent);
    this.#outcomes.onSent();
    return sent;
  };

  /** Sends the runs of a turn; those of one topic in order. */
  publish(batches: readonly Batch[]): void {
    if (batches.length === 0) return;
    const mustWait = this.#mustWait;
    const refusal = mustWait ? null : this.#refusal();
    if (refusal !== null) {
      for (const { receipts } of batches) for (const receipt of receipts) receipt.failed(refusal);
      return;
    }
    const runs = batches.map(this.#runOf);
    if (!mustWait) return this.#send(runs);
    const isFirst = this.#queued.length === 0;
    this.#queued.push(...runs);
    if (isFirst) this.#sendQueued();
  }

  /** Resolves when everything that was sent so far has its outcome. */
  settled(): Promise<void> {
    return this.#outcomes.settled();
  }

  /** Whether runs wait: for a copy of the script, for replicas, or behind others of their topics that do. */
  get #mustWait(): boolean {
    return this.#refused !== null || this.#queued.length > 0 || this.#isBlocked;
  }

  /**
   * Redis executes no call while an earlier one of the connection waits for replicas. Further calls would fill the
   * connection until it looks dead. So what arrives meanwhile is sent together.
   */
  get #isBlocked(): boolean {
    return this.wait !== null && this.link.commands?.replicaWait.isPending === true;
  }

  /** Why nothing can be sent now; null if it can. */
  #refusal(): ReplyError | null {
    return this.generations.generation === null || this.link.commands === null ? unavailable() : null;
  }

  #send(runs: readonly Sent[]): void {
    const { generation } = this.generations;
    const { commands } = this.link;
    if (generation === null || commands === null) return this.#fail(runs, unavailable());
    if (generation !== this.#rememberedIn) {
      this.#rememberedIn = generation;
      this.#remembered.clear();
    }
    // Never send calls of two copies at once: Redis could refuse calls of the first, and then accept calls of the
    // second.
    if (this.#unanswered === 0) this.#script = this.publishScript.current;
    const pieces = inPieces(runs);
    for (const piece of pieces) this.#write(commands.writer, piece, generation);
    this.#unanswered++;
    this.counters.redisScriptCalls += pieces.length;
    const call = new PublishCall(pieces, generation, this.#onAnswered);
    if (this.wait !== null) commands.replicaWait.join(this.wait, (waited) => this.#conclude(call, waited));
    commands.expect(call);
  }

  /** Handles the replies to the calls of one turn. `waited`: the reply to WAIT; null if it was not sent, or lost. */
  #conclude({ pieces, generation, replies, sentAt }: PublishCall, waited: Reply): void {
    this.#unanswered--;
    const answeredAt = performance.now();
    this.counters.observeRelaySeconds((answeredAt - sentAt) / 1_000);
    // Replicas of another generation may have lost a part of this one.
    const isSame = this.generations.generation?.recovery === generation.recovery;
    const isSafe = this.wait === null || (Number(waited) >= this.wait.replicas && isSame);
    if (!isSafe && isSame && typeof waited === 'number') this.link.report(new Error(`WAIT ${waited}`));
    for (let index = 0; index < pieces.length; index++) {
      const piece = pieces[index] as readonly Sent[];
      const answer = replies[index];
      if (Array.isArray(answer)) this.#onAnswer(piece, answer, isSafe, { sentAt, answeredAt });
      else if (!(answer instanceof Error)) this.#fail(piece, unreadable());
      else if (isUnknownScript(answer)) {
        this.#refused ??= [];
        this.#refused.push(...piece);
        for (const { topic } of piece) this.#redoUpkeep(topic);
      } else {
        this.link.reportReply(answer);
        if (isOfAnotherState(answer)) this.generations.onStale();
        this.#fail(piece, hasDoneNothing(answer) ? unavailable(answer) : unconfirmed(answer));
      }
    }
    // If the copy is missing, later calls were refused too. Their order for sending them again is known only when all
    // are answered.
    if (this.#unanswered === 0 && this.#refused !== null) void this.#sendAgain();
  }

  /** Sends the runs that wait, or does so as soon as nothing is in their way. */
  #sendQueued(): void {
    if (this.#refused !== null) return;
    if (this.#isBlocked) return this.link.commands?.replicaWait.afterwards(() => this.#sendQueued());
    const runs = this.#queued;
    this.#queued = [];
    if (runs.length > 0) this.#send(runs);
  }

  async #sendAgain(): Promise<void> {
    const isReplaced = await this.publishScript.replace(this.#script).then(
      () => true,
      () => false,
    );
    const runs = [...(this.#refused ?? []), ...this.#queued];
    this.#refused = null;
    this.#queued = runs;
    if (isReplaced) return this.#sendQueued();
    this.#queued = [];
    this.#fail(runs, unavailable());
  }

  #write(writer: CommandWriter, runs: readonly Sent[], { name, minEpoch }: Generation): void {
    let [keyCount, groupCount] = [3, 0];
    for (const { idGroups } of runs) {
      keyCount += idGroups.length === 0 ? 1 : 3;
      groupCount += idGroups.length;
    }
    writer.command(7 + keyCount + runs.length * 7 + groupCount * partsPerIdGroup);
    writer.asciiPart('EVALSHA');
    writer.asciiPart(this.#script.sha);
    writer.numberPart(keyCount);
    writer.part(this.keys.generation);
    writer.part(this.keys.newestEpoch);
    writer.part(this.keys.run);
    for (const { topic, messageIds } of runs) {
      if (messageIds.size === 0) writer.part(this.keys.topic(topic));
      else for (const key of this.keys.withIds(topic)) writer.part(key);
    }
    writer.part(name);
    writer.part(minEpoch);
    writer.numberPart(this.settings.idempotencyWindowSeconds * 1_000);
    writer.asciiPart(this.wait === null ? '' : '1');
    for (const run of runs) {
      const { count, entry, idGroups } = run;
      const rotatesIds = this.#writeUpkeep(writer, run);
      writer.numberPart(count);
      writer.bytesPart(entry);
      writer.asciiPart(rotatesIds ? '1' : '');
      writer.numberPart(idGroups.length);
      for (const { stem, lastCharacters, place } of idGroups) {
        writer.asciiPart(stem);
        writer.asciiPart(lastCharacters);
        writer.numberPart(place);
      }
    }
  }

  /**
   * Writes the epoch, the offset to trim to, and the new expiry. Leaves a value empty if it is unknown or not due yet.
   * Returns whether Redis must check if old messageIds can be forgotten.
   */
  #writeUpkeep(writer: CommandWriter, { topic, policy, messageIds }: Sent): boolean {
    const { historySize } = policy;
    const hasIds = messageIds.size > 0;
    // The expiry is extended once per half of the life of the stream.
    const ageMs = Math.ceil(lifeMs(policy) * 1.5);
    const remembered = this.#remembered.get(topic);
    if (remembered === undefined) {
      writer.asciiPart('');
      writer.asciiPart('');
      writer.numberPart(ageMs);
      return hasIds;
    }
    const now = performance.now();
    const isExtended = now >= remembered.extendAt;
    if (isExtended) remembered.extendAt = now + lifeMs(policy) / 2;
    const isTrimmed = remembered.head >= remembered.trimAt;
    if (isTrimmed) remembered.trimAt = remembered.head + Math.ceil(historySize * trimShare);
    const oldest = remembered.head - historySize + 1;
    writer.asciiPart(remembered.epoch);
    if (isTrimmed && oldest > 1) writer.numberPart(oldest);
    else writer.asciiPart('');
    writer.numberPart(isExtended ? ageMs : -ageMs);
    const rotatesIds = hasIds && now >= remembered.rotateIdsAt;
    // Half of the window would be enough; other nodes check too.
    if (rotatesIds) remembered.rotateIdsAt = now + this.settings.idempotencyWindowSeconds * 250;
    return rotatesIds;
  }

  /** The outcome of the runs of one call. */
  #onAnswer(runs: readonly Sent[], answers: readonly Reply[], isSafe: boolean, redis: RoundTrip): void {
    for (let index = 0; index < runs.length; index++) {
      const run = runs[index] as Sent;
      const answer = answers[index];
      if (answer instanceof Error) {
        this.link.report(answer);
        if (isOfAnotherState(answer)) this.generations.onStale();
        this.#fail([run], unavailable(answer));
        continue;
      }
      const first = Buffer.isBuffer(answer) ? this.#positionIn(run, answer) : null;
      if (first?.offset === 1) run.payer?.onTopicBegun();
      if (!isSafe) this.#fail([run], new ReplyError('unconfirmed', tooFewReplicas));
      else if (Array.isArray(answer)) this.#acceptSome(run, answer, redis);
      else if (first === null) this.#fail([run], unreadable());
      else this.#accept(run, first, redis);
    }
  }

  #positionIn({ topic }: Sent, answer: Buffer): Position | null {
    return readPosition(answer, 0, answer.length, this.#remembered.get(topic)?.epoch ?? '');
  }

  #accept(run: Sent, first: Position, redis: RoundTrip): void {
    this.#onOutcome(run);
    const { epoch, offset } = first;
    const last = offset + run.count - 1;
    this.#remember(run, epoch, last);
    this.publishLog.add(run.topic, { epoch, first: offset, last, bytes: run.entry });
    for (let index = 0; index < run.receipts.length; index++) {
      (run.receipts[index] as Receipt).accepted({ epoch, offset: offset + (run.places[index] as number) }, false);
    }
    this.#trace(run, first, run.count, redis);
  }

  /** Some of the run's messageIds were known: those publications have the positions of their first publish. */
  #acceptSome(run: Sent, [first, ...known]: readonly Reply[], redis: RoundTrip): void {
    this.#onOutcome(run);
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
      const place = run.places[index] as number;
      const position = positions[place] ?? null;
      if (position === null) receipt.failed(unreadable());
      else receipt.accepted(position, before.has(place));
    }
    if (start !== null) this.#trace(run, start, run.count - before.size, redis);
  }

  /**
   * Remembers the new publications as they are in the stream, and also each known one: perhaps no node has received it,
   * and no publisher has received its acknowledgement. `start`: position of the first new one.
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
    const { hasKeys } = whole.run;
    const bytes = encodeEntry({ count: left.length, bytes: Buffer.concat(left), hasKeys }, newIds);
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
    if (this.#remembered.size >= this.part.topics(maxRememberedTopics)) this.#remembered.clear();
    // The call has just extended the expiry of a topic that was not remembered, but not that of a new history.
    const extendAt = remembered === undefined ? performance.now() + lifeMs(policy) / 2 : 0;
    this.#remembered.set(topic, { epoch, head, trimAt: head, extendAt, rotateIdsAt: 0 });
  }

  /** Redis may not have done what the last call of the topic asked for in addition: the next call asks again. */
  #redoUpkeep(topic: Topic): void {
    const remembered = this.#remembered.get(topic);
    if (remembered === undefined) return;
    remembered.extendAt = 0;
    remembered.trimAt = remembered.head;
    remembered.rotateIdsAt = 0;
  }

  #fail(runs: readonly Sent[], error: ReplyError): void {
    for (const run of runs) {
      this.#redoUpkeep(run.topic);
      this.#onOutcome(run);
      for (const receipt of run.receipts) receipt.failed(error);
    }
  }

  #onOutcome(run: Sent): void {
    this.part.waiting.bytes -= sizeOf(run);
    this.#outcomes.onKnown();
  }
}

const tooFewReplicas =
  'The publication was delivered, but too few Redis replicas have confirmed it. It could be lost if the master fails.';

function unavailable(error: Error | null = null): ReplyError {
  const why = error !== null && isOutOfMemory(error) ? ' because it is out of memory (maxmemory)' : '';
  return new ReplyError('unavailable', `Redis cannot accept the publication now${why}. Nothing was delivered. Retry.`);
}

function unconfirmed(error: Error): ReplyError {
  const what = isLost(error) ? 'The connection to Redis failed' : 'Redis returned an error';
  return new ReplyError('unconfirmed', `${what} during the publish. ${unknownOutcome}`);
}

const unknownOutcome = 'The publication may or may not have been delivered. With a messageId it is safe to retry.';

/** The server, or something between it and the node, is not the Redis that the node expects. */
function unreadable(): ReplyError {
  return new ReplyError('unconfirmed', `Redis gave an answer that is not one of the publish script. ${unknownOutcome}`);
}

/** Whether Redis lacks data that the nodes stored, or is a replica that may become a master without that data. */
function isOfAnotherState({ message }: Error): boolean {
  return /^(STALE|READONLY)\b/.test(message);
}

/** Errors that Redis gives before a script has done anything. */
function hasDoneNothing({ message }: Error): boolean {
  return /^(STALE|NOSCRIPT|READONLY|NOREPLICAS|OOM|MISCONF|NOPERM|LOADING|BUSY|MASTERDOWN|MOVED|ASK|TRYAGAIN|CLUSTERDOWN)\b/.test(
    message,
  );
}

function sizeOf(run: Sent): number {
  return run.entry.length + runOverheadBytes;
}

function inPieces(runs: readonly Sent[]): readonly (readonly Sent[])[] {
  let bytes = 0;
  for (const { entry } of runs) bytes += entry.length;
  if (runs.length <= maxRunsPerCall && bytes <= maxBytesPerCall) return [runs];
  const pieces: Sent[][] = [];
  let piece: Sent[] = [];
  bytes = 0;
  for (const run of runs) {
    if (piece.length === 0 || piece.length === maxRunsPerCall || bytes + run.entry.length > maxBytesPerCall) {
      piece = [];
      bytes = 0;
      pieces.push(piece);
    }
    piece.push(run);
    bytes += run.entry.length;
  }
  return pieces;
}
