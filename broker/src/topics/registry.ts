/** Counts the subscribers of each topic on this node. The sockets themselves are in uWebSockets' own topic sets. */
import type { Encoding, Topic } from '@fanfare/protocol';

/**
 * The subscribers of one topic on this node, counted by encoding: subscribers with the same encoding get the same
 * frames. Each topic has such an object, so it is small. The names of its groups are created when they are needed.
 */
export class Audience {
  readonly topic: Topic;
  /** How many subscribers use each encoding. */
  msgpack = 0;
  json = 0;

  constructor(topic: Topic) {
    this.topic = topic;
  }

  get size(): number {
    return this.msgpack + this.json;
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
    let audience = this.#audiences.get(topic);
    if (audience === undefined) {
      audience = new Audience(topic);
      this.#audiences.set(topic, audience);
    }
    audience[encoding]++;
    this.#subscriptions++;
  }

  /** Counts one subscriber less; it must have been added. `last`: the topic has no more subscribers on this node. */
  remove(topic: Topic, encoding: Encoding): 'last' | 'others' {
    const audience = this.#audiences.get(topic);
    if (audience === undefined) throw new Error(`Nobody is subscribed to ${topic}.`);
    audience[encoding]--;
    this.#subscriptions--;
    if (audience.size > 0) return 'others';
    this.#audiences.delete(topic);
    return 'last';
  }
}
