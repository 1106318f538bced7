/**
 * Decodes the Redis messages of topics. Hands them to the topic's feed, or to its subscribers if the topic has no
 * history.
 */
import { checkRun, LayoutError, type Position, type Topic } from '@fanfare/protocol';
import type { Log } from '../observe/log.js';
import type { ChannelMessage } from '../redis/redis.js';
import { markLength } from './generation.js';
import type { Interest } from './interest.js';
import { readPosition } from './position-id.js';
import { decodeRedisMessage } from './redis-message.js';
import type { Delivery } from './relay.js';
import { decodeEntry } from './stream-entry.js';
import type { TopicState, TopicStates } from './topic-state.js';

export interface ReceiverCounters {
  redisMessagesReceived: number;
  /** Redis messages of other nodes, for topics that have no subscribers on this node. */
  redisMessagesUnwanted: number;
  /** Redis messages that could not be decoded. */
  redisMessagesUnreadable: number;
  gapsNotified: number;
}

/**
 * Separates the parts of a message of a topic with history: the position, the mark of the generation, and the entry. A
 * beacon has only the position.
 */
const space = 0x20;

export class Receiver {
  readonly #logged = new Set<string>();

  constructor(
    private readonly nodeId: Buffer,
    private readonly states: TopicStates,
    private readonly interest: Interest,
    private readonly delivery: Delivery,
    private readonly generations: { readonly mark: string | null },
    private readonly log: Log,
    private readonly counters: ReceiverCounters,
  ) {}

  receive(topic: Topic, message: ChannelMessage): void {
    this.counters.redisMessagesReceived++;
    const state = this.states.get(topic);
    const { bytes, start, end } = message;
    // Messages of topics with history begin with the digits of their position.
    if (start < end && (bytes[start] as number) >= space) this.#receivePlaced(state, topic, message);
    else this.#receiveFast(state, topic, bytes.subarray(start, end));
  }

  /** Call it if subscribers of this node may have missed publications of a topic without history. */
  notifyGap(topic: Topic): void {
    this.counters.gapsNotified++;
    this.delivery.notifyGap(topic, null);
  }

  #receivePlaced(state: TopicState | undefined, topic: Topic, { bytes, start, end }: ChannelMessage): void {
    let positionEnd = start;
    while (positionEnd < end && bytes[positionEnd] !== space) positionEnd++;
    const position = readPosition(bytes, start, positionEnd, state?.feed?.epoch ?? '');
    if (position === null) return this.#warnOfUnreadable();
    const markStart = positionEnd + 1;
    const entryStart = markStart + markLength + 1;
    if (positionEnd === end) return this.#receiveBeacon(state, position);
    const entry = bytes[entryStart - 1] === space ? decodeEntry(position, bytes.subarray(entryStart, end)) : null;
    if (entry === null) this.#warnOfUnreadable();
    else if (state?.hasHistory === false) this.#warnOfPolicies(topic);
    // Of another generation: only Redis can say what is at this position.
    else if (!this.#isCurrent(bytes, markStart)) this.#receiveBeacon(state, position);
    else if (state?.feed) state.feed.receive(entry);
    else this.counters.redisMessagesUnwanted++;
  }

  #receiveBeacon(state: TopicState | undefined, position: Position): void {
    if (state?.feed?.isOpen) state.feed.onBeacon(position);
  }

  /** Whether the mark at `start` belongs to the current generation. */
  #isCurrent(bytes: Buffer, start: number): boolean {
    const { mark } = this.generations;
    if (mark === null) return false;
    for (let at = 0; at < mark.length; at++) if (bytes[start + at] !== mark.charCodeAt(at)) return false;
    return true;
  }

  #receiveFast(state: TopicState | undefined, topic: Topic, message: Buffer): void {
    const decoded = decodeRedisMessage(message, this.nodeId);
    if (decoded === null) return this.#warnOfUnreadable();
    const { isOwn, run } = decoded;
    if (isOwn) return;
    try {
      checkRun(run);
    } catch (error) {
      // An error thrown here would end the process.
      if (!(error instanceof LayoutError)) throw error;
      return this.#warnOfUnreadable();
    }
    if (state?.hasHistory) return this.#warnOfPolicies(topic);
    if (state !== undefined) this.interest.beforeDelivery(state);
    if (run.count === 0) this.notifyGap(topic);
    else if (!this.delivery.deliver(topic, null, run)) this.counters.redisMessagesUnwanted++;
  }

  #warnOfUnreadable(): void {
    this.counters.redisMessagesUnreadable++;
    if (this.#isLogged('unreadable')) return;
    this.log.warn(
      { event: 'redisMessageUnreadable' },
      'Received a Redis message that this node cannot decode. Check whether a node of another version, or another program, uses the same FANFARE_REDIS_PREFIX. Logged once; see the metric fanfare_redis_messages_unreadable_total.',
    );
  }

  #warnOfPolicies(topic: Topic): void {
    this.counters.redisMessagesUnreadable++;
    if (this.#isLogged('policies')) return;
    this.log.error(
      { event: 'policiesDiffer', topic },
      'Another node publishes to this topic with a different level. This node does not deliver its publications. Give all nodes the same FANFARE_TOPICS. Logged once.',
    );
  }

  #isLogged(what: string): boolean {
    if (this.#logged.has(what)) return true;
    this.#logged.add(what);
    return false;
  }
}
