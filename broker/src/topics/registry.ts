/** Who on this node is subscribed to what: only counts, because the sockets themselves stand in uWebSockets' own topic sets. */
import type { Encoding, Topic } from '@fanfare/protocol';

/** The subscribers of one topic on this node. */
export interface Audience {
  readonly topic: Topic;
  readonly msgpack: Group;
  readonly json: Group;
}

/** Those of them who take the same frames. */
export interface Group {
  /** The name under which the socket library knows the group. */
  readonly name: string;
  readonly size: number;
}

export class Registry {
  readonly #audiences = new Map<Topic, MutableAudience>();
  readonly #onLast: (topic: Topic) => void;
  #subscriptions = 0;

  /** `onLast` is told when the last subscriber of a topic on this node has left. */
  constructor(onLast: (topic: Topic) => void) {
    this.#onLast = onLast;
  }

  /** Topics with subscribers on this node. */
  get topics(): number {
    return this.#audiences.size;
  }

  /** Subscriptions of all connections of this node. */
  get subscriptions(): number {
    return this.#subscriptions;
  }

  audienceOf(topic: Topic): Audience | undefined {
    return this.#audiences.get(topic);
  }

  /** Counts one more subscriber. Answers the group that its socket is to join. */
  add(topic: Topic, encoding: Encoding): Group {
    let audience = this.#audiences.get(topic);
    if (audience === undefined) {
      audience = { topic, msgpack: { name: `m:${topic}`, size: 0 }, json: { name: `j:${topic}`, size: 0 } };
      this.#audiences.set(topic, audience);
    }
    audience[encoding].size++;
    this.#subscriptions++;
    return audience[encoding];
  }

  /** Counts one subscriber less; it must have been added. Answers the group that its socket is to leave. */
  remove(topic: Topic, encoding: Encoding): Group {
    const audience = this.#audiences.get(topic);
    if (audience === undefined) throw new Error(`Nobody is subscribed to ${topic}.`);
    audience[encoding].size--;
    this.#subscriptions--;
    if (audience.msgpack.size + audience.json.size === 0) {
      this.#audiences.delete(topic);
      this.#onLast(topic);
    }
    return audience[encoding];
  }
}

type MutableGroup = { -readonly [field in keyof Group]: Group[field] };

interface MutableAudience extends Audience {
  readonly msgpack: MutableGroup;
  readonly json: MutableGroup;
}
