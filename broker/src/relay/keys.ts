/** Every name that Fanfare uses in Redis. */
import { parseTopic, type Topic } from '@fanfare/protocol';

export class Keys {
  /** Names the time in which Redis has lost nothing (lua/recover.lua). */
  readonly generation: string;
  /** The newest epoch that any topic has been given (lua/stream.lua). */
  readonly newestEpoch: string;
  /** Which copy of the script that publishes is in use (lua/choose-copy.lua). */
  readonly copy: string;
  /** The server process that the generation was last found whole in. */
  readonly run: string;
  /** How old the data is (lua/heartbeat.lua). */
  readonly clock: string;
  /** The recovery that is under way after a loss. */
  readonly recovery: string;
  /** The nodes, by their last sign of life. */
  readonly nodes: string;
  /** How many connections each of them has (lua/heartbeat.lua). */
  readonly connections: string;
  /** Version of the layout of all this (lua/recover.lua). */
  readonly layout: string;
  /** The pub/sub channel on which nodes call each other to a recovery. */
  readonly control: string;
  readonly #probePrefix: string;
  readonly #topicPrefix: string;

  constructor(prefix: string) {
    this.generation = `${prefix}:generation`;
    this.newestEpoch = `${prefix}:epoch`;
    this.copy = `${prefix}:script`;
    this.run = `${prefix}:run`;
    this.clock = `${prefix}:clock`;
    this.recovery = `${prefix}:recovery`;
    this.nodes = `${prefix}:nodes`;
    this.connections = `${prefix}:connections`;
    this.layout = `${prefix}:layout`;
    this.control = `${prefix}:control`;
    this.#probePrefix = `${prefix}:probe:`;
    this.#topicPrefix = `${prefix}:topic:`;
  }

  /** The stream of a topic's history and, by the same name, its pub/sub channel. Its messageIds stand beside it (`…:ids`). */
  topic(topic: Topic): string {
    return this.#topicPrefix + topic;
  }

  /** The stream and channel on which a node hears itself. */
  probe(nodeId: string): string {
    return this.#probePrefix + nodeId;
  }

  /** The topic of a channel that {@link topic} made; null for any other channel. */
  topicOf(channel: string): Topic | null {
    return channel.startsWith(this.#topicPrefix) ? parseTopic(channel.slice(this.#topicPrefix.length)) : null;
  }
}
