/** Every name that the relay uses in Redis. */
import { type Topic, TopicReader } from '@fanfare/protocol';
import { redisLayout } from '../observe/versions.js';
import type { Partitions } from './partitions.js';

/** Between the tag of a topic's partition and the topic, with the closing brace of the tag. */
const topicMark = '}:topic:';
const topicMarkBytes = Buffer.from(topicMark);
const closingBrace = 0x7d;

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
   * The layout of everything that nodes keep in Redis (lua/recover.lua). A plain Redis has this key under the same name
   * in all layouts, so that nodes with a different layout find it.
   */
  readonly layout: string;
  /** The layout that these names belong to: its version and the number of partitions. */
  readonly layoutName: string;
  /** The map of partitions (lua/shard-map.lua). */
  readonly map: string;
  /** Which command may change the map now. */
  readonly mapLock: string;
  /** Which version of the map each node has applied (lua/report-map.lua). */
  readonly mapApplied: string;
  /** The pub/sub channel on which nodes call each other to a recovery. */
  readonly control: string;
  /** The pub/sub channel on which nodes ask all others for their subscribers (subscriber-counts.ts). */
  readonly questions: string;
  readonly #root: string;
  /** How the names of the topics of each partition begin. */
  readonly #topicPrefixes: readonly string[];
  readonly #answersPrefix: string;
  readonly #probePrefix: string;
  /** What each topic's name begins with, up to the tag. */
  readonly #tagPrefix: Buffer;
  readonly #topics = new TopicReader();

  /**
   * `partition`: the partition whose names these are, in a Redis Cluster; null for a Redis that keeps all its
   * partitions under one generation.
   */
  constructor(
    prefix: string,
    database: number,
    readonly partitions: Partitions,
    partition: number | null = null,
  ) {
    // A channel belongs to all databases of a Redis, and a topic's channel has the name of its stream. No prefix may
    // hold an "@".
    const root = database === 0 ? prefix : `${prefix}:@${database}`;
    const tag = partition === null ? '' : `:{${partitions.tagOf(partition)}}`;
    const unit = `${root}${tag}`;
    this.generation = `${unit}:generation`;
    this.newestEpoch = `${unit}:epoch`;
    this.copy = `${unit}:script`;
    this.run = `${unit}:run`;
    this.clock = `${unit}:clock`;
    this.recovery = `${unit}:recovery`;
    this.nodes = `${unit}:nodes`;
    this.unpublished = `${unit}:unpublished`;
    this.connections = `${unit}:connections`;
    this.layout = `${prefix}${tag}:layout`;
    this.layoutName = `${redisLayout}.${partitions.count}`;
    this.map = `${unit}:map`;
    this.mapLock = `${unit}:map:lock`;
    this.mapApplied = `${unit}:map:applied`;
    this.control = `${unit}:control`;
    this.questions = `${unit}:questions`;
    this.#answersPrefix = `${unit}:answers:`;
    this.#probePrefix = `${unit}:probe:`;
    this.#root = root;
    this.#tagPrefix = Buffer.from(`${root}:{`);
    this.#topicPrefixes = Array.from({ length: partitions.count }, (_, index) => {
      return `${root}:{${partitions.tagOf(index)}${topicMark}`;
    });
  }

  /** The stream of a topic's history and, by the same name, its pub/sub channel. */
  topic(topic: Topic): string {
    return (this.#topicPrefixes[this.partitions.of(topic)] as string) + topic;
  }

  /** How the names of the topics of a partition begin. */
  topicPrefix(partition: number): string {
    return this.#topicPrefixes[partition] as string;
  }

  /** How the names of all topics begin, up to the tag. */
  get streamPrefix(): string {
    return `${this.#root}:{`;
  }

  /** The stream of a topic, and its messageIds: recent and older ones. Scripts name every key that they may use. */
  withIds(topic: Topic): readonly [stream: string, recentIds: string, oldIds: string] {
    const stream = this.topic(topic);
    return [stream, `${stream}:ids`, `${stream}:ids:old`];
  }

  /** A pattern of SCAN: all topics in a Redis whose names begin with `prefix`. */
  topicPattern(prefix: string): string {
    return `${this.#root}:{*${topicMark}${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`;
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
    const tagStart = start + this.#tagPrefix.length;
    if (tagStart > end || this.#tagPrefix.compare(bytes, start, tagStart) !== 0) return null;
    let tagEnd = tagStart;
    while (tagEnd < end && bytes[tagEnd] !== closingBrace) tagEnd++;
    const topicStart = tagEnd + topicMarkBytes.length;
    if (topicStart > end || topicMarkBytes.compare(bytes, tagEnd, topicStart) !== 0) return null;
    return this.#topics.read(bytes, topicStart, end);
  }
}
