/** Every name that Fanfare uses in Redis. */
import { type Topic, TopicReader } from '@fanfare/protocol';
import { redisLayoutOf } from '../observe/versions.js';

export class Keys {
  /** The generation: the time in which Redis has lost nothing (lua/recover.lua). */
  readonly generation: string;
  /** The newest epoch of any topic (lua/stream.lua). */
  readonly newestEpoch: string;
  /** Which copy of the script that publishes is in use (lua/choose-copy.lua). */
  readonly copy: string;
  /** The server process in which the generation was last found complete. */
  readonly run: string;
  /** How old the data is (lua/heartbeat.lua). */
  readonly clock: string;
  /** The current recovery after a loss. */
  readonly recovery: string;
  /** The nodes, by their last heartbeat. */
  readonly nodes: string;
  /** The nodes that have never published. */
  readonly unpublished: string;
  /** How many connections each node has (lua/heartbeat.lua). */
  readonly connections: string;
  /**
   * Version of the layout of everything that nodes keep in Redis (lua/recover.lua). This key has the same name in all
   * layouts, so that nodes with a different layout find it.
   */
  readonly layout: string;
  /** The version of the layout that these names belong to. */
  readonly layoutVersion: number;
  /** The pub/sub channel on which nodes call each other to a recovery. */
  readonly control: string;
  /** The pub/sub channel on which nodes ask all others for their subscribers (subscriber-counts.ts). */
  readonly questions: string;
  /** How the names of all topics begin. */
  readonly topicPrefix: string;
  readonly #answersPrefix: string;
  readonly #probePrefix: string;
  readonly #topicPrefixBytes: Buffer;
  readonly #topics = new TopicReader();

  constructor(prefix: string, database: number) {
    // A channel belongs to all databases of a Redis, and a topic's channel has the name of its stream. No prefix may
    // hold an "@". Database 0 keeps the names of layout 1.
    const root = database === 0 ? prefix : `${prefix}:@${database}`;
    this.generation = `${root}:generation`;
    this.newestEpoch = `${root}:epoch`;
    this.copy = `${root}:script`;
    this.run = `${root}:run`;
    this.clock = `${root}:clock`;
    this.recovery = `${root}:recovery`;
    this.nodes = `${root}:nodes`;
    this.unpublished = `${root}:unpublished`;
    this.connections = `${root}:connections`;
    this.layout = `${prefix}:layout`;
    this.layoutVersion = redisLayoutOf(database);
    this.control = `${root}:control`;
    this.questions = `${root}:questions`;
    this.#answersPrefix = `${root}:answers:`;
    this.#probePrefix = `${root}:probe:`;
    this.topicPrefix = `${root}:topic:`;
    this.#topicPrefixBytes = Buffer.from(this.topicPrefix);
  }

  /**
   * The stream of a topic's history and, by the same name, its pub/sub channel. Its messageIds are next to it
   * (`…:ids`).
   */
  topic(topic: Topic): string {
    return this.topicPrefix + topic;
  }

  /** The channel on which a node receives its own probes. No key has this name (lua/heartbeat.lua). */
  probe(nodeId: string): string {
    return this.#probePrefix + nodeId;
  }

  /** The channel on which a node receives the answers to its questions. */
  answers(nodeId: string): string {
    return this.#answersPrefix + nodeId;
  }

  /** The topic of the channel `bytes[start, end)`, if {@link topic} made it; null for any other channel. */
  topicOf(bytes: Buffer, start: number, end: number): Topic | null {
    const topicStart = start + this.#topicPrefixBytes.length;
    if (topicStart > end || this.#topicPrefixBytes.compare(bytes, start, topicStart) !== 0) return null;
    return this.#topics.read(bytes, topicStart, end);
  }
}
