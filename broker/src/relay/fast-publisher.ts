/**
 * Publishes to topics without history. The runs of a turn are sent as one SPUBLISH for each topic, all at once. This
 * node's own subscribers get them first, without Redis.
 */
import { emptyRun, ReplyError, type Topic } from '@fanfare/protocol';
import { type CommandStream, PendingCall, RedisError, type Reply } from '../redis/redis.js';
import type { Keys } from './keys.js';
import { Outcomes } from './outcomes.js';
import { type Batch, runOverheadBytes } from './publish-batcher.js';
import { writeRedisMessage } from './redis-message.js';
import type { Delivery, Receipt } from './relay.js';
import type { RelayPart } from './relay-share.js';

/** The connection that publishes, as this file needs it. */
interface FastLink {
  /** Null while the connection does not work. */
  readonly commands: CommandStream | null;
  /** Reports an error of Redis; ignores any other reply. */
  reportReply(reply: Reply): void;
}

export interface FastPublisherCounters {
  /** Publications that reached only this node's subscribers, because Redis could not be reached. */
  publicationsUnrelayed: number;
  redisPublishCommands: number;
  observeRelaySeconds(seconds: number): void;
}

/** Whether partitions may have moved away unnoticed, as this file needs it ({@link MapLease}). */
interface PublishLease {
  readonly isValid: boolean;
  readonly term: number;
}

/**
 * The maximum number of remembered topics whose subscribers on other nodes must get a gap. Each takes 100 bytes.
 * Subscribers of further topics get no gap.
 */
const maxUnrelayedTopics = 100_000;

/** What the publisher does with the outcome of its messages. */
interface Owner {
  /** Whether the topics were in this Redis when it answered. `term`: of the lease, when the messages were sent. */
  isCertain(term: number): boolean;
  /** `error`: what Redis answered; null if it is not known whether subscribers of other nodes have received it. */
  failed(topic: Topic, receipts: readonly Receipt[], error: RedisError | null): void;
  ended(call: FastCall): void;
}

/** Maximum number of gaps in one call: an outage may leave many, and publications must not wait for all of them. */
const maxGapsPerCall = 500;

/** The messages of one turn. */
class FastCall extends PendingCall {
  readonly topics: Topic[] = [];
  readonly receipts: (readonly Receipt[])[] = [];
  bytes = 0;
  /** The first error among the replies. */
  error: RedisError | null = null;
  #answered = 0;

  /** `isOfGaps`: it announces gaps, not publications. */
  constructor(
    private readonly owner: Owner,
    readonly isOfGaps: boolean,
    private readonly term: number,
  ) {
    super();
  }

  override onReply(reply: Reply): boolean {
    if (reply instanceof RedisError) {
      this.error ??= reply;
      this.#fail(reply);
    } else if (!this.owner.isCertain(this.term)) this.#fail(null);
    else for (const receipt of this.receipts[this.#answered++] ?? []) receipt.accepted(null, false);
    return this.#answered === this.topics.length;
  }

  override onComplete(): void {
    this.owner.ended(this);
  }

  override onLost(): void {
    while (this.#answered < this.topics.length) this.#fail(null);
    this.owner.ended(this);
  }

  #fail(error: RedisError | null): void {
    const index = this.#answered++;
    this.owner.failed(this.topics[index] as Topic, this.receipts[index] ?? [], error);
  }
}

export class FastPublisher {
  readonly #outcomes = new Outcomes();
  /** Topics with publications that may not have reached the other nodes. Those nodes do not know of them. */
  readonly #unrelayedTopics = new Set<Topic>();
  readonly #owner: Owner = {
    isCertain: (term) => this.lease.isValid && this.lease.term === term,
    failed: (topic, receipts, error) => this.#fail(topic, receipts, error),
    ended: (call) => this.#onEnded(call),
  };
  #isAnnouncing = false;

  constructor(
    private readonly nodeId: Buffer,
    private readonly link: FastLink,
    private readonly keys: Keys,
    private readonly delivery: Delivery,
    private readonly counters: FastPublisherCounters,
    private readonly part: RelayPart,
    private readonly lease: PublishLease,
    /** Whether a topic is about to move to another Redis. */
    private readonly isFrozen: (topic: Topic) => boolean = () => false,
  ) {}

  /** Sends the runs of a turn, and delivers them here. */
  publish(batches: readonly Batch[]): void {
    const { commands } = this.link;
    if (commands !== null) this.#send(commands, batches, false);
    for (const { topic, run, receipts } of batches) {
      if (commands === null) {
        this.counters.publicationsUnrelayed += run.count;
        this.#fail(topic, receipts, null);
      }
      this.delivery.deliver(topic, null, run);
    }
  }

  /** Resolves when everything that was sent has its outcome. */
  settled(): Promise<void> {
    return this.#outcomes.settled();
  }

  /** A publication that was not sent is lost: the subscribers of all nodes must be notified of a gap. */
  lose(topic: Topic): void {
    if (!this.#unrelayedTopics.has(topic)) this.delivery.notifyGap(topic, null);
    this.#remember(topic);
    this.announceGaps();
  }

  /** Another relay of this node has the topics now: it announces what the subscribers of other nodes have missed. */
  handOver(isMoved: (topic: Topic) => boolean, to: FastPublisher): void {
    for (const topic of this.#unrelayedTopics) {
      if (!isMoved(topic)) continue;
      this.#unrelayedTopics.delete(topic);
      to.#remember(topic);
    }
    to.announceGaps();
  }

  /** The other nodes can be reached again. An empty run makes them notify their subscribers of a gap. */
  announceGaps(): void {
    const { commands } = this.link;
    if (commands === null || this.#unrelayedTopics.size === 0 || this.#isAnnouncing) return;
    const gaps: Pick<Batch, 'topic' | 'run' | 'receipts'>[] = [];
    for (const topic of this.#unrelayedTopics) {
      if (gaps.length === maxGapsPerCall) break;
      // Its subscribers listen to the other Redis, perhaps only there.
      if (this.isFrozen(topic)) continue;
      gaps.push({ topic, run: emptyRun, receipts: [] });
      this.#unrelayedTopics.delete(topic);
    }
    if (gaps.length === 0) return;
    this.#isAnnouncing = true;
    this.#send(commands, gaps, true);
  }

  #send(
    commands: CommandStream,
    messages: readonly Pick<Batch, 'topic' | 'run' | 'receipts'>[],
    isOfGaps: boolean,
  ): void {
    const { writer } = commands;
    const call = new FastCall(this.#owner, isOfGaps, this.lease.term);
    for (const { topic, run, receipts } of messages) {
      writer.command(3);
      writer.asciiPart('SPUBLISH');
      writer.part(this.keys.topic(topic));
      writeRedisMessage(writer, this.nodeId, run);
      call.topics.push(topic);
      call.receipts.push(receipts);
      if (!isOfGaps) call.bytes += run.bytes.length + runOverheadBytes;
      this.counters.redisPublishCommands++;
    }
    this.part.waiting.bytes += call.bytes;
    this.#outcomes.onSent();
    commands.expect(call);
  }

  #onEnded({ sentAt, bytes, error, isOfGaps }: FastCall): void {
    this.counters.observeRelaySeconds((performance.now() - sentAt) / 1_000);
    this.part.waiting.bytes -= bytes;
    this.link.reportReply(error);
    this.#outcomes.onKnown();
    if (!isOfGaps) return;
    this.#isAnnouncing = false;
    // If Redis refuses them, the next probe that returns tries again.
    if (error === null && this.lease.isValid) this.announceGaps();
  }

  #remember(topic: Topic): void {
    if (this.#unrelayedTopics.size < this.part.topics(maxUnrelayedTopics)) this.#unrelayedTopics.add(topic);
  }

  #fail(topic: Topic, receipts: readonly Receipt[], error: RedisError | null): void {
    this.#remember(topic);
    for (const receipt of receipts) receipt.failed(new ReplyError('unconfirmed', error === null ? lost : refused));
  }
}

const lost = 'The connection to Redis failed during the publish. The publication may or may not have been delivered.';
const refused =
  'Redis refused the publication. Subscribers on this node have received it, and subscribers on other nodes have not.';
