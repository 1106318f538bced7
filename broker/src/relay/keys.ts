/** Every name that Fanfare uses in Redis. */
import { parseTopic, type Topic } from '@fanfare/protocol';

export class Keys {
  readonly #topicPrefix: string;

  constructor(prefix: string) {
    this.#topicPrefix = `${prefix}:topic:`;
  }

  /** The pub/sub channel of a topic. */
  channelOf(topic: Topic): string {
    return this.#topicPrefix + topic;
  }

  /** The topic of a channel that {@link channelOf} made; null for any other channel. */
  topicOf(channel: Buffer): Topic | null {
    const name = channel.toString('latin1');
    return name.startsWith(this.#topicPrefix) ? parseTopic(name.slice(this.#topicPrefix.length)) : null;
  }
}
