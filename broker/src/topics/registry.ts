/**
 * Counts the subscribers of each topic on this node. The WebSockets themselves are in uWebSockets' own topic sets. Event
 * streams and held polls are here.
 */
import type { Encoding, Position, Topic } from '@fanfare/protocol';
import type { EventRun } from './event-run.js';

/** An event stream or a held poll. */
export interface StreamSubscriber {
  /** The next publications of the topic. The run is valid until this returns. */
  onRun(run: EventRun): void;
  /** See `Delivery.notifyGap` (relay/relay.ts). */
  onGap(topic: Topic, position: Position | null): void;
  /** See `Delivery.notifyReset` (relay/relay.ts). */
  onReset(topic: Topic, position: Position): void;
}

/**
 * The subscribers of one topic on this node, counted by encoding: subscribers with the same encoding get the same
 * frames. Each topic has such an object, so it is small. The names of its groups are created when they are needed.
 */
export class Audience {
  readonly topic: Topic;
  /** How many subscribers use each encoding. */
  msgpack = 0;
  json = 0;
  /** Null, one, or a Set of several: most topics of users have one subscriber, and a Set takes a lot of memory. */
  streams: StreamSubscriber | Set<StreamSubscriber> | null = null;

  constructor(topic: Topic) {
    this.topic = topic;
  }

  get size(): number {
    return this.msgpack + this.json + this.streamCount;
  }

  get streamCount(): number {
    const { streams } = this;
    if (streams === null) return 0;
    return streams instanceof Set ? streams.size : 1;
  }
}

/** The name by which the socket library knows the subscribers of a topic that get the same frames. */
export function groupOf(topic: Topic, encoding: Encoding): string {
  return encoding === 'msgpack' ? `m:${topic}` : `j:${topic}`;
}

export class Registry {
  readonly #audiences = new Map<Topic, Audience>();
  #subscriptions = 0;

  /** Topics with subscribers on this node. */
  get topics(): number {
    return this.#audiences.size;
  }

  /** Subscriptions of all connections of this node. */
  get subscriptions(): number {
    return this.#subscriptions;
  }

  audienceOf(topic: Topic): Readonly<Audience> | undefined {
    return this.#audiences.get(topic);
  }

  /** Counts one more subscriber. */
  add(topic: Topic, encoding: Encoding): void {
    this.#newAudienceOf(topic)[encoding]++;
    this.#subscriptions++;
  }

  /** Adds a stream that is not yet subscribed to the topic. */
  addStream(topic: Topic, stream: StreamSubscriber): void {
    const audience = this.#newAudienceOf(topic);
    const { streams } = audience;
    if (streams === null) audience.streams = stream;
    else if (streams instanceof Set) streams.add(stream);
    else audience.streams = new Set([streams, stream]);
    this.#subscriptions++;
  }

  /** Counts one subscriber less; it must have been added. `last`: the topic has no more subscribers on this node. */
  remove(topic: Topic, encoding: Encoding): 'last' | 'others' {
    const audience = this.#knownAudienceOf(topic);
    audience[encoding]--;
    return this.#leave(audience);
  }

  /** Removes a stream, which must have been added. `last`: see {@link remove}. */
  removeStream(topic: Topic, stream: StreamSubscriber): 'last' | 'others' {
    const audience = this.#knownAudienceOf(topic);
    if (audience.streams instanceof Set) audience.streams.delete(stream);
    else audience.streams = null;
    return this.#leave(audience);
  }

  #newAudienceOf(topic: Topic): Audience {
    let audience = this.#audiences.get(topic);
    if (audience === undefined) {
      audience = new Audience(topic);
      this.#audiences.set(topic, audience);
    }
    return audience;
  }

  #knownAudienceOf(topic: Topic): Audience {
    const audience = this.#audiences.get(topic);
    if (audience === undefined) throw new Error(`Nobody is subscribed to ${topic}.`);
    return audience;
  }

  #leave(audience: Audience): 'last' | 'others' {
    this.#subscriptions--;
    if (audience.size > 0) return 'others';
    this.#audiences.delete(audience.topic);
    return 'last';
  }
}
